"""The state of the page, built from bus messages. No thread, no socket, no browser."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass

from usassist.bus import EngineBody, HealthBody, MarkBody, Message, ResultBody, SessionBody, frame_from, result_from
from usassist.common.clock import Clock
from usassist.errors import MessageError
from usassist.records import Frame, Result, ResultState, SignalState
from usassist.sinks.covering import cover
from usassist.sinks.frame_result_join import NewestFrameJoin
from usassist.sinks.panel.jpeg import JpegEncoder
from usassist.sinks.panel.packet import Counters, Head, Nodule, labels_of, nodules_of, point_of
from usassist.sinks.panel.said import Said
from usassist.sinks.panel.scale import scale_of_frame
from usassist.sinks.panel.tally import Tally
from usassist.sinks.panel.text_watch import TextWatch
from usassist.sinks.reports import Reports
from usassist.sinks.view import View, view_of_frame, view_of_silence

__all__ = ["Scene"]

logger = logging.getLogger(__name__)

_OTHER_IMAGE = (SignalState.LOST, SignalState.CHANGED, SignalState.NOT_B_MODE)


@dataclass(slots=True, kw_only=True, eq=False)
class _Shown:
    """The frame on the page, with its view at the time it was shown."""

    frame: Frame
    result: Result | None
    view: View
    nodules: tuple[Nodule, ...]
    since_ns: int
    jpeg: bytes | memoryview = b""
    covered: Frame | None = None


class Scene:
    """The newest frame with its own result, and the state of the stream.

    Parameters
    ----------
    clock : for ages and timeouts
    jpeg_quality : 1 to 100
    text : finds text burnt into the image, which is covered; None = nothing is covered
    said : keeps what people say about frames and nodules

    Attributes
    ----------
    tally, reports : counters; health and marks
    engine, session : the last of these messages
    screen_ms : p50 and p99 from capture to a drawn canvas, None before the first
    """

    def __init__(
        self, clock: Clock, jpeg_quality: int, text: TextWatch | None = None, said: Said | None = None
    ) -> None:
        self._clock = clock
        self._text = text
        self._said = Said() if said is None else said
        self._encoder = JpegEncoder(jpeg_quality)
        self._join = NewestFrameJoin(clock)
        self.tally = Tally()
        self.reports = Reports(clock)
        self.session: SessionBody | None = None
        self.engine: EngineBody | None = None
        self.screen_ms: tuple[float, float] | None = None
        self._session_id: str | None = None  # of the newest frame
        self._session_id_before: str | None = None
        self._frame_came_ns = 0
        self._shown: _Shown | None = None
        self._watched = True
        self._silent = True
        self._changed = False
        self._problem = ""

    def set_watched(self, *, watched: bool) -> None:
        """Start over, with or without frames: without a connected page results are counted and nothing is joined.

        The frame shown before is cleared, because what followed it was not received.
        """
        self._watched = watched
        self._join = NewestFrameJoin(self._clock)
        self._shown = None
        self._frame_came_ns = self._clock.now_ns()
        self.tally.reset_sequence()

    def add(self, message: Message) -> None:
        """Take one message."""
        self.tally.count_gaps(message)
        try:
            if message.topic.name == "frame":
                self._add_frame(frame_from(message))
            elif isinstance(message.body, ResultBody):
                self._add_result(message)
            elif isinstance(message.body, SessionBody):
                self._add_session(message.body)
            elif isinstance(message.body, EngineBody):
                self.engine = message.body
            elif isinstance(message.body, HealthBody):
                self.reports.add_health(message.body, self.session.rate_hz if self.session else None)
            elif isinstance(message.body, MarkBody):
                self.reports.add_mark(message.body)
                self._said.add(message.body)
                self._changed = True
        except MessageError as error:
            self.tally.malformed += 1
            logger.warning("message skipped: %s", error)

    def fail(self, problem: str) -> None:
        """Show that the stream cannot be read, until the next frame is shown."""
        self._problem = problem

    def advance(self) -> bool:
        """Show the newest frame with its result, if there is one.

        Returns
        -------
        changed : True when there is something new to show, also a mark, or that frames have stopped
        """
        changed, self._changed = self._changed, False
        now_ns = self._clock.now_ns()
        joined = self._join.take()
        if joined is not None:
            self._show(joined.frame, joined.result, now_ns)
            self._silent = False
            return True
        silent = self._silence(now_ns) is not None
        began, self._silent = silent and not self._silent, silent
        return began or changed

    def head(self) -> Head:
        """Head of the next packet."""
        now_ns = self._clock.now_ns()
        shown, session, engine = self._shown, self.session, self.engine
        if self._problem:
            view: View | None = View(
                state=ResultState.NO_RESULT, headline="NO RESULT", detail=self._problem, draw=False, age_ms=None
            )
        else:
            view = self._silence(now_ns)
        if view is None and shown is not None:
            view = shown.view
        assert view is not None  # without a frame the stream is silent
        age_ms = view.age_ms
        if age_ms is not None and shown is not None:
            age_ms += (now_ns - shown.since_ns) / 1e6
        result = shown.result if shown is not None else None
        tally = self.tally
        p50_ms, p99_ms = self.screen_ms if self.screen_ms is not None else (None, None)
        return Head(
            session_id=shown.frame.session_id if shown else None,
            frame_id=shown.frame.frame_id if shown else None,
            state=view.state.value,
            headline=view.headline,
            detail=view.detail,
            draw=view.draw,
            live=shown is not None and view is shown.view,
            age_ms=None if age_ms is None else round(age_ms, 1),
            image_hw_px=shown.frame.image_hw_px if shown else None,
            source=session.source if session else "",
            engine_id=engine.engine_id if engine else result.engine_id if result else "",
            backend=result.backend if result else engine.backend if engine else "",
            engine_note=engine.note if engine else "",
            intended_use=engine.intended_use if engine else "",
            point=point_of(engine),
            labels=tuple(labels_of(engine).values()),
            nodules=shown.nodules if shown and view.draw else (),
            counters=Counters(
                shown=tally.shown,
                skipped=tally.skipped,
                malformed=tally.malformed,
                by_cause=dict(tally.by_cause),
                health=self.reports.health("stream"),
                screen_p50_ms=p50_ms,
                screen_p99_ms=p99_ms,
            ),
            recording=self.reports.recording(session),
            marks=self.reports.marks(),
            scale=scale_of_frame(shown.frame if shown else None),
            scale_note=session.scale_note if session else "",
            word=view.word,
            count=view.count,
            domain=view.domain,
            kind=session.kind if session else "",
            replayed=session.replayed if session else False,
            t_capture_ms=round(shown.frame.t_capture_ns / 1e6, 3) if shown and age_ms is not None else None,
            clip_s=_clip_s(shown.frame) if shown else None,
            t_ms=round(now_ns / 1e6, 3),
        )

    def on_screen(self) -> tuple[str, int, int | None, tuple[int, ...]] | None:
        """Session, frame id, capture time (ns) and track ids of the frame shown; None for the time where an age has no
        meaning."""
        if self._shown is None:
            return None
        frame = self._shown.frame
        realtime = self.session is None or self.session.realtime
        track_ids = tuple(nodule.track_id for nodule in self._shown.nodules)
        return frame.session_id, frame.frame_id, frame.t_capture_ns if realtime else None, track_ids

    def jpeg(self) -> bytes | memoryview:
        """JPEG of the frame shown, encoded on first use; empty before the first frame."""
        shown = self._shown
        if shown is None:
            return b""
        if not len(shown.jpeg):
            shown.covered = self._covered(shown.frame)
            shown.jpeg = self._encoder.encode(shown.covered)
        return shown.jpeg

    def sent(self) -> tuple[Frame, Result | None, bool] | None:
        """What the last JPEG shows: the frame with text covered, its own result, and whether its outlines may be drawn.
        None before the first."""
        shown = self._shown
        if shown is None or shown.covered is None:
            return None
        return shown.covered, shown.result, shown.view.draw

    def _covered(self, frame: Frame) -> Frame:
        boxes = () if self._text is None else (*frame.text_xyxy_px, *self._text.boxes_xyxy_px)
        return dataclasses.replace(frame, image=cover(frame.image, boxes)) if boxes else frame

    def _add_frame(self, frame: Frame) -> None:
        if frame.session_id != self._session_id:
            self._session_id_before, self._session_id = self._session_id, frame.session_id
            self._enter(frame.session_id)
            if self.session is not None and self.session.session_id != frame.session_id:
                self.session = None
        self._frame_came_ns = self._clock.now_ns()
        self._join.add_frame(frame)

    def _add_result(self, message: Message) -> None:
        if self._watched:
            self._join.add_result(result_from(message))
        if message.body.cause is not None:
            self.tally.by_cause[message.body.cause.value] += 1

    def _add_session(self, body: SessionBody) -> None:
        # Frames and events use different sockets: the final message of the previous session may arrive after the
        # first frame of this one.
        if body.session_id != self._session_id_before:
            self.session = body
            self._enter(body.session_id)

    def _enter(self, session_id: str) -> None:
        self._said.enter_session(session_id)
        if self.reports.enter_session(session_id):
            self.tally.enter_session()

    def _show(self, frame: Frame, result: Result | None, now_ns: int) -> None:
        before = self._shown
        if self._text is not None:
            self._text.offer(frame.image, now_ns)
        skipped = 0
        if before is not None and before.frame.session_id == frame.session_id:
            skipped = max(0, frame.frame_id - before.frame.frame_id - 1)
        if frame.picture in _OTHER_IMAGE:
            self._said.end_plane(frame.frame_id)
        view = view_of_frame(result, self.engine, self.session, now_ns, frame.picture)
        nodules: tuple[Nodule, ...] = ()
        if view.draw and result is not None:
            try:
                engine = self.engine
                nodules = nodules_of(
                    result,
                    labels_of(engine),
                    scores_calibrated=engine is not None and engine.score_calibration_id is not None,
                    agreement={} if engine is None else engine.descriptor_agreement,
                )
            except LookupError as error:
                detail = f"engine {result.engine_id} has not announced its label {error}"
                view = View(
                    state=ResultState.NO_RESULT, headline="NO RESULT", detail=detail, draw=False, age_ms=view.age_ms
                )
        self._problem = ""
        self.tally.show(skipped, answered=view.state.is_answer, missing=result is None)
        self._shown = _Shown(frame=frame, result=result, view=view, nodules=nodules, since_ns=now_ns)

    def _silence(self, now_ns: int) -> View | None:
        session = self.session
        silent_ms: float | None = (now_ns - self._frame_came_ns) / 1e6
        if self._session_id is None or (session is not None and session.session_id != self._session_id):
            silent_ms = None  # this session has not had a frame yet
        view = view_of_silence(session, silent_ms)
        if view is None and (self._shown is None or self._shown.frame.session_id != self._session_id):
            return view_of_silence(None, None)
        return view


def _clip_s(frame: Frame) -> float | None:
    return None if frame.pts is None or frame.time_base is None else round(float(frame.pts * frame.time_base), 3)
