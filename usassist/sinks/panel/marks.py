"""Marks made on the page: checked, and sent to the stream, which publishes them."""

from __future__ import annotations

from usassist.bus import Inbox, MarkBody, MarkKind
from usassist.clinical import check_words
from usassist.common.clock import Clock
from usassist.errors import UsageError
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.ws_protocol import DescriptorsRequest, MarkRequest, PlaneRequest, Request

__all__ = ["MarkIntake", "RateLimit"]

_BURST = 5
_PER_S = 2.0


class RateLimit:
    """Token bucket of one page: a burst of five marks, two a second sustained.

    Parameters
    ----------
    clock : for the rate
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left = float(_BURST)
        self._since_ns = clock.now_ns()

    def take(self) -> bool:
        """Take one token; False when there is none."""
        now_ns = self._clock.now_ns()
        self._left = min(float(_BURST), self._left + (now_ns - self._since_ns) / 1e9 * _PER_S)
        self._since_ns = now_ns
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


class MarkIntake:
    """Checks the marks that pages request, and sends them to the stream.

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

    def rate_limit(self) -> RateLimit:
        """A rate limit for one page."""
        return RateLimit(self._clock)

    def submit(self, request: Request, limit: RateLimit) -> str:
        """Send a mark to the stream; bad words are refused, and never raise.

        Parameters
        ----------
        request : from the page
        limit : of that page

        Returns
        -------
        reason : why it was refused; empty when it was sent
        """
        if not limit.take():
            return "too many marks in a short time"
        unknown = self._shown.why_not_markable(request.session_id, request.frame_id)
        if unknown:
            return unknown
        if isinstance(request, DescriptorsRequest):
            unfit = self._why_not_confirmable(request)
            if unfit:
                return unfit
        body = _body_of(request, self._clock.now_ns())
        return "" if self._inbox.send("mark", body) else "no stream is running"

    def _why_not_confirmable(self, request: DescriptorsRequest) -> str:
        if request.track_id < 1:
            return "this nodule is not tracked, so it has no identity that words could belong to"
        if not self._shown.has_track(request.track_id):
            return f"no nodule N{request.track_id} was shown in this session"
        try:
            check_words(request.descriptors)
        except UsageError as error:
            return str(error)
        return ""


def _body_of(request: Request, now_ns: int) -> MarkBody:
    if isinstance(request, MarkRequest):
        return MarkBody(
            session_id=request.session_id, frame_id=request.frame_id, kind=MarkKind(request.kind), t_mark_ns=now_ns
        )
    if isinstance(request, PlaneRequest):
        return MarkBody(
            session_id=request.session_id,
            frame_id=request.frame_id,
            kind=MarkKind.PLANE,
            t_mark_ns=now_ns,
            plane=request.plane,
            side=request.side,
        )
    return MarkBody(
        session_id=request.session_id,
        frame_id=request.frame_id,
        kind=MarkKind.DESCRIPTORS,
        t_mark_ns=now_ns,
        track_id=request.track_id,
        descriptors=request.descriptors,
    )
