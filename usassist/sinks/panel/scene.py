"""What is on the screen now, put together from the messages of the bus. No thread, no socket, no page."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field

import cv2

from usassist.bus import EngineBody, HealthBody, Message, SessionBody, frame_from, result_from
from usassist.clock import Clock
from usassist.errors import MessageError
from usassist.records import Cause, Frame, Result, ResultState
from usassist.sinks.pair import NewestPair
from usassist.sinks.panel.packet import Counters, Head, Label, Nodule, nodules_of
from usassist.sinks.view import View, view_of_pair, view_of_silence

__all__ = ["Scene", "encode_jpeg"]

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True, eq=False)
class _Shown:
    """The frame on the screen, with what was said of it when it came there."""

    frame: Frame
    result: Result | None
    view: View
    nodules: tuple[Nodule, ...]
    since_ns: int
    jpeg: bytes = b""


@dataclass(slots=True)
class _Tally:
    shown: int = 0
    skipped: int = 0
    by_cause: Counter[str] = field(default_factory=Counter)


class Scene:
    """The newest frame with its own result, and what is known about the stream.

    Parameters
    ----------
    clock : for ages, and for how long the stream has been silent
    jpeg_quality : 1 to 100
    """

    def __init__(self, clock: Clock, jpeg_quality: int) -> None:
        self._clock = clock
        self._jpeg_quality = jpeg_quality
        self._pairs = NewestPair(clock)
        self._session: SessionBody | None = None
        self._engine: EngineBody | None = None
        self._health: HealthBody | None = None
        self._session_id: str | None = None  # of the newest frame
        self._session_id_before: str | None = None
        self._frame_came_ns = 0
        self._shown: _Shown | None = None
        self._tally = _Tally()
        self._malformed = 0
        self._silent = True
        self._problem = ""

    def add(self, message: Message) -> None:
        """A message has arrived."""
        try:
            if message.topic.name == "frame":
                self._add_frame(frame_from(message))
            elif message.topic.name == "result":
                self._pairs.add_result(self._count(result_from(message)))
            elif isinstance(message.body, SessionBody):
                self._add_session(message.body)
            elif isinstance(message.body, EngineBody):
                self._engine = message.body
            elif isinstance(message.body, HealthBody):
                self._health = message.body
        except MessageError as error:
            self._malformed += 1
            logger.warning("message passed over: %s", error)

    def fail(self, problem: str) -> None:
        """The stream cannot be read; the page says so until a frame can be shown again."""
        self._problem = problem

    def advance(self) -> bool:
        """Bring the newest pair on the screen, if there is one.

        Returns
        -------
        changed : True when there is something new to show, which includes that the stream has fallen silent
        """
        now_ns = self._clock.now_ns()
        pair = self._pairs.take()
        if pair is not None:
            self._show(pair.frame, pair.result, now_ns)
            self._silent = False
            return True
        silent = self._silence(now_ns) is not None
        began, self._silent = silent and not self._silent, silent
        return began

    def head(self) -> Head:
        """What the page is told now."""
        now_ns = self._clock.now_ns()
        shown, session, engine = self._shown, self._session, self._engine
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
        tally = self._tally
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
            point=_point(engine),
            labels=tuple(_labels(engine).values()),
            nodules=shown.nodules if shown and view.draw else (),
            counters=Counters(
                shown=tally.shown,
                skipped=tally.skipped,
                malformed=self._malformed,
                by_cause=dict(tally.by_cause),
                health=self._health,
            ),
            t_ms=round(now_ns / 1e6, 3),
        )

    def jpeg(self) -> bytes:
        """The picture on the screen, encoded when first asked for; empty before the first frame."""
        shown = self._shown
        if shown is None:
            return b""
        if not shown.jpeg:
            shown.jpeg = encode_jpeg(shown.frame, self._jpeg_quality)
        return shown.jpeg

    def _add_frame(self, frame: Frame) -> None:
        if frame.session_id != self._session_id:
            self._session_id_before, self._session_id = self._session_id, frame.session_id
            self._tally = _Tally()
            if self._session is not None and self._session.session_id != frame.session_id:
                self._session = self._health = None
        self._frame_came_ns = self._clock.now_ns()
        self._pairs.add_frame(frame)

    def _add_session(self, body: SessionBody) -> None:
        # Pixels and events travel apart: the last word of the stream before may come after this one's first frame.
        if body.session_id != self._session_id_before:
            self._session = body

    def _count(self, result: Result) -> Result:
        if result.cause is not None:
            self._tally.by_cause[result.cause.value] += 1
        return result

    def _show(self, frame: Frame, result: Result | None, now_ns: int) -> None:
        before = self._shown
        if before is not None and before.frame.session_id == frame.session_id:
            self._tally.skipped += max(0, frame.frame_id - before.frame.frame_id - 1)
        self._tally.shown += 1
        if result is None:
            self._tally.by_cause[Cause.MISSING.value] += 1
        view = view_of_pair(result, self._engine, self._session, now_ns, frame.picture)
        nodules: tuple[Nodule, ...] = ()
        if view.draw and result is not None:
            try:
                engine = self._engine
                nodules = nodules_of(
                    result,
                    _labels(engine),
                    scores_calibrated=engine is not None and engine.score_calibration_id is not None,
                    agreement={} if engine is None else engine.descriptor_agreement,
                )
            except LookupError as error:
                detail = f"engine {result.engine_id} has not announced its label {error}"
                view = View(
                    state=ResultState.NO_RESULT, headline="NO RESULT", detail=detail, draw=False, age_ms=view.age_ms
                )
        self._problem = ""
        self._shown = _Shown(frame=frame, result=result, view=view, nodules=nodules, since_ns=now_ns)

    def _silence(self, now_ns: int) -> View | None:
        session = self._session
        silent_ms: float | None = (now_ns - self._frame_came_ns) / 1e6
        if self._session_id is None or (session is not None and session.session_id != self._session_id):
            silent_ms = None  # this session has not had a frame yet
        view = view_of_silence(session, silent_ms)
        if view is None and (self._shown is None or self._shown.frame.session_id != self._session_id):
            return view_of_silence(None, None)
        return view


def encode_jpeg(frame: Frame, quality: int) -> bytes:
    """The picture of a frame as JPEG.

    Parameters
    ----------
    frame : grey or RGB
    quality : 1 to 100
    """
    image = frame.image
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)  # type: ignore[assignment]
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def _labels(engine: EngineBody | None) -> dict[int, Label]:
    if engine is None:
        return {}
    return {label.id: Label(name=label.name, color_rgb=label.color_rgb) for label in engine.labels}


def _point(engine: EngineBody | None) -> str:
    if engine is None:
        return ""
    return "the engine's own; scores are not calibrated" if engine.point is None else engine.point.words
