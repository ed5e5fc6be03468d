"""Tests of the processor time, memory and priority of a process."""

from __future__ import annotations

import ctypes
import os
import subprocess
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


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc can be told to keep memory")
def test_the_memory_of_one_frame_is_reused_for_the_next_once_it_is_kept() -> None:
    """Frames that grow: without it, glibc gives each to the system again, because it is larger than all before."""
    sizes_bytes = [halves * 2**20 // 2 for halves in range(2, 17)]
    pages = sum(sizes_bytes) // os.sysconf("SC_PAGE_SIZE")
    code = (
        "import resource, sys\n"
        "from usassist.common.process_tuning import keep_freed_memory\n"
        "for _ in range(int(sys.argv[1])): keep_freed_memory()\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        f"for size in {sizes_bytes}: bytes.__mul__(b'x', size)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    faults = [
        int(subprocess.run([sys.executable, "-c", code, calls], capture_output=True, text=True, check=True).stdout)
        for calls in ("0", "1", "2")
    ]
    assert faults[0] > 0.9 * pages, "else this test shows nothing"
    assert max(faults[1:]) < 0.3 * pages


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
