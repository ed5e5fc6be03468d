"""Processor time, memory and priority of this process: reading them, and setting them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

__all__ = [
    "cpu_s",
    "keep_freed_memory",
    "lower_priority",
    "lower_process_priority",
    "release_freed_memory",
    "rss_bytes",
    "set_parent_death_signal",
    "usable_cpus",
]

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _M_ARENA_MAX = -3, -1, -8  # of malloc.h
_PR_SET_PDEATHSIG = 1  # of prctl.h
_C = ctypes.CDLL(None) if sys.platform == "linux" else None
_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_s() -> float:
    """Processor time of all threads since the start, s."""
    return time.process_time()


def rss_bytes() -> int | None:
    """Resident memory now; None where the system does not report it."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return None


def usable_cpus() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def keep_freed_memory() -> None:
    """Let malloc keep freed blocks for reuse instead of returning them to the system (glibc; no effect elsewhere).

    By default the memory of every frame is returned and requested again: faulting in the pages of a megabyte takes
    longer than writing to them. Arenas are limited to two, or every short-lived thread would keep its own.
    """
    mallopt = getattr(_C, "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_MMAP_THRESHOLD, 32 * 2**20), (_M_TRIM_THRESHOLD, 16 * 2**20), (_M_ARENA_MAX, 2)):
            mallopt(option, value)


def release_freed_memory() -> None:
    """Return freed memory to the system, also from the middle of the heap (glibc; no effect elsewhere).

    It walks the whole heap: for after a peak, not for every frame.
    """
    trim = getattr(_C, "malloc_trim", None)
    if trim is not None:
        trim(0)


def lower_priority(by: int = 10) -> None:
    """Lower the priority of the calling thread and of threads that it starts (Linux; no effect elsewhere).

    Parameters
    ----------
    by : increment, as of nice(1)
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # best effort
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + by)


def lower_process_priority(by: int) -> None:
    """Lower the priority of all threads of this process and of those that they start (Linux; no effect elsewhere).

    Parameters
    ----------
    by : increment, as of nice(1)
    """
    if sys.platform != "linux":
        return
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # best effort, and the thread may have ended
            os.setpriority(os.PRIO_PROCESS, int(thread), os.getpriority(os.PRIO_PROCESS, int(thread)) + by)


def set_parent_death_signal() -> None:
    """Have the kernel send SIGKILL to this process when the thread that started it ends (Linux; no effect elsewhere).

    The parent may have ended before: check afterwards that it is still the expected one.
    """
    prctl = getattr(_C, "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)
