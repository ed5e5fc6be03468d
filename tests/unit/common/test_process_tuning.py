"""Tests of the processor time, memory and priority of a process."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from usassist.common import process_tuning


def test_memory_and_processor_time_are_read() -> None:
    before_s, memory = process_tuning.cpu_s(), process_tuning.rss_bytes()
    sum(range(200_000))
    assert process_tuning.cpu_s() > before_s
    assert process_tuning.usable_cpus() >= 1
    if sys.platform == "linux":
        assert memory is not None
        assert memory > 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of threads")
def test_only_the_calling_thread_lowers_its_priority() -> None:
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


def test_keep_freed_memory_may_be_called_twice() -> None:
    process_tuning.keep_freed_memory()
    process_tuning.keep_freed_memory()
    assert len(bytearray(2**21)) == 2**21


@pytest.mark.skipif(sys.platform != "linux", reason="no effect elsewhere")
def test_freed_memory_in_the_middle_of_the_heap_is_released() -> None:
    blocks = [bytearray(20_000) for _ in range(3_000)]
    full = process_tuning.rss_bytes()
    assert full is not None
    kept = blocks[::50]
    del blocks
    process_tuning.release_freed_memory()
    left = process_tuning.rss_bytes()
    assert left is not None
    assert full - left > 40e6
    assert len(kept) == 60
