"""A row of the table of processes that is kept running while a live session lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from usassist.app.runtime.child_process import Child
from usassist.app.runtime.watchdog import memory_limit_bytes, rss_bytes_of
from usassist.errors import UsAssistError

__all__ = ["LOOK_EVERY_S", "SupervisedProcess", "Ticks"]

LOOK_EVERY_S = 0.1
_CALM_S = 10.0  # a process that lived so long has not died at once
_UNDER_WAY_S = 5.0
_SIZE_EVERY_S = 0.5
_PAUSES_S = (0.0, 1.0, 2.0, 5.0, 10.0)  # before one that dies again and again is replaced


class Ticks:
    """A supervisor's clock: how long it was served between two looks, until `stop`.

    Of a pause in which nobody was served, as when a laptop sleeps, only the usual time between two looks is counted.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._looked_s = time.monotonic()

    def __iter__(self) -> Iterator[float]:
        while not self._stop.wait(LOOK_EVERY_S):
            yield self.elapsed_s()

    def elapsed_s(self) -> float:
        """Since the last look."""
        before_s, self._looked_s = self._looked_s, time.monotonic()
        return min(self._looked_s - before_s, 2 * LOOK_EVERY_S)


class SupervisedProcess:
    """A process that is kept running: one that dies or hangs is replaced.

    Parameters
    ----------
    name : of the child
    options : gives what a new one begins with
    spare : keep one that has imported everything and waits
    memory_limit_mb : a process with more resident memory is ended and replaced, MiB; 0 = half of this machine's

    Attributes
    ----------
    child : that works now, None between two
    over : it ended by itself, as it may, and is not replaced
    problem : why it ended, hung, or could not be started
    killed : it did not end by itself, but was killed, for the reason that `problem` tells
    reported : the problem is the process's own word, and not what was seen from outside
    exit_code : that the problem deserves on a command line
    summary : told at its end, where it has one
    ready : content of its last report that it is set up; None before the first
    """

    def __init__(
        self, name: str, options: Callable[[], dict[str, Any]], *, spare: bool, memory_limit_mb: int = 0
    ) -> None:
        self.name = name
        self._memory_limit = memory_limit_mb * 2**20 or memory_limit_bytes()
        self._next_size_s = 0.0
        self._options = options
        self._keep_spare = spare
        self._spare: Child | None = None
        self.child: Child | None = None
        self.over = False
        self.problem = ""
        self.killed = self.reported = False
        self.exit_code = 1
        self.summary: dict[str, Any] | None = None
        self.ready: dict[str, Any] | None = None
        self._began_s = 0.0
        self._deaths = 0
        self._again_s = 0.0
        self._not_started = False
        if spare:
            self._begin_spare()

    def begin(self) -> None:
        """Start it, or let the one that stands by take its place. What fails is told by :meth:`died`."""
        spare, self._spare = self._spare, None
        self._began_s, self.problem = time.monotonic(), ""
        self.killed = self.reported = False
        try:
            self.child = spare if spare is not None and spare.alive else Child(self.name)
            self.child.begin(self._options())
        except (OSError, RuntimeError) as error:
            self.problem, self._not_started = _why_not_started(error), True
        except UsAssistError as error:
            self.problem, self._not_started = str(error), True

    def stand_by(self) -> None:
        """Start the spare one, once this one is under way: starting it earlier would slow the start."""
        if self._keep_spare and self._spare is None and time.monotonic() - self._began_s > _UNDER_WAY_S:
            self._begin_spare()

    def watch(self, elapsed_s: float) -> None:
        """Take in what it has reported, and end it if it hangs.

        Parameters
        ----------
        elapsed_s : since the last time, see :meth:`usassist.app.runtime.watchdog.Watchdog.check`
        """
        self.hear()
        child = self.child
        if child is None or not child.alive:
            return
        reason = child.why_hung(elapsed_s) or self._why_too_large(child.pid)
        if reason:
            self.problem, self.killed = reason, True
            child.kill()

    def _why_too_large(self, pid: int) -> str:
        if time.monotonic() < self._next_size_s:
            return ""
        self._next_size_s = time.monotonic() + _SIZE_EVERY_S
        size, limit = rss_bytes_of(pid), self._memory_limit
        return f"it uses {size >> 20} MiB of memory, and {limit >> 20} MiB are allowed" if size > limit else ""

    def died(self) -> bool:
        """True once, when it has died or could not be started; what it reported last is kept."""
        child = self.child
        if not self._not_started and (child is None or child.alive):
            return False
        self._not_started = False
        if child is not None:
            child.end(0.5)  # and with it what it reported last has arrived
            self.hear()
        self.child = None
        self._deaths = 1 if time.monotonic() - self._began_s > _CALM_S else self._deaths + 1
        self._again_s = time.monotonic() + _PAUSES_S[min(self._deaths - 1, len(_PAUSES_S) - 1)]
        return True

    def raise_if_died(self) -> None:
        """For its first start, where that it cannot be started means that the command is wrong.

        Raises
        ------
        UsAssistError
            With its problem.
        """
        if self.died() and not self.over:
            error = UsAssistError(self.problem or f"the process {self.name} ended before it began; run usassist doctor")
            error.exit_code = self.exit_code
            raise error

    def hear(self) -> None:
        """Take in what it has reported since."""
        while self.child is not None and (report := self.child.said()) is not None:
            if report.event == "error":
                self.problem, self.reported = str(report.content["message"]), True
                self.exit_code = int(report.content.get("exit_code", 1))
            elif report.event == "ready":
                self.ready = report.content
            self.over = self.over or report.event == "done"
            self.summary = report.content.get("summary", self.summary)

    @property
    def due(self) -> bool:
        """True when a new one is to be started."""
        return self.child is None and not self.over and time.monotonic() >= self._again_s

    def give_up(self) -> None:
        """It is not replaced any more."""
        self.over, self._keep_spare = True, False
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.end()

    def leave(self) -> None:
        """Tell it and its spare that they are not needed any more, and wait for nothing."""
        for child in (self._spare, self.child):
            if child is not None:
                child.leave()

    def end(self) -> None:
        """End it and its spare."""
        for child in (self._spare, self.child):
            if child is not None:
                child.end()
        self._spare = self.child = None

    def _begin_spare(self) -> None:
        try:
            self._spare = Child(self.name)
        except (OSError, RuntimeError):  # the next time, or when it is needed, and then it is told
            self._spare = None


def _why_not_started(error: OSError | RuntimeError) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"it cannot be started: {reason.lower()}; end other programs, or raise the limit of processes"
