"""Keep a live input open, for ever, without ever waiting for it.

Opening and reading go on in a thread of their own, because a driver or a network may keep a system call for ever. Such
a thread is abandoned: it is told to close what it holds when it ever comes back, and another takes its place. Of the
screens that come only the newest are kept.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from usassist.clock import Clock
from usassist.errors import UsAssistError
from usassist.sources.grab import Grab, Grabber
from usassist.waiting import Waiting

__all__ = ["Feed"]

logger = logging.getLogger(__name__)

_STUCK_OPENING_NS = 4_000_000_000
_STUCK_READING_NS = 2_000_000_000
_FIRST_PAUSE_NS = 100_000_000  # before it is opened again, doubled with every failure
_LONGEST_PAUSE_NS = 500_000_000
_MANY_ABANDONED = 8  # from then on it is tried again this seldom:
_SELDOM_NS = 10_000_000_000


class _Attempt:
    """One thread that opens the input and reads from it until that ends."""

    def __init__(self, opener: Callable[[], Grabber], deliver: Callable[[_Attempt, Grab], bool], now_ns: int) -> None:
        self.grabber: Grabber | None = None
        self.problem = ""
        self.grabs = 0
        self.last_sign_ns = now_ns
        self.abandoned = False
        self._opener, self._deliver = opener, deliver
        self.thread = threading.Thread(target=self._run, name="grab", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        grabber: Grabber | None = None
        try:
            grabber = self.grabber = self._opener()
            if not self.abandoned:
                for grab in grabber.grabs():
                    if not self._deliver(self, grab):
                        return
                self.problem = "the signal has ended"
        except UsAssistError as error:
            self.problem = str(error)
        except Exception as error:
            logger.exception("grabbing failed")
            self.problem = f"grabbing failed: {error!r}; this is a fault of usassist, report it"
        finally:
            if grabber is not None:
                grabber.close()


class Feed:
    """The newest screens of a live input; how long they may wait, see :class:`usassist.waiting.Waiting`.

    Parameters
    ----------
    opener : opens the input; may take long, may raise
    clock : for pauses and for what is stuck

    Attributes
    ----------
    problem : why nothing comes, in one line; empty while it does
    reconnects : how often it was opened again
    """

    def __init__(self, opener: Callable[[], Grabber], clock: Clock) -> None:
        self._opener, self._clock = opener, clock
        self._changed = threading.Condition()
        self._grabs: Waiting[Grab] = Waiting(clock)
        self._skipped = 0
        self._attempt: _Attempt | None = None
        self._abandoned: list[_Attempt] = []
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
    def grabber(self) -> Grabber | None:
        """The input, while it is open."""
        attempt = self._attempt
        return None if attempt is None else attempt.grabber

    def take(self, timeout_s: float) -> tuple[Grab | None, int]:
        """Wait for a screen.

        Returns
        -------
        grab : the next one, or None when none came in time
        skipped : how many before it were passed over
        """
        with self._changed:
            self._changed.wait_for(lambda: self._grabs or self._closed, timeout_s)
            skipped, self._skipped = self._skipped + len(self._grabs.pass_over()), 0
            return self._grabs.take() if self._grabs else None, skipped

    def look_after(self) -> None:
        """Open it again where it has ended, and give up a thread that is stuck. Never waits."""
        now_ns = self._clock.now_ns()
        attempt = self._attempt
        if attempt is not None and not attempt.thread.is_alive():
            self._ended(attempt, attempt.problem or "the signal has ended", now_ns)
        elif attempt is not None and now_ns - attempt.last_sign_ns > self._patience_ns(attempt):
            self._abandon(attempt)
            self._ended(attempt, "the input does not answer; it is opened again", now_ns)
        if self._attempt is None and now_ns >= self._next_try_ns and not self._closed:
            self._tries += 1
            self._attempt = _Attempt(self._opener, self._deliver, now_ns)

    def close(self) -> None:
        """Give the input back. A thread that is stuck in it is left behind."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            self._abandon(attempt)
            attempt.thread.join(0.5)

    def _deliver(self, attempt: _Attempt, grab: Grab) -> bool:
        with self._changed:
            if attempt.abandoned or self._closed:
                return False
            attempt.grabs += 1
            attempt.last_sign_ns = self._clock.now_ns()
            if self._grabs.put(grab) is not None:
                self._skipped += 1
            self.problem, self._failures = "", 0
            self._changed.notify_all()
            return True

    def _patience_ns(self, attempt: _Attempt) -> int:
        return _STUCK_OPENING_NS if attempt.grabs == 0 else _STUCK_READING_NS

    def _ended(self, attempt: _Attempt, problem: str, now_ns: int) -> None:
        if problem != self.problem:
            logger.warning("%s", problem)
        self.problem = problem
        self._attempt = None
        self._abandoned = [old for old in self._abandoned if old.thread.is_alive()]
        pause_ns = min(_FIRST_PAUSE_NS << min(self._failures, 10), _LONGEST_PAUSE_NS)
        self._failures += 1
        self._next_try_ns = now_ns + (_SELDOM_NS if len(self._abandoned) >= _MANY_ABANDONED else pause_ns)

    def _abandon(self, attempt: _Attempt) -> None:
        attempt.abandoned = True
        grabber = attempt.grabber
        if grabber is not None:  # closing may hang as well
            threading.Thread(target=grabber.close, name="close-grabber", daemon=True).start()
        self._abandoned.append(attempt)
