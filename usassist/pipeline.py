"""The loop: source → slot → engine → bus.

Capture and inference share one process, so that pixels reach the engine without a copy through the bus. A capture
thread takes frames from the source, publishes each at once (a picture never waits for inference) and puts it into a
slot that holds one frame. The loop takes the newest frame out of the slot. A frame that was overwritten there is
published as ``no_result`` with the cause ``dropped``: every frame that the source gave ends as exactly one result.
Between two frames the loop asks the relay whether another back end is to answer from now on.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, HealthBody, LabelBody, PointBody, Publisher, SessionBody, SessionState, SignalBody
from usassist.calibrate import DEFAULT_POINT, ScoreCalibration
from usassist.clock import Clock
from usassist.engine import Engine, EngineSpec, Relay
from usassist.errors import BackendFailedError, EngineSpecError, UsAssistError
from usassist.modalities.ultrasound import DescriptorModel, UltrasoundTask
from usassist.records import Answer, Cause, Frame, PictureState, Result, ResultState, Signal
from usassist.sources import Source

__all__ = ["LatencyLog", "Stream", "StreamSummary", "Task"]

logger = logging.getLogger(__name__)

_WAIT_S = 0.05
_ENGINE_PERIOD_NS = 1_000_000_000
_HEALTH_PERIOD_NS = 500_000_000
_RECENT = 150


class Task(Protocol):
    """What a modality does with one frame; see ``modalities/``."""

    def __call__(self, frame: Frame, engine: Engine) -> Answer:
        """Preprocess, infer, postprocess, measure, describe."""
        ...


def _ultrasound(
    spec: EngineSpec, scores: ScoreCalibration | None, point: str, descriptors: DescriptorModel | None
) -> Task:
    image = spec.inputs[0]
    height, width = image.shape[-2:]
    if image.layout != "NCHW" or height is None or width is None or spec.color != "GRAY":
        raise EngineSpecError(
            f"engine {spec.engine_id}: ultrasound wants one grey NCHW input of fixed size, not {image}"
        )
    if (spec.input_range, spec.mean, spec.std) != ((0.0, 1.0), (0.0,), (1.0,)):
        raise EngineSpecError(
            f"engine {spec.engine_id}: ultrasound input is scaled to 0 to 1; put the rest in the graph"
        )
    return UltrasoundTask((height, width), spec.labels, spec.diameter_rel_sd, scores, point, descriptors)


# DICOM code of a modality → what it does with one frame
TASKS: Mapping[str, Callable[[EngineSpec, ScoreCalibration | None, str, DescriptorModel | None], Task]] = {
    "US": _ultrasound
}


class Slot:
    """Holds the newest frame; the frames it had to overwrite are handed over together with it.

    Parameters
    ----------
    lossless : ``put`` waits until the slot is empty instead of overwriting
    """

    def __init__(self, *, lossless: bool) -> None:
        self._lossless = lossless
        self._frame: Frame | None = None
        self._overwritten: list[Frame] = []
        self._closed = False
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> None:
        """Offer a frame; after ``close`` it counts as overwritten."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: self._frame is None or self._closed)
            if self._frame is not None:
                self._overwritten.append(self._frame)
            self._frame = frame
            self._changed.notify_all()

    def take(self, timeout_s: float) -> tuple[Frame | None, list[Frame], bool]:
        """Wait for a frame.

        Returns
        -------
        frame : the newest, or None when none came in time
        overwritten : those before it that nobody took, oldest first
        open : False when the slot is closed and empty
        """
        with self._changed:
            self._changed.wait_for(lambda: self._frame is not None or self._closed, timeout_s)
            frame, self._frame = self._frame, None
            overwritten, self._overwritten = self._overwritten, []
            self._changed.notify_all()
            return frame, overwritten, frame is not None or not self._closed

    def close(self) -> None:
        """No more frames will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class LatencyLog:
    """Latencies of a run, in ms, in an array that doubles when it is full."""

    def __init__(self) -> None:
        self._values: npt.NDArray[np.float32] = np.empty(4096, np.float32)
        self._count = 0

    def add(self, latency_ms: float) -> None:
        """Remember one."""
        if self._count == len(self._values):
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._values[self._count] = latency_ms
        self._count += 1

    def recent(self) -> npt.NDArray[np.float32]:
        """The last few."""
        return self._values[max(0, self._count - _RECENT) : self._count]

    def summary(self) -> dict[str, float] | None:
        """p50, p95, p99 and max in ms, or None when there is none."""
        if self._count == 0:
            return None
        values = self._values[: self._count]
        p50, p95, p99 = (round(float(value), 2) for value in np.percentile(values, [50, 95, 99]))
        return {"p50_ms": p50, "p95_ms": p95, "p99_ms": p99, "max_ms": round(float(values.max()), 2)}


@dataclass(slots=True, kw_only=True)
class StreamSummary:
    """What a run did.

    Attributes
    ----------
    realtime : the source kept its own time; if not, latency includes waiting for the frame before
    score_calibration_id, point : of the scores, None when they are not calibrated
    frames : that the source gave
    backend : the one that answers, or the last that did
    by_state : results per state
    by_cause : results without an answer, per cause
    by_backend : answers and late answers, per back end
    changes : every take-over of one back end from another, in words, with the first frame that it concerns
    nodules : detections in all answers together
    decode_errors : pictures that the source holds but could not decode
    latency : of answered frames, capture to published result, ms
    elapsed_s : from the first frame's capture to the last result
    state, reason : how it ended
    """

    session_id: str
    engine_id: str
    backend: str
    realtime: bool
    score_calibration_id: str | None = None
    point: PointBody | None = None
    frames: int = 0
    by_state: Counter[str] = field(default_factory=Counter)
    by_cause: Counter[str] = field(default_factory=Counter)
    by_backend: Counter[str] = field(default_factory=Counter)
    changes: list[dict[str, Any]] = field(default_factory=list)
    nodules: int = 0
    decode_errors: int = 0
    latency: LatencyLog = field(default_factory=LatencyLog)
    elapsed_s: float = 0.0
    state: SessionState = SessionState.RUNNING
    reason: str = ""

    @property
    def answered(self) -> int:
        """Frames that the engine answered in time."""
        return self.by_state[ResultState.FINDING] + self.by_state[ResultState.NO_FINDING]

    def as_dict(self) -> dict[str, Any]:
        """For ``summary.json``; every state and every cause is there, also those that did not occur."""
        return {
            "session_id": self.session_id,
            "state": str(self.state),
            "reason": self.reason,
            "realtime": self.realtime,
            "frames": self.frames,
            "results_by_state": {str(state): self.by_state[state] for state in ResultState},
            "no_answer_by_cause": {str(cause): self.by_cause[cause] for cause in Cause},
            "nodules": self.nodules,
            "decode_errors": self.decode_errors,
            "latency_capture_to_published": self.latency.summary(),
            "elapsed_s": round(self.elapsed_s, 3),
            "frames_per_s": round(self.frames / self.elapsed_s, 2) if self.elapsed_s > 0 else None,
            "engine_id": self.engine_id,
            "backend": self.backend,
            "answers_by_backend": dict(self.by_backend),
            "backend_changes": self.changes,
            "score_calibration_id": self.score_calibration_id,
            "point": None if self.point is None else msgspec.structs.asdict(self.point),
        }


class Stream:
    """Runs one source through one engine onto the bus.

    Parameters
    ----------
    source : opened
    relay : holds the engine that answers, and those that take over
    publisher : bound
    clock : the source's clock
    session_id : of every frame
    realtime : True: newest frame first, late answers are ``stale``. False: every frame is answered.
    max_age_ms : an answer older than this at publication is ``stale`` (only in real time)
    calibration_id : of the source, where it has one
    scores : score calibration of the engine; without it scores are raw and cut at the engine's own thresholds
    point : operating point of `scores`
    descriptors : of the engine; without it nodules are not described
    on_result : called after every published result
    """

    def __init__(
        self,
        source: Source,
        relay: Relay,
        publisher: Publisher,
        clock: Clock,
        *,
        session_id: str,
        realtime: bool,
        max_age_ms: float,
        calibration_id: str | None = None,
        scores: ScoreCalibration | None = None,
        point: str = DEFAULT_POINT,
        descriptors: DescriptorModel | None = None,
        on_result: Callable[[Result], None] | None = None,
    ) -> None:
        self._source = source
        self._relay = relay
        spec = relay.spec
        if spec.modality not in TASKS:
            raise EngineSpecError(f"engine {spec.engine_id} is for {spec.modality}, which does not stream")
        self._task = TASKS[spec.modality](spec, scores, point, descriptors)
        self.publisher = publisher
        self._clock = clock
        self._realtime = realtime
        self._max_age_ms = max_age_ms
        self._calibration_id = calibration_id
        self._on_result = on_result
        self._slot = Slot(lossless=not realtime)
        self._capture_error: UsAssistError | None = None
        self._last_captured_id = -1
        self._dropped_since_answer = 0
        self._first_capture_ns: int | None = None
        self._signal: Signal | None = None
        self._next_announcement_ns = 0
        self._next_health_ns = 0
        self._last_error = ""
        self._changes_told = 0
        self._engine_body = _engine_body(spec, scores, point, descriptors)
        self.summary = StreamSummary(
            session_id=session_id,
            engine_id=spec.engine_id,
            backend=relay.backend,
            realtime=realtime,
            score_calibration_id=self._engine_body.score_calibration_id,
            point=self._engine_body.point,
        )

    def run(self, stop: threading.Event) -> StreamSummary:
        """Stream until the source ends, breaks, or `stop` is set.

        Returns
        -------
        summary : also kept in ``self.summary``

        Raises
        ------
        BusError
            If a recorder that is waited for takes nothing.
        """
        self._announce(force=True)
        capture = threading.Thread(target=self._capture, args=(stop,), name="capture", daemon=True)
        capture.start()
        is_open = True
        try:
            while is_open:
                frame, overwritten, is_open = self._slot.take(_WAIT_S)
                interrupted = stop.is_set()
                if interrupted:
                    self._slot.close()  # do not wait for a source that hangs
                for lost in overwritten:
                    self._give_up(lost, interrupted=interrupted)
                if self._relay.poll():
                    self._tell_change(self._last_captured_id if frame is None else frame.frame_id)
                if frame is not None:
                    if interrupted:
                        self._give_up(frame, interrupted=True)
                    elif frame.picture is not PictureState.LIVE:
                        self._leave_out(frame)
                    else:
                        self._answer(frame)
                self._announce()
        finally:
            self._slot.close()
            self._source.close()
            capture.join(timeout=5.0)
        last, overwritten, _ = self._slot.take(0.0)  # what capture put down after the slot was closed
        for lost in (*overwritten, *(() if last is None else (last,))):
            self._give_up(lost, interrupted=True)
        self._finish(stop)
        return self.summary

    def _capture(self, stop: threading.Event) -> None:
        try:
            for frame in self._source.frames():
                if self._first_capture_ns is None:
                    self._first_capture_ns = frame.t_capture_ns
                self.publisher.frame(frame)
                self._last_captured_id = frame.frame_id
                self._slot.put(frame)
                if stop.is_set():
                    break
        except UsAssistError as error:
            self._capture_error = error
        except Exception as error:
            logger.exception("capture failed")
            self._capture_error = UsAssistError(f"capture failed: {error!r}; this is a fault of usassist, report it")
        finally:
            self._slot.close()

    def _answer(self, frame: Frame) -> None:
        t_start_ns = self._clock.now_ns()
        state, cause, reason = ResultState.NO_RESULT, Cause.ENGINE_ERROR, ""
        answer, engine, backend = Answer(), self._relay.engine, self._relay.backend
        failure: BackendFailedError | None = None
        try:
            if engine is None:
                reason = self._last_error = f"no back end answers: {self._relay.note}"
            else:
                answer = self._task(frame, engine)
        except Exception as error:
            # Whatever fails between frame and answer, this frame has no result, and the stream goes on.
            logger.exception("no result for frame %d", frame.frame_id)
            reason = self._last_error = str(error) if isinstance(error, UsAssistError) else f"engine failed: {error!r}"
            failure = error if isinstance(error, BackendFailedError) else None
        t_end_ns = self._clock.now_ns()
        age_ms = (t_end_ns - frame.t_capture_ns) / 1e6
        if not reason:
            if backend == "null":
                cause, reason = Cause.NULL_ENGINE, "back end null computes nothing"
                answer = Answer()
            elif self._realtime and age_ms > self._max_age_ms:
                state, cause = ResultState.STALE, Cause.LATE
                reason = f"answer came after {age_ms:.0f} ms, limit {self._max_age_ms:.0f} ms"
                answer = dataclasses.replace(answer, descriptors=())
            else:
                state = ResultState.FINDING if len(answer.detections) else ResultState.NO_FINDING
        dropped, self._dropped_since_answer = self._dropped_since_answer, 0
        t_infer_ns = (t_start_ns, t_end_ns)
        self._publish(frame, state, None if state.is_answer else cause, reason, answer, t_infer_ns, dropped, backend)
        if failure is not None:
            self._relay.fail(failure)
            self._tell_change(frame.frame_id + 1)

    def _tell_change(self, frame_id: int) -> None:
        """Tell the bus that another back end answers from a frame on, before that frame's result."""
        summary = self.summary
        if self._relay.engine is not None:
            summary.backend = self._relay.backend
        for change in self._relay.changes[self._changes_told :]:
            summary.changes.append(
                {"frame_id": frame_id, "before": change.before, "after": change.after, "reason": change.reason}
            )
        self._changes_told = len(self._relay.changes)
        self._announce(force=True)

    def _leave_out(self, frame: Frame) -> None:
        """Say of a frame that nothing may be said about its picture; what was announced of the signal comes first."""
        self._announce()
        backend, reason = self._relay.backend, frame.picture_reason or str(frame.picture)
        self._publish(frame, ResultState.NO_RESULT, Cause.NOT_LIVE, reason, Answer(), (None, None), 0, backend)

    def _give_up(self, frame: Frame, *, interrupted: bool) -> None:
        """Say of a frame that the engine was never asked about it."""
        self._dropped_since_answer += 1
        cause, reason = (
            (Cause.INTERRUPTED, "the stream was stopped before the engine was asked")
            if interrupted
            else (Cause.DROPPED, "the engine was busy; a newer frame took its place")
        )
        backend = self._relay.backend
        self._publish(frame, ResultState.NO_RESULT, cause, reason, Answer(), (None, None), 0, backend)

    def _publish(
        self,
        frame: Frame,
        state: ResultState,
        cause: Cause | None,
        reason: str,
        answer: Answer,
        t_infer_ns: tuple[int | None, int | None],
        frames_dropped: int,
        backend: str,
    ) -> None:
        result = Result(
            session_id=frame.session_id,
            source_id=frame.source_id,
            frame_id=frame.frame_id,
            t_capture_ns=frame.t_capture_ns,
            t_infer_start_ns=t_infer_ns[0],
            t_infer_end_ns=t_infer_ns[1],
            engine_id=self._engine_body.engine_id,
            backend=backend,
            calibration_id=frame.calibration_id,
            image_hw_px=frame.image_hw_px,
            frames_dropped=frames_dropped,
            state=state,
            cause=cause,
            reason=reason,
            detections=answer.detections,
            segmentation=answer.segmentation,
            measurements=answer.measurements,
            descriptors=answer.descriptors,
        )
        t_publish_ns = self.publisher.result(result)
        summary = self.summary
        summary.frames += 1
        summary.by_state[state] += 1
        summary.nodules += len(answer.detections)
        if state.is_answer or state is ResultState.STALE:
            summary.by_backend[backend] += 1
        if cause is not None:
            summary.by_cause[cause] += 1
        if t_infer_ns[0] is not None:
            summary.latency.add((t_publish_ns - frame.t_capture_ns) / 1e6)
        if self._first_capture_ns is not None:
            summary.elapsed_s = (t_publish_ns - self._first_capture_ns) / 1e9
        if self._on_result is not None:
            self._on_result(result)

    def _announce(self, *, force: bool = False) -> None:
        """Repeat what late joiners must know, and tell how the stream is."""
        now_ns, signal = self._clock.now_ns(), self._source.signal
        told = self._signal
        force = force or (signal is None) != (told is None)
        if signal is not None and told is not None:
            force = force or (signal.state, signal.reason) != (told.state, told.reason)
        self._signal = signal
        if force or now_ns >= self._next_announcement_ns:
            self._next_announcement_ns = now_ns + _ENGINE_PERIOD_NS
            self._engine_body = msgspec.structs.replace(
                self._engine_body, backend=self._relay.backend, note=self._relay.note
            )
            self.publisher.event("engine", self._engine_body)
            self.publisher.event("session", self._session_body())
        if force or now_ns >= self._next_health_ns:
            self._next_health_ns = now_ns + _HEALTH_PERIOD_NS
            self.publisher.event("health", self._health_body())

    def _session_body(self) -> SessionBody:
        info, signal = self._source.info, self._signal
        return SessionBody(
            session_id=self.summary.session_id,
            state=self.summary.state,
            source=info.description,
            image_hw_px=info.image_hw_px,
            rate_hz=info.rate_hz,
            frame_count=info.frame_count,
            calibration_id=self._calibration_id,
            last_frame_id=self._last_captured_id,
            realtime=self._realtime,
            max_age_ms=self._max_age_ms,
            reason=self.summary.reason,
            signal=None if signal is None else SignalBody(**dataclasses.asdict(signal)),
        )

    def _health_body(self) -> HealthBody:
        summary = self.summary
        recent = summary.latency.recent()
        p50, p95 = (float(value) for value in np.percentile(recent, [50, 95])) if len(recent) else (None, None)
        return HealthBody(
            process="stream",
            frames=summary.frames,
            answered=summary.answered,
            dropped=summary.by_cause[Cause.DROPPED],
            by_state={str(state): count for state, count in summary.by_state.items()},
            rate_hz=summary.frames / summary.elapsed_s if summary.elapsed_s > 0 else None,
            latency_p50_ms=p50,
            latency_p95_ms=p95,
            last_error=self._last_error,
        )

    def _finish(self, stop: threading.Event) -> None:
        summary = self.summary
        summary.decode_errors = self._source.decode_errors
        if self._capture_error is not None:
            summary.state, summary.reason = SessionState.FAILED, str(self._capture_error)
        elif stop.is_set():
            summary.state, summary.reason = SessionState.INTERRUPTED, "stopped by the user"
        else:
            summary.state = SessionState.ENDED
        self._announce(force=True)


def _engine_body(
    spec: EngineSpec, scores: ScoreCalibration | None, point: str, descriptors: DescriptorModel | None
) -> EngineBody:
    """What the bus is told of the engine; thresholds are those of the scores that are published."""
    cut = None if scores is None else scores.point(point)
    labels = spec.labels
    if cut is not None:
        labels = tuple(dataclasses.replace(label, score_threshold=cut.score) for label in labels)
    return EngineBody(
        engine_id=spec.engine_id,
        backend="none",
        labels=tuple(
            LabelBody(**{name: getattr(label, name) for name in LabelBody.__struct_fields__}) for label in labels
        ),
        intended_use=spec.intended_use,
        score_calibration_id=None if scores is None else scores.calibration_id,
        point=None if cut is None else PointBody(**{name: getattr(cut, name) for name in PointBody.__struct_fields__}),
        descriptor_agreement={} if descriptors is None else descriptors.agreement,
    )
