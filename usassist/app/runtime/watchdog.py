"""When a process that is there, but gives no sign of progress, is taken to hang.

Silence alone does not say that: on a machine that is busy a process may not be served for seconds, and a disk that is
slow makes whoever writes to it wait. Both are seen from outside, in ``/proc``, and are given more time. Time counts
only while the supervisor itself is served, so that after a pause of the whole machine nobody is to blame.

============= ========= ======== ======== ======== ========
process       starts    still    computes starved  disk
============= ========= ======== ======== ======== ========
stream        120 s     1.2 s    1.6 s    10 s     10 s
record        120 s     1.2 s    3 s      30 s     30 s
others        120 s     1.4 s    10 s     30 s     30 s
============= ========= ======== ======== ======== ========

A process whose memory grows beyond a limit, half of this machine's where nothing else is said, is ended as well, before
the machine runs out of it and something else is ended by chance.

*starts*: until it is ready. *still*: all its threads sleep, or it was stopped. *computes*: it uses a processor, and its
main loop does not come round. *starved*: it wants a processor, and gets less than half of one. *disk*: one of its
threads waits for a device. What a process announces before, such as closing its files, takes the place of all of them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LIMITS", "Limits", "Look", "Watchdog", "look_at", "memory_limit_bytes", "rss_bytes_of"]

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_SUSPICIOUS_S = 0.5
_COMPUTING = 0.5  # of a processor


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a process may be silent, s."""

    start_s: float = 120.0
    still_s: float = 1.4
    computing_s: float = 10.0
    starved_s: float = 30.0
    disk_s: float = 30.0


_OTHERS = Limits()
LIMITS: dict[str, Limits] = {
    "stream": Limits(still_s=1.2, computing_s=1.6, starved_s=10.0, disk_s=10.0),
    "record": Limits(still_s=1.2, computing_s=3.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A process from outside.

    Attributes
    ----------
    states : of its threads, as in ``/proc/PID/stat``
    cpu_s : processor time so far
    """

    states: frozenset[str]
    cpu_s: float


def look_at(pid: int) -> Look:
    """Look at a process; nothing is found of one that is gone."""
    folder = Path("/proc") / str(pid)
    states, cpu_s = set(), 0.0
    try:
        cpu_s = sum(map(int, _fields(folder)[11:13])) * _TICK_S
        for thread in (folder / "task").iterdir():
            states.add(_fields(thread)[0])
    except (OSError, IndexError, ValueError):  # it, or a thread of it, has just ended
        pass
    return Look(states=frozenset(states), cpu_s=cpu_s)


def rss_bytes_of(pid: int) -> int:
    """Resident memory of a process; 0 where there is none."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def memory_limit_bytes() -> int:
    """Half of what this machine, or the group of processes that this one belongs to, has."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no such group, or "max"
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return total // 2


def _fields(folder: Path) -> list[str]:
    return (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()


class Watchdog:
    """Watches one process.

    Parameters
    ----------
    name : row of :data:`LIMITS`
    pid : of the process
    look : looks at it; for tests
    """

    def __init__(self, name: str, pid: int, look: Callable[[int], Look] = look_at) -> None:
        self._limits = LIMITS.get(name, _OTHERS)
        self._pid, self._look = pid, look
        self._beats = -1
        self._silent_s = 0.0
        self._suspected: tuple[float, float] | None = None  # silent for so long, and the processor time then

    def check(self, beats: int, elapsed_s: float, *, ready: bool, allowed_s: float | None) -> str:
        """Judge the process.

        Parameters
        ----------
        beats : how many signs of progress have come so far
        elapsed_s : time since the last call in which this process was served
        ready : it has been set up
        allowed_s : what it has announced that it may need now

        Returns
        -------
        reason : why it is taken to hang; empty = it is not
        """
        if beats != self._beats:
            self._beats, self._silent_s, self._suspected = beats, 0.0, None
            return ""
        self._silent_s += elapsed_s
        if not ready or allowed_s is not None:
            limit_s = self._limits.start_s if allowed_s is None else allowed_s
            return f"it shows no progress for {self._silent_s:.0f} s" if self._silent_s > limit_s else ""
        if self._silent_s < min(_SUSPICIOUS_S, self._limits.still_s):
            return ""
        seen = self._look(self._pid)
        if self._suspected is None:
            self._suspected = self._silent_s, seen.cpu_s
        if self._silent_s <= self._limits.still_s:
            return ""
        limit_s, how = self._why(seen)
        return f"it hangs: {how} for {self._silent_s:.1f} s" if self._silent_s > limit_s else ""

    def _why(self, seen: Look) -> tuple[float, str]:
        limits = self._limits
        assert self._suspected is not None  # the caller has set it
        since_s, cpu_s = self._suspected
        if seen.states & {"T"}:
            return limits.still_s, "it was stopped, and nothing has moved"
        if seen.states & {"D"}:
            return limits.disk_s, "it has waited for a device"
        if seen.cpu_s - cpu_s > _COMPUTING * (self._silent_s - since_s):
            return limits.computing_s, "it has computed without coming round"
        if seen.states & {"R"}:
            return limits.starved_s, "it has got no processor"
        return limits.still_s, "nothing in it has moved"
