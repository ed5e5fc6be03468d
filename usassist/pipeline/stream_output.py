"""What a stream publishes: one result for every frame, and its state for those who join late."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import msgspec

from usassist.bus import ControlBody, EngineBody, MarkBody, MarkKind, Publisher, SessionBody, SessionState, SignalBody
from usassist.common.clock import Clock
from usassist.common.process_tuning import release_freed_memory
from usassist.engine import FailoverEngine
from usassist.pipeline.controls import ControlDesk, Controls
from usassist.pipeline.hand_scale import HandScaleMarks
from usassist.pipeline.inference import InferenceOutcome, UnprocessedFrame
from usassist.pipeline.slot import DroppedFrame
from usassist.pipeline.summary import StreamSummary
from usassist.records import Answer, Cause, Frame, Result, ResultState, Signal, SignalState
from usassist.sources import Source

__all__ = ["StreamOutput"]

_ENGINE_PERIOD_NS = 1_000_000_000
_HEALTH_PERIOD_NS = 500_000_000
_MEMORY_PERIOD_NS = 10_000_000_000


class StreamOutput:
    """Publishes for a stream, and counts what it publishes. Used by the stream's loop, and `captured` by its capture.

    Parameters
    ----------
    publisher : bound
    source : whose signal and facts are announced
    failover : holds the engine that answers
    clock : the source's clock
    summary : counts into this
    engine_body : what is announced of the engine
    realtime : late answers are ``stale``
    max_age_ms : an answer older than this at publication is ``stale`` (only in real time)
    calibration_id : of the source, where it has one
    on_result : called after every published result
    controls : carries out requests to change the session; None = they are refused
    """

    def __init__(
        self,
        publisher: Publisher,
        source: Source,
        failover: FailoverEngine,
        clock: Clock,
        summary: StreamSummary,
        engine_body: EngineBody,
        *,
        realtime: bool,
        max_age_ms: float,
        calibration_id: str | None,
        on_result: Callable[[Result], None] | None,
        controls: Controls | None = None,
    ) -> None:
        self._publisher, self._source, self._failover, self._clock = publisher, source, failover, clock
        self._summary, self._engine_body = summary, engine_body
        self._realtime, self._max_age_ms = realtime, max_age_ms
        self._calibration_id, self._on_result = calibration_id, on_result
        self._last_captured_id = self._last_published_id = -1
        self._dropped_since_answer = 0
        self._first_capture_ns: int | None = None
        self._signal: Signal | None = None
        self._next_announcement_ns = 0
        self._next_health_ns = 0
        self._next_memory_ns = clock.now_ns() + _MEMORY_PERIOD_NS
        self._last_error = ""
        self._changes_announced = 0
        self._scale_marks = HandScaleMarks(source, clock)
        self._control_desk = ControlDesk(publisher.event, clock, controls)

    def captured(self, frame: Frame) -> None:
        """A frame has come from the source."""
        if self._first_capture_ns is None:
            self._first_capture_ns = frame.t_capture_ns
        self._last_captured_id = frame.frame_id

    def publish_outcome(self, outcome: InferenceOutcome) -> None:
        """Publish the result of a frame that was given to an engine."""
        answer, reason = outcome.answer, outcome.reason
        state: ResultState = ResultState.NO_RESULT
        cause: Cause | None = Cause.ENGINE_ERROR
        age_ms = (outcome.t_end_ns - outcome.frame.t_capture_ns) / 1e6
        if reason:
            self._last_error = reason
        elif outcome.backend == "null":
            cause, reason = Cause.NULL_ENGINE, "back end null computes nothing"
            answer = Answer()
        elif answer.abstains:
            cause, reason = Cause.OUT_OF_DOMAIN, answer.abstains
        elif self._realtime and age_ms > self._max_age_ms:
            state, cause = ResultState.STALE, Cause.LATE
            reason = f"answer came after {age_ms:.0f} ms, limit {self._max_age_ms:.0f} ms"
            answer = dataclasses.replace(answer, descriptors=())
        else:
            state = ResultState.FINDING if len(answer.detections) else ResultState.NO_FINDING
        self._publish(
            outcome.frame, state, None if state.is_answer else cause, reason, answer, outcome.backend, outcome
        )

    def publish_no_engine(self, frame: Frame) -> None:
        """Publish that no back end answers, for a frame that was due."""
        now_ns, reason = self._clock.now_ns(), f"no back end answers: {self._failover.note}"
        self.publish_outcome(
            InferenceOutcome(
                frame=frame, answer=Answer(), backend="none", t_start_ns=now_ns, t_end_ns=now_ns, reason=reason
            )
        )

    def publish_not_live(self, frame: Frame) -> None:
        """Publish why there is no answer for a frame that is not live; the signal's state is announced before it."""
        self.announce()
        backend, reason = self._failover.backend, frame.picture_reason or str(frame.picture)
        cause = Cause.DAMAGED if frame.picture is SignalState.DAMAGED else Cause.NOT_LIVE
        self._publish(frame, ResultState.NO_RESULT, cause, reason, Answer(), backend)

    def publish_unprocessed(self, unprocessed: UnprocessedFrame) -> None:
        """Publish why no engine was called for a frame."""
        self._dropped_since_answer += 1
        cause, reason = (
            (Cause.INTERRUPTED, "the stream was stopped before the engine was asked")
            if unprocessed.interrupted
            else (Cause.DROPPED, "the engine was busy; a newer frame took its place")
        )
        self._publish(unprocessed.frame, ResultState.NO_RESULT, cause, reason, Answer(), self._failover.backend)

    def announce_change(self) -> None:
        """Announce that another back end answers from the next frame on, before that frame's result."""
        summary, frame_id = self._summary, self._last_published_id + 1
        if self._failover.engine is not None:
            summary.backend = self._failover.backend
        for change in self._failover.changes[self._changes_announced :]:
            summary.changes.append(
                {"frame_id": frame_id, "before": change.before, "after": change.after, "reason": change.reason}
            )
        self._changes_announced = len(self._failover.changes)
        self.announce(force=True)

    def announce(self, *, force: bool = False) -> None:
        """Repeat engine, session and health for those who join late, and forward what viewers have posted."""
        now_ns, signal, before = self._clock.now_ns(), self._source.signal, self._signal
        posted = list(self._publisher.received())
        refused = {id(body) for _, body in posted if isinstance(body, MarkBody) and not self._accept(body)}
        force = force or self._scale_marks.has_changed() or (signal is None) != (before is None)
        if signal is not None and before is not None:
            force = force or (signal.state, signal.reason) != (before.state, before.reason)
        self._signal = signal
        if force or now_ns >= self._next_announcement_ns:
            self._next_announcement_ns = now_ns + _ENGINE_PERIOD_NS
            self._engine_body = msgspec.structs.replace(
                self._engine_body, backend=self._failover.backend, note=self._failover.note
            )
            self._publisher.event("engine", self._engine_body)
            self._publisher.event("session", self._session_body())
        if force or now_ns >= self._next_health_ns:
            self._next_health_ns = now_ns + _HEALTH_PERIOD_NS
            self._publisher.event("health", self._summary.health(self._last_error))
        if now_ns >= self._next_memory_ns:
            self._next_memory_ns = now_ns + _MEMORY_PERIOD_NS
            release_freed_memory()
        self._control_desk.publish_outcomes()
        for topic, body in posted:
            if isinstance(body, ControlBody):
                self._control_desk.take(body)
            elif id(body) not in refused:
                self._publisher.event(topic, body)

    def _accept(self, mark: MarkBody) -> bool:
        """Whether a mark is published: not one of a page that still shows the session before, nor a refused scale."""
        if mark.session_id != self._summary.session_id:
            return False
        return mark.kind is not MarkKind.SCALE or self._scale_marks.apply(mark)

    def finish(self, state: SessionState, reason: str) -> None:
        """Publish the final session message."""
        summary = self._summary
        summary.decode_errors = self._source.decode_errors
        summary.state, summary.reason = state, reason
        self.announce(force=True)

    def _session_body(self) -> SessionBody:
        info, signal = self._source.info, self._signal
        return SessionBody(
            session_id=self._summary.session_id,
            state=self._summary.state,
            source=info.description,
            image_hw_px=info.image_hw_px,
            rate_hz=info.rate_hz,
            frame_count=info.frame_count,
            calibration_id=self._calibration_id,
            last_frame_id=self._last_captured_id,
            realtime=self._realtime,
            max_age_ms=self._max_age_ms,
            reason=self._summary.reason,
            signal=None if signal is None else SignalBody(**dataclasses.asdict(signal)),
            scale_note=self._scale_marks.note,
            kind="" if info.kind == "replay" else info.kind,
            replayed=info.kind == "replay",
        )

    def _publish(
        self,
        frame: Frame | DroppedFrame,
        state: ResultState,
        cause: Cause | None,
        reason: str,
        answer: Answer,
        backend: str,
        outcome: InferenceOutcome | None = None,
    ) -> None:
        dropped = 0
        if outcome is not None:
            dropped, self._dropped_since_answer = self._dropped_since_answer, 0
        result = Result(
            session_id=frame.session_id,
            source_id=frame.source_id,
            frame_id=frame.frame_id,
            t_capture_ns=frame.t_capture_ns,
            t_infer_start_ns=None if outcome is None else outcome.t_start_ns,
            t_infer_end_ns=None if outcome is None else outcome.t_end_ns,
            engine_id=self._engine_body.engine_id,
            backend=backend,
            calibration_id=frame.calibration_id,
            image_hw_px=frame.image_hw_px,
            frames_dropped=dropped,
            state=state,
            cause=cause,
            reason=reason,
            detections=answer.detections,
            segmentation=answer.segmentation,
            measurements=answer.measurements,
            descriptors=answer.descriptors,
            t_input_ns=None if outcome is None else outcome.t_input_ns,
            t_output_ns=None if outcome is None else outcome.t_output_ns,
            follows_frame_id=None if outcome is None else outcome.follows_frame_id,
        )
        t_publish_ns = self._publisher.result(result)
        self._last_published_id = frame.frame_id
        self._summary.count(None if outcome is None else outcome.frame, result, t_publish_ns, self._first_capture_ns)
        if self._on_result is not None:
            self._on_result(result)
