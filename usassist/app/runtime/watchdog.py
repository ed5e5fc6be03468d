"""When a process without a heartbeat is taken to hang.

A missing heartbeat alone is not enough: on a busy machine a process may not be scheduled for seconds, and a slow disk
blocks every process that writes to it. ``/proc`` shows both, and both get more time. Time counts only while the
supervisor itself is scheduled, so that a pause of the whole machine is held against no process.

============= ========= ======== ======== ======== ========
process       starts    still    computes starved  disk
============= ========= ======== ======== ======== ========
stream        120 s     1.2 s    1.6 s    10 s     10 s
record        120 s     1.2 s    3 s      30 s     30 s
panel         30 s      1.4 s    10 s     30 s     30 s
others        30 s      1.4 s    10 s     30 s     30 s
============= ========= ======== ======== ======== ========

A process whose memory grows beyond a limit, half of this machine's by default, is killed as well, before the machine
runs out of memory and the kernel kills some other process.

*starts*: until it is ready, without progress: time in which it used a processor, was runnable, or waited for a device
is not counted, up to ten minutes in all, because imports take long on a busy machine. *still*: all its threads sleep,
or it was stopped. *computes*: it uses a processor, and its main loop does not iterate. *starved*: it is runnable, and
gets less than half of a processor. *disk*: one of its threads waits for a device. A limit that the process announces,
as for closing its files, replaces all of these.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["LIMITS", "Limits", "ProcessState", "Watchdog", "memory_limit_bytes", "read_process_state", "rss_bytes_of"]

_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")
_SUSPICIOUS_S = 0.5
_COMPUTING = 0.5  # of a processor
_LONGEST_START_S = 600.0  # also with progress
_PROGRESS_S = 0.02  # of processor time


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a process may be silent, s."""

    start_s: float = 30.0
    still_s: float = 1.4
    computing_s: float = 10.0
    starved_s: float = 30.0
    disk_s: float = 30.0


_OTHERS = Limits()
LIMITS: dict[str, Limits] = {
    "stream": Limits(start_s=120.0, still_s=1.2, computing_s=1.6, starved_s=10.0, disk_s=10.0),
    "record": Limits(start_s=120.0, still_s=1.2, computing_s=3.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessState:
    """A process, as the kernel shows it.

    Attributes
    ----------
    states : of its threads, as in ``/proc/PID/stat``
    cpu_s : processor time so far
    """

    states: frozenset[str]
    cpu_s: float


def read_process_state(pid: int) -> ProcessState:
    """Read the state of a process; empty for one that has exited."""
    folder = Path("/proc") / str(pid)
    states, cpu_s = set(), 0.0
    try:
        cpu_s = sum(map(int, _fields(folder)[11:13])) * _TICK_S
        for thread in (folder / "task").iterdir():
            states.add(_fields(thread)[0])
    except (OSError, IndexError, ValueError):  # it, or one of its threads, has just exited
        pass
    return ProcessState(states=frozenset(states), cpu_s=cpu_s)


def rss_bytes_of(pid: int) -> int:
    """Resident memory of a process; 0 where it has exited."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def memory_limit_bytes() -> int:
    """Half of the memory of this machine, or of the control group of this process."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):  # no control group, or "max"
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
    read_state : reads its state; for tests
    """

    def __init__(self, name: str, pid: int, read_state: Callable[[int], ProcessState] = read_process_state) -> None:
        self._limits = LIMITS.get(name, _OTHERS)
        self._pid, self._read_state = pid, read_state
        self._beats = -1
        self._silent_s = 0.0
        self._suspected: tuple[float, float] | None = None  # how long it was silent, and its processor time then
        self._starting_s = self._still_s = self._start_cpu_s = 0.0

    def check(self, beats: int, elapsed_s: float, *, ready: bool, allowed_s: float | None) -> str:
        """Judge the process.

        Parameters
        ----------
        beats : heartbeats so far
        elapsed_s : time since the last call in which the supervisor was scheduled
        ready : the process has reported ``ready``
        allowed_s : how long it may be silent, as it has announced

        Returns
        -------
        reason : why it is taken to hang; empty = it does not
        """
        if beats != self._beats:
            self._beats, self._silent_s, self._suspected = beats, 0.0, None
            self._starting_s = self._still_s = 0.0
            return ""
        self._silent_s += elapsed_s
        if allowed_s is not None:
            return f"no heartbeat for {self._silent_s:.0f} s" if self._silent_s > allowed_s else ""
        if not ready:
            return self._check_start(elapsed_s)
        if self._silent_s < min(_SUSPICIOUS_S, self._limits.still_s):
            return ""
        seen = self._read_state(self._pid)
        if self._suspected is None:
            self._suspected = self._silent_s, seen.cpu_s
        if self._silent_s <= self._limits.still_s:
            return ""
        limit_s, how = self._classify(seen)
        return f"it hangs: {how} for {self._silent_s:.1f} s" if self._silent_s > limit_s else ""

    def _check_start(self, elapsed_s: float) -> str:
        """Judge a process that is not ready yet."""
        self._starting_s += elapsed_s
        self._still_s += elapsed_s
        if self._still_s > _SUSPICIOUS_S:
            seen = self._read_state(self._pid)
            if seen.cpu_s - self._start_cpu_s > _PROGRESS_S or seen.states & {"R", "D"}:
                self._still_s, self._start_cpu_s = 0.0, seen.cpu_s
        if self._still_s > self._limits.start_s:
            return f"its start has stood still for {self._still_s:.0f} s"
        if self._starting_s > _LONGEST_START_S:
            return f"it was not ready after {self._starting_s:.0f} s"
        return ""

    def _classify(self, seen: ProcessState) -> tuple[float, str]:
        limits = self._limits
        assert self._suspected is not None  # the caller has set it
        since_s, cpu_s = self._suspected
        if seen.states & {"T"}:
            return limits.still_s, "it has been stopped"
        if seen.states & {"D"}:
            return limits.disk_s, "it has waited for a device"
        if seen.cpu_s - cpu_s > _COMPUTING * (self._silent_s - since_s):
            return limits.computing_s, "it has computed without an iteration of its main loop"
        if seen.states & {"R"}:
            return limits.starved_s, "it has had no processor"
        return limits.still_s, "none of its threads has run"
