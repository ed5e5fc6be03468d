"""Tests of what a process knows of itself."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from usassist.common import process_tuning


def test_memory_and_processor_time_of_this_process_are_told() -> None:
    before_s, memory = process_tuning.cpu_s(), process_tuning.rss_bytes()
    sum(range(200_000))
    assert process_tuning.cpu_s() > before_s
    assert process_tuning.processors() >= 1
    if sys.platform == "linux":
        assert memory is not None
        assert memory > 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux alone")
def test_a_thread_gives_way_and_the_others_stay_as_they_are() -> None:
    seen: list[int] = []

    def work() -> None:
        process_tuning.lower_priority()
        seen.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    before = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen[0] > before
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == before


def test_keeping_memory_may_be_asked_for_again_and_again() -> None:
    process_tuning.keep_memory()
    process_tuning.keep_memory()
    assert len(bytearray(2**21)) == 2**21


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is done")
def test_memory_that_lies_free_below_what_is_in_use_is_given_back() -> None:
    blocks = [bytearray(20_000) for _ in range(3_000)]
    full = process_tuning.rss_bytes()
    assert full is not None
    kept = blocks[::50]
    del blocks
    process_tuning.give_back_memory()
    left = process_tuning.rss_bytes()
    assert left is not None
    assert full - left > 40e6
    assert len(kept) == 60
