"""Marks that people make on the page: looked at, and handed to the stream, which publishes them like its own."""

from __future__ import annotations

from usassist.bus import Inbox, MarkBody
from usassist.common.clock import Clock
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.ws_protocol import MarkWish

__all__ = ["Allowance", "MarkTaker"]

_AT_ONCE = 5
_PER_S = 2.0


class Allowance:
    """How many marks one page may make: five at once, two a second in the long run.

    Parameters
    ----------
    clock : for the rate
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = float(_AT_ONCE)
        self._since_ns = clock.now_ns()

    def take(self) -> bool:
        """One more; False when there are none left."""
        now_ns = self._clock.now_ns()
        self._left = min(float(_AT_ONCE), self._left + (now_ns - self._since_ns) / 1e9 * _PER_S)
        self._since_ns = now_ns
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class MarkTaker:
    """Takes wishes for marks.

    Parameters
    ----------
    inbox : to the stream
    shown : frames that may be marked
    clock : stamps the marks
    """

    def __init__(self, inbox: Inbox, shown: ShownFrames, clock: Clock) -> None:
        self._inbox = inbox
        self._shown = shown
        self._clock = clock

    def allowance(self) -> Allowance:
        """For one page."""
        return Allowance(self._clock)

    def take(self, wish: MarkWish, allowance: Allowance) -> str:
        """Hand in a mark.

        Parameters
        ----------
        wish : what the page asks for
        allowance : of that page

        Returns
        -------
        refused : empty when it was handed in, else why not
        """
        if not allowance.take():
            return "too many marks at once"
        unknown = self._shown.why_unknown(wish.session_id, wish.frame_id)
        if unknown:
            return unknown
        body = MarkBody(
            session_id=wish.session_id, frame_id=wish.frame_id, kind=wish.kind, t_mark_ns=self._clock.now_ns()
        )
        return "" if self._inbox.send("mark", body) else "no stream takes it"
