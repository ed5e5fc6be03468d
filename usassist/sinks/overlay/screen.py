"""The content of the window without the window: messages and actions in, canvases out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.bus import (
    ControlBody,
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
from usassist.sinks.overlay.keys import Action
from usassist.sinks.overlay.layout import layout_of
from usassist.sinks.overlay.marks import Outbox, WindowMarks
from usassist.sinks.overlay.nodules import LINE_RANGE_PX, Look
from usassist.sinks.overlay.notices import Notice
from usassist.sinks.overlay.requests import WindowRequests
from usassist.sinks.overlay.side import SideColumn, key_lines, nodule_lines
from usassist.sinks.overlay.snapshot import Snapshot, snapshot_line, snapshot_of
from usassist.sinks.overlay.status import Status, held, place_in_words, recorded, status_of
from usassist.sinks.reports import Reports
from usassist.sinks.view import View, view_of_frame, view_of_silence
from usassist.words import Words, load_words

__all__ = ["TOPICS_SHOWN", "OverlayScreen"]

UInt8Array = npt.NDArray[np.uint8]

TOPICS_SHOWN = ("frame", "result", "engine", "session", "health", "mark", "control")
"""What :meth:`OverlayScreen.take` takes."""

_LINE_STEP_PX = 0.5
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
    inbox : receives this overlay's health messages, marks and requests; None = none are sent
    words : of the part ``window``; None = in English
    look : how nodules are drawn at first
    """

    def __init__(
        self, clock: Clock, inbox: Outbox | None = None, words: Words | None = None, look: Look | None = None
    ) -> None:
        self._clock = clock
        self._words = words or load_words("en", "window")
        self._look = look or Look()
        self._health = OverlayHealth(clock, inbox)
        self._notice = Notice(clock)
        self._marks = WindowMarks(inbox, clock, self._notice, self._words)
        self._requests = WindowRequests(inbox, clock, self._notice, self._words)
        self._reports = Reports(clock)
        self._painter, self._column, self._depth_scale = Painter(self._words), SideColumn(self._words), DepthScale()
        self._join = NewestFrameJoin(clock)
        self._engine: EngineBody | None = None
        self._session: SessionBody | None = None
        self._shown = _Shown()
        self._plane: Plane | None = None  # as stated last, by whomever
        self._side: Side | None = None
        self._is_held = self._shows_help = False
        self._last_frame_ns: int | None = None
        self._fresh = False
        self._skipped = 0
        self._painted: tuple[object, ...] = ()

    @property
    def shown(self) -> Frame | None:
        """The frame that was painted last; None before the first."""
        return self._shown.frame

    def take(self, message: Message) -> None:
        """Take one message of :data:`TOPICS_SHOWN`."""
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
        elif isinstance(body, ControlBody):
            self._requests.take(body)
        elif isinstance(body, MarkBody):
            self._marks.take(body)
            if (
                body.kind is MarkKind.PLANE
                and self._session is not None
                and body.session_id == self._session.session_id
            ):
                self._plane, self._side = body.plane, body.side

    def act(self, action: Action, save: Callable[[Snapshot], str] | None = None) -> None:
        """Do what a key stands for; those of the window itself are not known here.

        Parameters
        ----------
        action : of the key
        save : writes a snapshot and returns where it is, or why it could not be written; None = no snapshots
        """
        frame = self._shown.frame
        if action is Action.HELP:
            self._shows_help = not self._shows_help
            self._painter.clear()
            self._column.clear()
        elif action is Action.OUTLINES:
            self._look = dataclasses.replace(self._look, outlines=not self._look.outlines)
        elif action is Action.CALIPERS:
            self._look = dataclasses.replace(self._look, calipers=not self._look.calipers)
        elif action in (Action.THICKER, Action.THINNER):
            self._thicken(_LINE_STEP_PX if action is Action.THICKER else -_LINE_STEP_PX)
        elif action is Action.FREEZE:
            self._is_held = not self._is_held and frame is not None
        elif action is Action.RECORD:
            self._requests.toggle_recording(self._reports.recording(self._session))
        elif action is Action.POINT:
            self._requests.next_point(self._engine)
        elif action in _MARKS:
            self._marks.make(frame, _MARKS[action])
        elif action in _PLANES or action in _SIDES:  # every statement is complete: the other half is repeated
            plane, side = _PLANES.get(action, self._plane), _SIDES.get(action, self._side)
            self._marks.make(frame, MarkKind.PLANE, plane=plane, side=side)
        elif action is Action.SNAPSHOT and save is not None and frame is not None:
            self._notice.say(save(self._snapshot(frame)))

    def render(self, window_hw_px: tuple[int, int] | None = None) -> UInt8Array | None:
        """The canvas to show now, uint8 (H, W, 3) RGB, or None when nothing has changed.

        Parameters
        ----------
        window_hw_px : height and width of the drawable area; None = the canvas has the size of the frame
        """
        now_ns = self._clock.now_ns()
        silence = self._silence(now_ns)
        is_new = self._take_frame(now_ns)
        view = self._shown.view if silence is None or is_new or self._is_held else silence
        if view is None:
            return None  # frames come, and the first has not met its result
        status = self._status(view, silence)
        state = (status, window_hw_px, self._shows_help, self._look)
        if not is_new and state == self._painted:
            return None
        self._painted = state
        return self._paint(view, window_hw_px, status)

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
        """Take the frame to show next; False where there is none, or the display is held."""
        joined = self._join.take()
        if joined is None or self._is_held:
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

    def _thicken(self, step_px: float) -> None:
        line_px = min(max(self._look.line_px + step_px, LINE_RANGE_PX[0]), LINE_RANGE_PX[1])
        self._look = dataclasses.replace(self._look, line_px=line_px)
        self._notice.say(self._words("said.line", px=self._words.number(line_px, 1)))

    def _status(self, view: View, silence: View | None) -> Status:
        """The texts of both bars."""
        self._marks.poll()
        self._requests.poll()
        if self._is_held:
            view = dataclasses.replace(view, age_ms=None)
        status = status_of(self._shown.frame, self._shown.result, view, self._engine, self._words, self._session)
        status = recorded(status, self._reports.recording(self._session), self._words)
        place = place_in_words(self._side, self._plane, self._words)
        said = self._notice.text or ("" if self._shows_help else self._words("detail.keys"))
        status = dataclasses.replace(status, said="   ".join(filter(None, (place, said))))
        return held(status, silence, self._words) if self._is_held else status

    def _paint(self, view: View, window_hw_px: tuple[int, int] | None, status: Status) -> UInt8Array:
        frame, result = self._shown.frame, self._shown.result
        layout = layout_of(frame, window_hw_px)
        canvas = self._painter.paint(frame, result, view, self._engine, layout, look=self._look, status=status)
        if layout.has_gutter and frame is not None:
            row_mm = None if frame.spacing_rc_mm is None else frame.spacing_rc_mm[0]
            self._depth_scale.draw(canvas, layout, row_mm, frame.image_hw_px[0])
        lines = key_lines(self._words) if self._shows_help else []
        if not lines and view.draw and result is not None:
            lines = nodule_lines(result, self._engine, self._words)
        if layout.side_xyxy_px is not None or self._shows_help:
            self._column.draw(canvas, layout, lines)
        return canvas

    def _snapshot(self, frame: Frame) -> Snapshot:
        view = self._shown.view
        assert view is not None  # it came with the frame
        status = status_of(frame, self._shown.result, view, self._engine, self._words)
        status = dataclasses.replace(status, lower=snapshot_line(frame, status.lower, self._words))
        return snapshot_of(self._painter.snapshot(status), frame, self._engine, self._words)
