"""Supervise a live input: keep it open without ever blocking on it.

Each input is read in a thread of its own, which only waits for the capture process (see ``capture/``). A watchdog kills
a process that gives no sign of life for too long and starts another. Of the screens that arrive only the newest are
kept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from usassist.common.clock import Clock
from usassist.common.fresh_queue import FreshQueue
from usassist.errors import SourceError, UsAssistError
from usassist.sources.grab import Grab, Input, Opener

__all__ = ["GrabSupervisor"]

logger = logging.getLogger(__name__)

_START_TIMEOUT_NS = 30_000_000_000  # of a process on a busy machine, before it touches the device
_OPEN_TIMEOUT_NS = 4_000_000_000
_READ_TIMEOUT_NS = 1_500_000_000  # an input that is not stuck reports after 1 s that no data arrive
_STANDBY_SHARE = 0.75  # of a timeout: then a standby process is started
_FIRST_PAUSE_NS = 100_000_000  # before it is reopened, doubled with every failure
_MAX_PAUSE_NS = 500_000_000
_MAX_UNKILLABLE = 4  # inputs that do not end when they are killed; with so many, no other is opened
_CLOSE_TIMEOUT_S = 1.0  # for an input to release the device at the end
_KILL_TIMEOUT_S = 0.5


class _Connection:
    """One input that was opened, and the thread that reads from it until it ends."""

    def __init__(self, source: Input, deliver: Callable[[_Connection, Grab], bool], now_ns: int) -> None:
        self.input = source
        self.problem = ""
        self.grabs = 0
        self.last_sign_ns = now_ns
        self.abandoned = False
        self._started = source.started
        self._deliver = deliver
        self.thread = threading.Thread(target=self._run, name="grab", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            for grab in self.input.grabs():
                if not self._deliver(self, grab):
                    self.input.close()  # and read on until it has ended
            self.problem = "the signal has ended"
        except UsAssistError as error:
            self.problem = str(error)
        except Exception as error:
            logger.exception("grabbing failed")
            self.problem = f"grabbing failed: {error!r}; this is a fault of usassist, report it"

    def silence_share(self, now_ns: int) -> float:
        """Time since its last sign of life, as a share of the timeout."""
        if not self._started and self.input.started:
            self._started = True
            if not self.grabs:
                self.last_sign_ns = now_ns
        timeout_ns = _READ_TIMEOUT_NS if self.grabs else _OPEN_TIMEOUT_NS if self._started else _START_TIMEOUT_NS
        return (now_ns - self.last_sign_ns) / timeout_ns


class GrabSupervisor:
    """Keeps one live input open and queues its newest screens (:class:`usassist.common.fresh_queue.FreshQueue`).

    Parameters
    ----------
    opener : opens the input
    clock : for pauses and timeouts

    Attributes
    ----------
    problem : why no screens arrive, in one line; empty while they do
    reconnects : how often the input was reopened
    """

    def __init__(self, opener: Opener, clock: Clock) -> None:
        self._opener, self._clock = opener, clock
        self._changed = threading.Condition()
        self._grabs: FreshQueue[Grab] = FreshQueue(clock)
        self._skipped = 0
        self._connection: _Connection | None = None
        self._unkillable: list[_Connection] = []
        self._failures = 0
        self._next_try_ns = 0
        self._tries = 0
        self._closed = False
        self.problem = ""

    @property
    def reconnects(self) -> int:
        """How often the input was reopened."""
        return max(0, self._tries - 1)

    @property
    def input(self) -> Input | None:
        """The input, while there is one."""
        connection = self._connection
        return None if connection is None else connection.input

    def take(self, timeout_s: float) -> tuple[Grab | None, int]:
        """Wait for a screen.

        Returns
        -------
        grab : the next one, or None when none arrived in time
        skipped : how many before it were dropped from the queue
        """
        with self._changed:
            self._changed.wait_for(lambda: self._grabs or self._closed, timeout_s)
            skipped, self._skipped = self._skipped + len(self._grabs.drop_stale()), 0
            return self._grabs.take() if self._grabs else None, skipped

    def supervise(self) -> None:
        """Reopen an input that has ended, and kill one that is stuck. Never waits for the device."""
        now_ns = self._clock.now_ns()
        connection = self._connection
        if connection is not None:
            if not connection.thread.is_alive():
                self._on_ended(connection.problem or "the signal has ended", now_ns)
            elif (silence := connection.silence_share(now_ns)) > 1:
                self._abandon(connection)
                self._on_ended("the input does not respond; it is reopened", now_ns)
            elif silence > _STANDBY_SHARE:
                self._opener.prepare()
        if self._connection is None and now_ns >= self._next_try_ns and not self._closed:
            self._unkillable = [old for old in self._unkillable if old.thread.is_alive()]
            if len(self._unkillable) < _MAX_UNKILLABLE:
                self._open(now_ns)
            else:
                self._set_problem(
                    f"{len(self._unkillable)} processes hang in the input and cannot be killed; unplug the device or "
                    "restart this machine"
                )

    def close(self) -> None:
        """Release the input. A process that does not release it in time is killed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandoned = True
            connection.input.close()
            connection.thread.join(_CLOSE_TIMEOUT_S)
            if connection.thread.is_alive():
                connection.input.kill()
                connection.thread.join(_KILL_TIMEOUT_S)
        self._opener.close()

    def _open(self, now_ns: int) -> None:
        self._tries += 1
        try:
            self._connection = _Connection(self._opener.open(), self._deliver, now_ns)
        except SourceError as error:
            self._on_ended(str(error), now_ns)

    def _deliver(self, connection: _Connection, grab: Grab) -> bool:
        with self._changed:
            if connection.abandoned or self._closed:
                return False
            connection.grabs += 1
            connection.last_sign_ns = self._clock.now_ns()
            if self._grabs.put(grab, grab.t_decoded_ns) is not None:  # it may have been queued on its way here
                self._skipped += 1
            self.problem, self._failures = "", 0
            self._changed.notify_all()
            return True

    def _set_problem(self, problem: str) -> None:
        if problem != self.problem:
            logger.warning("%s", problem)
        self.problem = problem

    def _on_ended(self, problem: str, now_ns: int) -> None:
        self._set_problem(problem)
        self._connection = None
        self._next_try_ns = now_ns + min(_FIRST_PAUSE_NS << min(self._failures, 10), _MAX_PAUSE_NS)
        self._failures += 1

    def _abandon(self, connection: _Connection) -> None:
        connection.abandoned = True
        connection.input.kill()
        self._unkillable.append(connection)
