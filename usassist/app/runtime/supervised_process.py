"""A process that its supervisor keeps running: polled, killed when it hangs, restarted with back-off."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from usassist.app.runtime.child_process import ChildProcess, ChildReport
from usassist.app.runtime.watchdog import memory_limit_bytes, rss_bytes_of
from usassist.errors import UsAssistError

__all__ = ["POLL_S", "PollClock", "SupervisedProcess"]

POLL_S = 0.1
_STABLE_S = 10.0  # a process that has run for so long starts the back-off anew when it fails
_STANDBY_AFTER_S = 5.0
_MEMORY_EVERY_S = 0.5
_MAX_REPORTS = 64  # a child that reports more than are read loses the oldest
_BACK_OFF_S = (0.0, 1.0, 2.0, 5.0, 10.0)  # before the restart after the first, second, … failure in a row


class PollClock:
    """Clock of a supervisor's loop: iterates every :data:`POLL_S` until `stop`, and gives the time since the last poll.

    A pause of the whole machine, as when a laptop sleeps, counts as two polls at most.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self._polled_s = time.monotonic()

    def __iter__(self) -> Iterator[float]:
        while not self._stop.wait(POLL_S):
            yield self.elapsed_s()

    def elapsed_s(self) -> float:
        """Time since the last poll, s."""
        before_s, self._polled_s = self._polled_s, time.monotonic()
        return min(self._polled_s - before_s, 2 * POLL_S)


class SupervisedProcess:
    """A process that is kept running: restarted when it exits or hangs.

    Parameters
    ----------
    name : of the child, from ``process_table.CHILDREN``
    options : makes the options of a new child
    standby : keep a warm standby, a second child that has imported everything and waits
    memory_limit_mb : a process with more resident memory is killed and restarted, MiB; 0 = half of this machine's
    idle : it is not to run before :meth:`start`

    Attributes
    ----------
    child : the running child; None between exit and restart
    finished : its work is done, or it is idle, and it is not restarted before the next :meth:`start`
    problem : why it exited, hung, or could not be started
    killed : it was killed, for the reason in `problem`
    error_reported : `problem` is an error that the process itself has reported
    exit_code : of the command, where the problem ends it
    summary : from its last report that has one
    ready : content of its last ``ready`` report; None before the first
    reports : other reports of the running child, oldest first; whoever reads them takes them out
    """

    def __init__(
        self,
        name: str,
        options: Callable[[], dict[str, Any]],
        *,
        standby: bool,
        memory_limit_mb: int = 0,
        idle: bool = False,
    ) -> None:
        self.name = name
        self._memory_limit = memory_limit_mb * 2**20 or memory_limit_bytes()
        self._next_memory_s = 0.0
        self._options = options
        self._keep_standby = standby
        self._standby: ChildProcess | None = None
        self.child: ChildProcess | None = None
        self.finished = idle
        self.problem = ""
        self.killed = self.error_reported = False
        self.exit_code = 1
        self.summary: dict[str, Any] | None = None
        self.ready: dict[str, Any] | None = None
        self.reports: deque[ChildReport] = deque(maxlen=_MAX_REPORTS)
        self._started_s = 0.0
        self._failures = 0
        self._restart_s = 0.0
        self._start_failed = False
        if standby:
            self._spawn_standby()

    def start(self) -> None:
        """Start it, from the warm standby where there is one. :meth:`reap` reports a failure."""
        standby, self._standby = self._standby, None
        self._started_s, self.problem = time.monotonic(), ""
        self.finished = self.killed = self.error_reported = False
        self.reports.clear()
        try:
            self.child = standby if standby is not None and standby.alive else ChildProcess(self.name)
            self.child.start(self._options())
        except (OSError, RuntimeError) as error:
            self.problem, self._start_failed = _start_problem(error), True
        except UsAssistError as error:
            self.problem, self._start_failed = str(error), True

    def start_standby(self) -> None:
        """Start the warm standby, once this process is up: earlier it would slow the start."""
        if self._keep_standby and self._standby is None and time.monotonic() - self._started_s > _STANDBY_AFTER_S:
            self._spawn_standby()

    def poll(self, elapsed_s: float) -> None:
        """Read its reports, and kill it if it hangs or uses too much memory.

        Parameters
        ----------
        elapsed_s : since the last poll, see :meth:`usassist.app.runtime.watchdog.Watchdog.check`
        """
        self._read_reports()
        child = self.child
        if child is None or not child.alive:
            return
        reason = child.hang_reason(elapsed_s) or self._memory_problem(child.pid)
        if reason:
            self.problem, self.killed = reason, True
            child.kill()

    def _memory_problem(self, pid: int) -> str:
        if time.monotonic() < self._next_memory_s:
            return ""
        self._next_memory_s = time.monotonic() + _MEMORY_EVERY_S
        size, limit = rss_bytes_of(pid), self._memory_limit
        return f"it uses {size >> 20} MiB of memory, and {limit >> 20} MiB are allowed" if size > limit else ""

    def reap(self) -> bool:
        """True once after it has exited or could not be started. Its last reports are read, and the back-off begins."""
        child = self.child
        if not self._start_failed and (child is None or child.alive):
            return False
        self._start_failed = False
        if child is not None:
            child.stop(0.5)  # its last reports have arrived then
            self._read_reports()
        self.child = None
        self._failures = 1 if time.monotonic() - self._started_s > _STABLE_S else self._failures + 1
        self._restart_s = time.monotonic() + _BACK_OFF_S[min(self._failures - 1, len(_BACK_OFF_S) - 1)]
        return True

    def raise_if_failed(self) -> None:
        """For its first start, when a failure means that the command is wrong.

        Raises
        ------
        UsAssistError
            With its problem.
        """
        if self.reap() and not self.finished:
            error = UsAssistError(
                self.problem or f"the process {self.name} exited before it was ready; run usassist doctor"
            )
            error.exit_code = self.exit_code
            raise error

    def _read_reports(self) -> None:
        while self.child is not None and (report := self.child.next_report()) is not None:
            if report.event == "error":
                self.problem, self.error_reported = str(report.content["message"]), True
                self.exit_code = int(report.content.get("exit_code", 1))
            elif report.event == "ready":
                self.ready = report.content
            else:
                self.reports.append(report)
            self.finished = self.finished or report.event == "done"
            self.summary = report.content.get("summary", self.summary)

    def detach(self) -> ChildProcess | None:
        """Hand the running child over to the caller, who has to stop it; :meth:`start` starts the next one."""
        child, self.child = self.child, None
        return child

    @property
    def failures(self) -> int:
        """How often it has failed in a row, each time within ten seconds of its start."""
        return self._failures

    @property
    def is_ready(self) -> bool:
        """The running child has reported that it is ready."""
        return self.child is not None and self.child.ready

    @property
    def restart_due(self) -> bool:
        """True when it has exited and its back-off is over."""
        return self.child is None and not self.finished and time.monotonic() >= self._restart_s

    def stop_restarting(self) -> None:
        """Do not restart it any more."""
        self.finished, self._keep_standby = True, False
        standby, self._standby = self._standby, None
        if standby is not None:
            standby.stop()

    def release(self) -> None:
        """Let it and its standby exit when they are done; does not wait."""
        for child in (self._standby, self.child):
            if child is not None:
                child.release()

    def stop(self) -> None:
        """Stop it and its standby."""
        for child in (self._standby, self.child):
            if child is not None:
                child.stop()
        self._standby = self.child = None

    def _spawn_standby(self) -> None:
        try:
            self._standby = ChildProcess(self.name)
        except (OSError, RuntimeError):  # tried again at the next poll; a start that fails is reported
            self._standby = None


def _start_problem(error: OSError | RuntimeError) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"it cannot be started: {reason.lower()}; end other programs, or raise the limit of processes"
