"""The content of the window without the window: messages and actions in, canvases out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.bus import (
    EngineBody,
    HealthBody,
    MarkBody,
    MarkKind,
    Message,
    Plane,
    SessionBody,
    Side,
    frame_from,
    result_from,
)
from usassist.common.clock import Clock
from usassist.records import Frame, Result, SignalState
from usassist.sinks.frame_result_join import NewestFrameJoin
from usassist.sinks.overlay.depth_scale import DepthScale
from usassist.sinks.overlay.draw import Painter
from usassist.sinks.overlay.health import OverlayHealth
from usassist.sinks.overlay.keys import HELP, Action
from usassist.sinks.overlay.layout import Layout, native_layout, window_layout
from usassist.sinks.overlay.marks import Outbox, WindowMarks
from usassist.sinks.overlay.side import SideColumn, key_lines, nodule_lines
from usassist.sinks.reports import Recording, RecordingState, Reports
from usassist.sinks.view import View, view_of_frame, view_of_silence

__all__ = ["OverlayScreen"]

UInt8Array = npt.NDArray[np.uint8]

_EMPTY_HW_PX = (360, 560)
_MARKS = {Action.BOOKMARK: MarkKind.BOOKMARK, Action.WRONG: MarkKind.WRONG, Action.MISSED: MarkKind.MISSED}
_PLANES = {Action.TRANSVERSE: Plane.TRANSVERSE, Action.LONGITUDINAL: Plane.LONGITUDINAL}
_SIDES = {Action.RIGHT: Side.RIGHT, Action.LEFT: Side.LEFT, Action.ISTHMUS: Side.ISTHMUS}
_OTHER_PLACE = (SignalState.LOST, SignalState.CHANGED, SignalState.NOT_B_MODE)  # after these, a plane holds no longer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shown:
    """What is on the screen: a frame with its own result, and what may be shown of it."""

    frame: Frame | None = None
    result: Result | None = None
    view: View | None = None


class OverlayScreen:
    """Takes messages and actions, and paints.

    Parameters
    ----------
    clock : the clock of the stream's time stamps
    inbox : receives this overlay's health messages and marks; None = none are sent
    """

    def __init__(self, clock: Clock, inbox: Outbox | None = None) -> None:
        self._clock = clock
        self._health = OverlayHealth(clock, inbox)
        self._marks = WindowMarks(inbox, clock)
        self._reports = Reports(clock)
        self._painter, self._column, self._depth_scale = Painter(), SideColumn(), DepthScale()
        self._join = NewestFrameJoin(clock)
        self._engine: EngineBody | None = None
        self._session: SessionBody | None = None
        self._shown = _Shown()
        self._plane: Plane | None = None  # as stated last, by whomever
        self._side: Side | None = None
        self._is_frozen = self._shows_help = False
        self._shows_outlines = True
        self._last_frame_ns: int | None = None
        self._fresh = False
        self._skipped = 0
        self._painted: tuple[object, ...] = ()

    def take(self, message: Message) -> None:
        """Take one message."""
        body = message.body
        if message.topic.name == "frame":
            self._join.add_frame(frame_from(message))
            self._health.arrived(body.frame_id)
            self._last_frame_ns = self._clock.now_ns()
        elif message.topic.name == "result":
            self._join.add_result(result_from(message))
            self._health.arrived(body.frame_id)
        elif isinstance(body, EngineBody):
            self._engine = body
        elif isinstance(body, SessionBody):
            self._session = body
            if self._reports.enter_session(body.session_id):
                self._plane = self._side = None
        elif isinstance(body, HealthBody):
            self._reports.add_health(body, None if self._session is None else self._session.rate_hz)
        elif isinstance(body, MarkBody):
            self._marks.take(body)
            if (
                body.kind is MarkKind.PLANE
                and self._session is not None
                and body.session_id == self._session.session_id
            ):
                self._plane, self._side = body.plane, body.side

    def act(self, action: Action, save: Callable[[UInt8Array, str], str] | None = None) -> None:
        """Do what a key stands for; those of the window itself are not known here.

        Parameters
        ----------
        action : of the key
        save : writes a snapshot under a name and returns where it is, or why it could not be written; None = no
            snapshots
        """
        frame = self._shown.frame
        if action is Action.HELP:
            self._shows_help = not self._shows_help
        elif action is Action.OUTLINES:
            self._shows_outlines = not self._shows_outlines
        elif action is Action.FREEZE:
            self._is_frozen = not self._is_frozen and frame is not None
        elif action in _MARKS:
            self._marks.make(frame, _MARKS[action])
        elif action in _PLANES or action in _SIDES:  # every statement is complete: the other half is repeated
            plane, side = _PLANES.get(action, self._plane), _SIDES.get(action, self._side)
            self._marks.make(frame, MarkKind.PLANE, plane=plane, side=side)
        elif action is Action.SNAPSHOT and save is not None and frame is not None:
            name = f"{frame.session_id}-frame-{frame.frame_id:06d}"
            self._marks.notify(save(self._painter.canvas, name))

    def render(self, window_hw_px: tuple[int, int] | None = None) -> UInt8Array | None:
        """The canvas to show now, uint8 (H, W, 3) RGB, or None when nothing has changed.

        Parameters
        ----------
        window_hw_px : height and width of the drawable area; None = the canvas has the size of the frame
        """
        now_ns = self._clock.now_ns()
        silence = self._silence(now_ns)
        is_new = self._take_frame(now_ns)
        view = self._shown.view if silence is None or is_new or self._is_frozen else silence
        if view is None:
            return None  # frames come, and the first has not met its result
        lower, alert = self._status(silence)
        state = (view, window_hw_px, lower, alert, self._shows_help, self._shows_outlines, self._is_frozen)
        if not is_new and state == self._painted:
            return None
        self._painted = state
        return self._paint(view, window_hw_px, lower, alert)

    def drawn(self) -> None:
        """The canvas that :meth:`render` returned last is on the screen."""
        frame, result = self._shown.frame, self._shown.result
        if self._fresh and frame is not None:
            answered = result is not None and result.state.is_answer
            self._health.drawn(frame.frame_id, has_result=result is not None, answered=answered)
        self._fresh = False

    def publish_health(self) -> None:
        """Send a health message, at most one a second."""
        self._health.publish(self._skipped)

    def _take_frame(self, now_ns: int) -> bool:
        """Take the frame to show next; False where there is none, or the display is frozen."""
        joined = self._join.take()
        if joined is None or self._is_frozen:
            return False
        before = self._shown.frame
        if before is not None and before.session_id == joined.frame.session_id:
            self._skipped += max(0, joined.frame.frame_id - before.frame_id - 1)
        if joined.frame.picture in _OTHER_PLACE:
            self._plane = self._side = None
        view = view_of_frame(joined.result, self._engine, self._session, now_ns, joined.frame.picture)
        self._shown, self._fresh = _Shown(frame=joined.frame, result=joined.result, view=view), True
        return True

    def _silence(self, now_ns: int) -> View | None:
        silent_ms = None if self._last_frame_ns is None else (now_ns - self._last_frame_ns) / 1e6
        return view_of_silence(self._session, silent_ms)

    def _status(self, silence: View | None) -> tuple[str, str]:
        """What else stands in the lower bar, and what it begins with in red."""
        recording, alert = recording_in_words(self._reports.recording(self._session))
        if self._is_frozen:
            now = f" ({silence.headline.lower()}: {silence.detail})" if silence is not None else ""
            alert = "   ".join(filter(None, (f"DISPLAY FROZEN, F goes on{now}", alert)))
        place = " ".join(str(word) for word in (self._side, self._plane) if word is not None)
        notice = self._marks.notice() or ("" if self._shows_help else "H shows the keys")
        return "   ".join(filter(None, (recording, place, notice))), alert

    def _paint(self, view: View, window_hw_px: tuple[int, int] | None, lower: str, alert: str) -> UInt8Array:
        frame, result = self._shown.frame, self._shown.result
        if self._is_frozen:
            view = dataclasses.replace(view, headline=f"FROZEN HERE: {view.headline}", age_ms=None)
        layout = self._layout(frame, window_hw_px)
        lines = key_lines(HELP) if self._shows_help else None
        if lines is None and view.draw and result is not None:
            lines = nodule_lines(result, self._engine)
        has_side = layout.side_xyxy_px is not None
        detail = ", ".join(f"{key} {text}" for key, text in HELP.items()) if self._shows_help and not has_side else None
        canvas = self._painter.paint(
            frame,
            result,
            view,
            self._engine,
            layout,
            outlines=self._shows_outlines,
            detail="" if has_side else detail,
            lower=lower,
            alert=alert,
        )
        if has_side:
            self._column.draw(canvas, layout, lines or [])
        if layout.has_gutter and frame is not None:
            row_mm = None if frame.spacing_rc_mm is None else frame.spacing_rc_mm[0]
            self._depth_scale.draw(canvas, layout, row_mm, frame.image_hw_px[0])
        return canvas

    @staticmethod
    def _layout(frame: Frame | None, window_hw_px: tuple[int, int] | None) -> Layout:
        image_hw_px = _EMPTY_HW_PX if frame is None else frame.image_hw_px
        if window_hw_px is None:
            return native_layout(image_hw_px)
        return window_layout(window_hw_px, image_hw_px, None if frame is None else frame.spacing_rc_mm)


def recording_in_words(recording: Recording) -> tuple[str, str]:
    """State of the recording in words: what is calm, and what has to be seen."""
    if recording.state is RecordingState.UNKNOWN:
        return "", ""
    if recording.state is RecordingState.NONE:
        return "not recording", ""
    if recording.state is RecordingState.CLOSED:
        return "recording closed", ""
    if recording.state is not RecordingState.RUNNING:
        word = "RECORDER SILENT" if recording.state is RecordingState.SILENT else "RECORDING STOPPED"
        return "", f"{word}: {recording.reason}"
    seconds = int(recording.elapsed_s or 0.0)
    clock = f"REC {seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return clock, f"{recording.missed} messages missing in the recording" if recording.missed else ""
