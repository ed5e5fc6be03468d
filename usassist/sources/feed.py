"""Keep a live input open, for ever, without ever waiting for it.

Each input is read in a thread of its own, which only waits for the process that is in the device (see ``capture/``).
When that gives no sign for too long it is killed, and another takes its place. Of the screens that come only the newest
are kept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from usassist.common.clock import Clock
from usassist.common.fresh_queue import FreshQueue
from usassist.errors import SourceError, UsAssistError
from usassist.sources.grab import Grab, Input, Opener

__all__ = ["Feed"]

logger = logging.getLogger(__name__)

_STUCK_STARTING_NS = 30_000_000_000  # a process on a busy machine; no device is asked yet
_STUCK_OPENING_NS = 4_000_000_000
_STUCK_READING_NS = 1_500_000_000  # one that answers says after 1 s that nothing comes
_SUSPICIOUS_SHARE = 0.75  # of such a time: then another process is started, to be there when it is needed
_FIRST_PAUSE_NS = 100_000_000  # before it is opened again, doubled with every failure
_LONGEST_PAUSE_NS = 500_000_000
_MAX_LEFT = 4  # inputs that do not even end when they are killed; with so many, no other is opened
_IN_ORDER_S = 1.0  # that an input may take to release the device when all ends
_KILLED_S = 0.5


class _Attempt:
    """One input, and the thread that reads from it until it ends."""

    def __init__(self, source: Input, deliver: Callable[[_Attempt, Grab], bool], now_ns: int) -> None:
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
                    self.input.close()  # and on, until it has ended in order
            self.problem = "the signal has ended"
        except UsAssistError as error:
            self.problem = str(error)
        except Exception as error:
            logger.exception("grabbing failed")
            self.problem = f"grabbing failed: {error!r}; this is a fault of usassist, report it"

    def silence(self, now_ns: int) -> float:
        """How long nothing was heard of it, as a share of how long that may be."""
        if not self._started and self.input.started:
            self._started = True
            if not self.grabs:
                self.last_sign_ns = now_ns
        patience_ns = _STUCK_READING_NS if self.grabs else _STUCK_OPENING_NS if self._started else _STUCK_STARTING_NS
        return (now_ns - self.last_sign_ns) / patience_ns


class Feed:
    """The newest screens of a live input; how long they may wait, see :class:`usassist.common.fresh_queue.FreshQueue`.

    Parameters
    ----------
    opener : opens the input
    clock : for pauses and for what is stuck

    Attributes
    ----------
    problem : why nothing comes, in one line; empty while it does
    reconnects : how often it was opened again
    """

    def __init__(self, opener: Opener, clock: Clock) -> None:
        self._opener, self._clock = opener, clock
        self._changed = threading.Condition()
        self._grabs: FreshQueue[Grab] = FreshQueue(clock)
        self._skipped = 0
        self._attempt: _Attempt | None = None
        self._left: list[_Attempt] = []
        self._failures = 0
        self._next_try_ns = 0
        self._tries = 0
        self._closed = False
        self.problem = ""

    @property
    def reconnects(self) -> int:
        """How often the input was opened again."""
        return max(0, self._tries - 1)

    @property
    def input(self) -> Input | None:
        """The input, while there is one."""
        attempt = self._attempt
        return None if attempt is None else attempt.input

    def take(self, timeout_s: float) -> tuple[Grab | None, int]:
        """Wait for a screen.

        Returns
        -------
        grab : the next one, or None when none came in time
        skipped : how many before it were passed over
        """
        with self._changed:
            self._changed.wait_for(lambda: self._grabs or self._closed, timeout_s)
            skipped, self._skipped = self._skipped + len(self._grabs.drop_stale()), 0
            return self._grabs.take() if self._grabs else None, skipped

    def look_after(self) -> None:
        """Open it again where it has ended, and kill one that is stuck. Never waits for the device."""
        now_ns = self._clock.now_ns()
        attempt = self._attempt
        if attempt is not None:
            if not attempt.thread.is_alive():
                self._ended(attempt.problem or "the signal has ended", now_ns)
            elif (silence := attempt.silence(now_ns)) > 1:
                self._abandon(attempt)
                self._ended("the input does not answer; it is opened again", now_ns)
            elif silence > _SUSPICIOUS_SHARE:
                self._opener.prepare()
        if self._attempt is None and now_ns >= self._next_try_ns and not self._closed:
            self._left = [old for old in self._left if old.thread.is_alive()]
            if len(self._left) < _MAX_LEFT:
                self._open(now_ns)
            else:
                self._tell(
                    f"{len(self._left)} processes hang in the input and cannot be killed; unplug the device or restart "
                    "this machine"
                )

    def close(self) -> None:
        """Give the input back. One that does not release it in order is killed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.abandoned = True
            attempt.input.close()
            attempt.thread.join(_IN_ORDER_S)
            if attempt.thread.is_alive():
                attempt.input.kill()
                attempt.thread.join(_KILLED_S)
        self._opener.close()

    def _open(self, now_ns: int) -> None:
        self._tries += 1
        try:
            self._attempt = _Attempt(self._opener.open(), self._deliver, now_ns)
        except SourceError as error:
            self._ended(str(error), now_ns)

    def _deliver(self, attempt: _Attempt, grab: Grab) -> bool:
        with self._changed:
            if attempt.abandoned or self._closed:
                return False
            attempt.grabs += 1
            attempt.last_sign_ns = self._clock.now_ns()
            if self._grabs.put(grab, grab.t_decoded_ns) is not None:  # it may have waited on its way here
                self._skipped += 1
            self.problem, self._failures = "", 0
            self._changed.notify_all()
            return True

    def _tell(self, problem: str) -> None:
        if problem != self.problem:
            logger.warning("%s", problem)
        self.problem = problem

    def _ended(self, problem: str, now_ns: int) -> None:
        self._tell(problem)
        self._attempt = None
        self._next_try_ns = now_ns + min(_FIRST_PAUSE_NS << min(self._failures, 10), _LONGEST_PAUSE_NS)
        self._failures += 1

    def _abandon(self, attempt: _Attempt) -> None:
        attempt.abandoned = True
        attempt.input.kill()
        self._left.append(attempt)
