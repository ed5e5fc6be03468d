"""Syncs the files of a recording to the disk while it is being made, and watches free space and the wall clock.

What was written survives the death of its writer. It survives a loss of power only once it was synced, which the
operating system may do half a minute later. So a thread of the recorder syncs five times a second: a loss of power
costs what came after the last sync but one, less than half a second as long as a sync takes at most 0.2 s.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from usassist.common.clock import ClockPair, clock_pair
from usassist.common.private_files import write_atomic
from usassist.common.process_tuning import release_freed_memory
from usassist.errors import SessionError, UsAssistError
from usassist.sinks.files import explain

__all__ = ["DiskSync", "free_bytes_of", "mebibytes", "wall_clock_ahead_s"]

logger = logging.getLogger(__name__)

_SYNC_PERIOD_S = 0.2
_LOOK_PERIOD_S = 1.0
_MEMORY_LOOKS = 10  # checks of the disk between two releases of memory
_JUMP_S = 0.1


def free_bytes_of(folder: Path) -> int:
    """Free space for this user on the disk of a folder, bytes."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


def mebibytes(count: int) -> str:
    """A number of bytes for display."""
    return f"{count / 2**20:.0f} MiB"


def wall_clock_ahead_s(first: ClockPair, second: ClockPair) -> float:
    """How much the wall clock gained on the monotonic clock between two readings, s."""
    wall_s = (datetime.fromisoformat(second.utc) - datetime.fromisoformat(first.utc)).total_seconds()
    return wall_s - (second.t_monotonic_ns - first.t_monotonic_ns) / 1e9


class _Kept:
    """One file, with its own descriptor, so that it is synced whichever library writes it."""

    def __init__(self, path: Path) -> None:
        try:
            self.number = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            raise _removed(path.name) from None
        self._name = path.name
        self.size = 0
        self._synced: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the descriptor: the file is complete."""
        if self.number >= 0:
            os.close(self.number)
            self.number = -1

    def sync(self) -> None:
        """Sync what was written since the last call; `size` is how much of the file is on the disk."""
        if self.number < 0:
            return
        status = os.fstat(self.number)
        if status.st_nlink == 0:
            raise _removed(self._name)
        state = (status.st_size, status.st_mtime_ns)
        if state != self._synced:
            os.fdatasync(self.number)
            self._synced = state
        self.size = status.st_size


def _removed(name: str) -> SessionError:
    return SessionError(f"{name} was removed while it was recorded: the recording ends here; choose another --out")


class DiskSync(threading.Thread):
    """Syncs a folder while other threads write into it.

    Parameters
    ----------
    folder : of the recording
    reserve_bytes : free space to keep on its disk
    on_look : called about once a second, in this thread
    free_bytes : gives the free space; for tests

    Attributes
    ----------
    problem : one line with the reason why recording has to end, or None
    recorded_bytes : of all files, synced
    free_bytes : free space at the last check
    longest_s : the longest time for which anything that was written was not yet synced
    jumps : readings of both clocks after the wall clock was set
    """

    def __init__(
        self,
        folder: Path,
        reserve_bytes: int,
        on_look: Callable[[], None] | None = None,
        free_bytes: Callable[[Path], int] = free_bytes_of,
    ) -> None:
        super().__init__(name="disk-sync", daemon=True)
        self.problem: str | None = None
        self.recorded_bytes = 0
        self.longest_s = 0.0
        self.jumps: list[ClockPair] = []
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._on_look = on_look
        self._ask_free = free_bytes
        self._names: list[str] = []  # grows only, by the recorder
        self._finished: deque[str] = deque()
        self._kept: dict[str, _Kept] = {}
        self._rewrite: bytes | None = None
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._clock = clock_pair()
        self._looks = 0
        self._folder_number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self.free_bytes = free_bytes(folder)

    def keep(self, name: str) -> None:
        """Sync a file of the folder from now on; it exists already."""
        self._names.append(name)

    def finish(self, name: str) -> None:
        """The file is complete: it is synced once more and closed."""
        self._finished.append(name)

    def rewrite_manifest(self, data: bytes) -> None:
        """Replace ``session.toml`` atomically at the next iteration of this thread."""
        with self._lock:
            self._rewrite = data

    def run(self) -> None:
        """Until :meth:`close`."""
        next_look_s = began_s = time.monotonic()
        while True:
            last = self._ending.is_set()
            before_s, began_s = began_s, time.monotonic()
            self._guard(self._sync)
            self.longest_s = max(self.longest_s, time.monotonic() - before_s)
            if last:
                return
            if began_s >= next_look_s:
                next_look_s = began_s + _LOOK_PERIOD_S
                self._guard(self._look)
            self._ending.wait(began_s + _SYNC_PERIOD_S - time.monotonic())

    def close(self) -> None:
        """Sync everything once more and end the thread. May be called twice."""
        self._ending.set()
        if self.is_alive():
            self.join()
        kept, self._kept = self._kept, {}
        for file in kept.values():
            file.close()
        if kept or self._folder_number >= 0:
            with contextlib.suppress(OSError):
                os.close(self._folder_number)
            self._folder_number = -1

    def _sync(self) -> None:
        finished = [self._finished.popleft() for _ in range(len(self._finished))]
        new = self._names[len(self._kept) :]
        for name in new:
            self._kept[name] = _Kept(self._folder / name)
        if new:
            os.fsync(self._folder_number)
        for kept in self._kept.values():
            self._guard(kept.sync)
        for name in finished:
            if name in self._kept:
                self._kept[name].close()
        self.recorded_bytes = sum(kept.size for kept in self._kept.values())
        with self._lock:
            data, self._rewrite = self._rewrite, None
        if data is not None:
            write_atomic(self._folder / "session.toml", data)

    def _look(self) -> None:
        self.free_bytes = self._ask_free(self._folder)
        if self.free_bytes < self._reserve_bytes:
            self._report(
                f"the disk is almost full: {mebibytes(self.free_bytes)} are free and {mebibytes(self._reserve_bytes)} "
                f"stay free: the recording in {self._folder} ends here; free some space and start again"
            )
        now = clock_pair()
        if abs(wall_clock_ahead_s(self._clock, now)) > _JUMP_S:
            self.jumps.append(now)
        self._clock = now
        self._looks += 1
        if self._looks % _MEMORY_LOOKS == 0:  # a stall of the disk has filled it with frames
            release_freed_memory()
        if self._on_look is not None:
            self._on_look()

    def _guard(self, work: Callable[[], None]) -> None:
        """Run `work`; a failure is kept in `problem` for the recorder, and this thread continues."""
        try:
            work()
        except OSError as error:
            self._report(explain(self._folder, error))
        except UsAssistError as error:
            logger.warning("%s", error)
        except Exception as error:
            logger.exception("syncing the recording failed")
            self._report(f"the recording cannot be synced: {error!r}; this is a fault of usassist, report it")

    def _report(self, problem: str) -> None:
        if self.problem is None:
            self.problem = problem
