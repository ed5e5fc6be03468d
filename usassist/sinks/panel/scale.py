"""The scale that a page sets by two points: checked, and sent to the stream, which applies it."""

from __future__ import annotations

import msgspec

from usassist.bus import Inbox, MarkBody, MarkKind
from usassist.calibrate.two_points import scale_of_two_points
from usassist.common.clock import Clock
from usassist.errors import CalibrationError
from usassist.records import Frame
from usassist.sinks.panel.marks import RateLimit
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.ws_protocol import ScaleRequest, preview, refusal

__all__ = ["FrameScale", "ScaleIntake", "scale_of_frame"]


class FrameScale(msgspec.Struct, frozen=True, kw_only=True):
    """Scale of the frame that is shown: mm per px, row step first, relative standard uncertainty, and origin."""

    spacing_rc_mm: tuple[float, float]
    rel_sd: float
    origin: str


def scale_of_frame(frame: Frame | None) -> FrameScale | None:
    """The scale that a frame carries; None where it has none."""
    if frame is None or frame.spacing_rc_mm is None or frame.spacing_rel_sd is None:
        return None
    return FrameScale(
        spacing_rc_mm=frame.spacing_rc_mm, rel_sd=frame.spacing_rel_sd, origin=frame.calibration_id or "the source"
    )


class ScaleIntake:
    """Checks the scales that pages ask for, says what they would be, and sends the confirmed ones to the stream.

    Parameters
    ----------
    inbox : to the stream
    shown : frames that may be marked, with their size
    clock : stamps the marks
    """

    def __init__(self, inbox: Inbox, shown: ShownFrames, clock: Clock) -> None:
        self._inbox, self._shown, self._clock = inbox, shown, clock

    def answer(self, request: ScaleRequest, limit: RateLimit) -> str:
        """What the page is told: a preview, a refusal, or nothing where a mark was sent.

        Parameters
        ----------
        request : from the page
        limit : of that page; a preview does not count
        """
        if request.confirmed and not limit.take():
            return refusal(request, "too many marks in a short time")
        unknown = self._shown.why_not_markable(request.session_id, request.frame_id)
        size_hw_px = self._shown.size_hw_px(request.frame_id)
        if unknown or size_hw_px is None:
            return refusal(request, unknown or "that frame was not shown")
        try:
            scale = scale_of_two_points(request.points_xy_px, request.distance_mm, size_hw_px)
        except CalibrationError as error:
            return refusal(request, str(error))
        if not request.confirmed:
            return preview(request, scale)
        body = MarkBody(
            session_id=request.session_id,
            frame_id=request.frame_id,
            kind=MarkKind.SCALE,
            t_mark_ns=self._clock.now_ns(),
            points_xy_px=request.points_xy_px,
            distance_mm=request.distance_mm,
        )
        return "" if self._inbox.send("mark", body) else refusal(request, "no stream is running")
