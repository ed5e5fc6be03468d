"""What this process uses of the machine."""

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
    "die_with_parent",
    "give_back_memory",
    "keep_memory",
    "lower_priority",
    "lower_priority_of_all",
    "processors",
    "rss_bytes",
]

_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _M_ARENA_MAX = -3, -1, -8  # of malloc.h
_PR_SET_PDEATHSIG = 1  # of prctl.h
_C = ctypes.CDLL(None) if sys.platform == "linux" else None
_STATM = Path("/proc/self/statm")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def cpu_s() -> float:
    """Processor time of all threads since the start, s."""
    return time.process_time()


def die_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it ends (Linux; elsewhere nothing is done).

    Who calls this looks afterwards whether its parent is still the one that it should be.
    """
    prctl = getattr(_C, "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0)


def give_back_memory() -> None:
    """Give the system what a busy moment has left free, also in the midst of what is in use (glibc; elsewhere nothing).

    All of the memory is looked through: for now and then.
    """
    trim = getattr(_C, "malloc_trim", None)
    if trim is not None:
        trim(0)


def keep_memory() -> None:
    """Let this process keep the memory of a frame for the next one (glibc; elsewhere nothing is done).

    Else every picture is given back to the system and asked for again, page by page: to fetch the pages of a megabyte
    takes longer than to fill them. Threads that come and go share two stores of memory, or each would keep its own.
    """
    mallopt = getattr(_C, "mallopt", None)
    if mallopt is not None:
        for option, value in ((_M_MMAP_THRESHOLD, 32 * 2**20), (_M_TRIM_THRESHOLD, 16 * 2**20), (_M_ARENA_MAX, 2)):
            mallopt(option, value)


def lower_priority(by: int = 10) -> None:
    """Let the calling thread, and those that it starts, give way to others, where the system can do that (Linux).

    Parameters
    ----------
    by : how far, as with nice(1)
    """
    if sys.platform == "linux":
        with contextlib.suppress(OSError):  # it is a wish
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + by)


def lower_priority_of_all(by: int) -> None:
    """Let every thread of this process, and those that they start, give way to others (Linux; elsewhere nothing).

    Parameters
    ----------
    by : how far, as with nice(1)
    """
    if sys.platform != "linux":
        return
    for thread in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # it is a wish, and the thread may have ended
            os.setpriority(os.PRIO_PROCESS, int(thread), os.getpriority(os.PRIO_PROCESS, int(thread)) + by)


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def rss_bytes() -> int | None:
    """Resident memory now; None where the system does not say."""
    try:
        return int(_STATM.read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return None
