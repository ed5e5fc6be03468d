"""The loop: source → slot → engine → bus.

Capture and inference share one process, so that pixels reach the engine without a copy through the bus. A capture
thread takes frames from the source, publishes each at once (a picture never waits for inference) and puts it into a
slot, and the loop takes the newest out of it. A frame that was passed over there is published as ``no_result`` with
the cause ``dropped``: every frame that the source gave ends as exactly one result.
Between two frames the loop polls the failover engine, which may make another back end active, and takes from the desk
what other processes want to have published.

The loop has a thread of its own, and the caller's thread is its watchdog: where an engine call is overdue, the loop is
stuck in it for ever, and another thread goes on in its place with the next frame.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterable

import msgspec

from usassist.bus import MarkBody, Publisher, SessionBody, SessionState, SignalBody
from usassist.calibrate import DEFAULT_POINT, ScoreCalibration
from usassist.common.clock import Clock
from usassist.common.heartbeat import Heartbeat
from usassist.common.process_tuning import release_freed_memory
from usassist.engine import FailoverEngine
from usassist.errors import BackendHungError, UsAssistError
from usassist.modalities.ultrasound import DescriptorModel
from usassist.pipeline.deadline import MIN_S, InferenceDeadline
from usassist.pipeline.extra_engines import ExtraEngines
from usassist.pipeline.lanes import Asked, GivenUp, Lanes, Lost
from usassist.pipeline.slot import PassedOver, Slot
from usassist.pipeline.summary import StreamSummary
from usassist.pipeline.task import describe_engine, make_task
from usassist.records import Answer, Cause, Frame, Result, ResultState, Signal, SignalState
from usassist.sources import Source

__all__ = ["Stream"]

logger = logging.getLogger(__name__)

_WAIT_S = 0.05
_WATCH_S = 0.1
_MAX_STUCK = 1  # threads that are stuck in an engine; with another one this process is given up
_JOIN_S = 5.0
_CLOSING_S = 30.0
_OPENING_S = 10.0  # a runtime that is being imported keeps the interpreter for a second and more
_LOSSLESS_S = 60.0  # where a recorder is waited for, which may take half of that
_ENGINE_PERIOD_NS = 1_000_000_000
_HEALTH_PERIOD_NS = 500_000_000
_MEMORY_PERIOD_NS = 10_000_000_000


class Stream:
    """Runs one source through one engine onto the bus.

    Parameters
    ----------
    source : opened
    failover : holds the engine that answers, and those that take over
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
    lanes : so many frames may be asked for at a time, where the engine runs on the processor
    deadline_s : the least time that a call of the engine is given, see ``pipeline.deadline``
    heartbeat : beats whenever the loop has come round, or waits for an engine that is within its deadline
    """

    def __init__(
        self,
        source: Source,
        failover: FailoverEngine,
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
        lanes: int = 1,
        deadline_s: float = MIN_S,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._source = source
        self._failover = failover
        spec = failover.spec
        self._slot = Slot(clock, lossless=not realtime)
        self._lanes = Lanes(
            lambda: make_task(spec, scores, point, descriptors),
            clock,
            self._slot.wake,
            ahead=0 if realtime else 1,
            deadline=InferenceDeadline(deadline_s),
        )
        self._heartbeat = Heartbeat() if heartbeat is None else heartbeat
        self._halted = threading.Event()
        self._helpers = ExtraEngines(failover, self._lanes, lanes)
        self.publisher = publisher
        self._clock = clock
        self._realtime = realtime
        self._max_age_ms = max_age_ms
        self._calibration_id = calibration_id
        self._on_result = on_result
        self._capture_error: UsAssistError | None = None
        self._last_captured_id = self._last_published_id = -1
        self._dropped_since_answer = 0
        self._first_capture_ns: int | None = None
        self._signal: Signal | None = None
        self._next_announcement_ns = 0
        self._next_health_ns = 0
        self._next_memory_ns = clock.now_ns() + _MEMORY_PERIOD_NS
        self._last_error = ""
        self._changes_told = 0
        self._engine_body = describe_engine(spec, scores, point, descriptors)
        self.summary = StreamSummary(
            session_id=session_id,
            engine_id=spec.engine_id,
            backend=failover.backend,
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
        if not self._realtime:
            self._helpers.call_all()
        capture = threading.Thread(target=self._capture, args=(stop,), name="capture", daemon=True)
        capture.start()
        failure: BackendHungError | None = None
        try:
            self._watch(stop)
        except BackendHungError as error:
            failure = error
        finally:
            self._heartbeat.allow(_CLOSING_S)
            self._halted.set()
            self._slot.close()
            self._source.close()
            capture.join(timeout=_JOIN_S)
            self._lanes.close()
            self._helpers.close()
        for lost in self._slot.rest():  # what capture put down after the slot was closed
            self._give_up(Lost(frame=lost, interrupted=True))
        self._finish(stop, failure)
        if failure is not None:
            raise failure
        return self.summary

    def _watch(self, stop: threading.Event) -> None:
        """Let the loop run, and see that it comes round.

        Raises
        ------
        BackendHungError
            If an engine hangs while a thread is still stuck in one.
        """
        self._heartbeat.allow(self._allowed_s)
        loop = _Loop(self._run_loop, stop, None)
        try:
            looked_s = time.monotonic()
            while not loop.finished.wait(_WATCH_S):
                before_s, looked_s = looked_s, time.monotonic()
                overdue = self._lanes.check_deadline(min(looked_s - before_s, 2 * _WATCH_S))
                if self._lanes.is_asking:
                    self._heartbeat.beat()
                for asked, in_loop in overdue:
                    logger.warning("back end %s: %s", asked.backend, asked.reason)
                    if in_loop:
                        loop = _Loop(self._run_loop, stop, asked)
        except BaseException:  # Ctrl-C for the second time
            self._halted.set()
            self._slot.close()
            loop.join(_JOIN_S)
            raise
        if loop.error is not None:
            raise loop.error

    @property
    def _allowed_s(self) -> float | None:
        """For how long the loop may stand still now, see :class:`usassist.common.heartbeat.Heartbeat`."""
        if not self._realtime:
            return _LOSSLESS_S
        return _OPENING_S if self._failover.is_opening or self._helpers.is_opening else None

    def _run_loop(self, stop: threading.Event, overdue: Asked | None) -> None:
        """From the next frame to the last; `overdue` is what came of the frame that the loop before got stuck in."""
        if overdue is not None:
            self._settle([overdue])
        is_open = True
        while is_open and not self._halted.is_set():
            self._heartbeat.allow(self._allowed_s)
            frame, overwritten, is_open = self._slot.take(_WAIT_S, wanted=self._lanes.has_room)
            interrupted = stop.is_set()
            if interrupted:
                self._slot.close()  # do not wait for a source that hangs
            self._settle(self._lanes.ready())
            for lost in overwritten:
                self._settle(self._lanes.pass_over(Lost(frame=lost, interrupted=interrupted)))
            if self._helpers.poll(self._clock.now_ns()):
                self._settle(self._lanes.rest())
                self._helpers.join()
            if self._failover.poll():
                self._settle(self._lanes.rest())
                self._helpers.dismiss()
                self._tell_change()
            if frame is not None:
                self._take(frame, interrupted=interrupted)
            self._announce()
        self._settle(self._lanes.rest())

    def _capture(self, stop: threading.Event) -> None:
        try:
            for frame in self._source.frames():
                if self._first_capture_ns is None:
                    self._first_capture_ns = frame.t_capture_ns
                self._last_captured_id = frame.frame_id
                if self._realtime:
                    self._slot.put(frame)  # first: the engine sets to work while the picture goes out
                self.publisher.frame(frame)
                if not self._realtime:
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

    def _take(self, frame: Frame, *, interrupted: bool) -> None:
        """One frame out of the slot: ask for it, or say why not."""
        engine = self._failover.engine
        if not interrupted and frame.picture is SignalState.LIVE and engine is not None:
            self._settle(self._lanes.ask(frame, engine))
            return
        self._settle(self._lanes.rest())  # results go out in the order of the frames
        if interrupted:
            self._give_up(Lost(frame=frame, interrupted=True))
        elif frame.picture is not SignalState.LIVE:
            self._leave_out(frame)
        else:
            now_ns, reason = self._clock.now_ns(), f"no back end answers: {self._failover.note}"
            self._conclude(
                Asked(frame=frame, answer=Answer(), backend="none", t_start_ns=now_ns, t_end_ns=now_ns, reason=reason)
            )

    def _settle(self, finished: Iterable[Asked | Lost]) -> None:
        """Publish what came of asking; where a back end has failed, let another take over."""
        failed: Asked | None = None
        for item in finished:
            if isinstance(item, Lost):
                self._give_up(item)
                continue
            self._conclude(item)
            failed = item if item.failure is not None and failed is None else failed
        if failed is None or failed.failure is None:
            return
        for item in self._lanes.rest():  # an engine must not be closed while another frame is in it
            if isinstance(item, Lost):
                self._give_up(item)
            else:
                self._conclude(item)
        hung = isinstance(failed.failure, BackendHungError)
        self._helpers.dismiss(failed.engine if hung else None)
        if hung and self._lanes.stuck > _MAX_STUCK:
            raise failed.failure
        if failed.engine is self._failover.engine:
            self._failover.fail(failed.failure, aside=self._realtime)
            self._tell_change()

    def _conclude(self, asked: Asked) -> None:
        """Publish what came of asking, and let another back end take over from one that has failed."""
        answer, reason = asked.answer, asked.reason
        state, cause = ResultState.NO_RESULT, Cause.ENGINE_ERROR
        age_ms = (asked.t_end_ns - asked.frame.t_capture_ns) / 1e6
        if reason:
            self._last_error = reason
        elif asked.backend == "null":
            cause, reason = Cause.NULL_ENGINE, "back end null computes nothing"
            answer = Answer()
        elif self._realtime and age_ms > self._max_age_ms:
            state, cause = ResultState.STALE, Cause.LATE
            reason = f"answer came after {age_ms:.0f} ms, limit {self._max_age_ms:.0f} ms"
            answer = dataclasses.replace(answer, descriptors=())
        else:
            state = ResultState.FINDING if len(answer.detections) else ResultState.NO_FINDING
        self._publish(asked.frame, state, None if state.is_answer else cause, reason, answer, asked.backend, asked)

    def _tell_change(self) -> None:
        """Tell the bus that another back end answers from the next frame on, before that frame's result."""
        summary, frame_id = self.summary, self._last_published_id + 1
        if self._failover.engine is not None:
            summary.backend = self._failover.backend
        for change in self._failover.changes[self._changes_told :]:
            summary.changes.append(
                {"frame_id": frame_id, "before": change.before, "after": change.after, "reason": change.reason}
            )
        self._changes_told = len(self._failover.changes)
        self._announce(force=True)

    def _leave_out(self, frame: Frame) -> None:
        """Say of a frame that nothing may be said about its picture; what was announced of the signal comes first."""
        self._announce()
        backend, reason = self._failover.backend, frame.picture_reason or str(frame.picture)
        cause = Cause.DAMAGED if frame.picture is SignalState.DAMAGED else Cause.NOT_LIVE
        self._publish(frame, ResultState.NO_RESULT, cause, reason, Answer(), backend)

    def _give_up(self, lost: Lost) -> None:
        """Say of a frame that the engine was never asked about it."""
        self._dropped_since_answer += 1
        if self._realtime and not lost.interrupted:
            self._helpers.note_passed_over(self._clock.now_ns())
        cause, reason = (
            (Cause.INTERRUPTED, "the stream was stopped before the engine was asked")
            if lost.interrupted
            else (Cause.DROPPED, "the engine was busy; a newer frame took its place")
        )
        backend = self._failover.backend
        self._publish(lost.frame, ResultState.NO_RESULT, cause, reason, Answer(), backend)

    def _publish(
        self,
        frame: Frame | PassedOver,
        state: ResultState,
        cause: Cause | None,
        reason: str,
        answer: Answer,
        backend: str,
        asked: Asked | None = None,
    ) -> None:
        dropped = 0
        if asked is not None:
            dropped, self._dropped_since_answer = self._dropped_since_answer, 0
        result = Result(
            session_id=frame.session_id,
            source_id=frame.source_id,
            frame_id=frame.frame_id,
            t_capture_ns=frame.t_capture_ns,
            t_infer_start_ns=None if asked is None else asked.t_start_ns,
            t_infer_end_ns=None if asked is None else asked.t_end_ns,
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
            t_input_ns=None if asked is None else asked.t_input_ns,
            t_output_ns=None if asked is None else asked.t_output_ns,
        )
        t_publish_ns = self.publisher.result(result)
        self._last_published_id = frame.frame_id
        self.summary.count(None if asked is None else asked.frame, result, t_publish_ns, self._first_capture_ns)
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
                self._engine_body, backend=self._failover.backend, note=self._failover.note
            )
            self.publisher.event("engine", self._engine_body)
            self.publisher.event("session", self._session_body())
        if force or now_ns >= self._next_health_ns:
            self._next_health_ns = now_ns + _HEALTH_PERIOD_NS
            self.publisher.event("health", self.summary.health(self._last_error))
        if now_ns >= self._next_memory_ns:
            self._next_memory_ns = now_ns + _MEMORY_PERIOD_NS
            release_freed_memory()
        for topic, body in self.publisher.received():
            if isinstance(body, MarkBody) and body.session_id != self.summary.session_id:
                continue  # of a page that still shows the session before
            self.publisher.event(topic, body)

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

    def _finish(self, stop: threading.Event, failure: UsAssistError | None) -> None:
        summary = self.summary
        summary.decode_errors = self._source.decode_errors
        if failure is not None:
            summary.state, summary.reason = SessionState.FAILED, str(failure)
        elif self._capture_error is not None:
            summary.state, summary.reason = SessionState.FAILED, str(self._capture_error)
        elif stop.is_set():
            summary.state, summary.reason = SessionState.INTERRUPTED, "stopped by the user"
        else:
            summary.state = SessionState.ENDED
        self._announce(force=True)


class _Loop(threading.Thread):
    """The thread of a stream's loop.

    Attributes
    ----------
    finished : set at its end; never of one that is stuck
    error : that it ended with
    """

    def __init__(
        self, work: Callable[[threading.Event, Asked | None], None], stop: threading.Event, overdue: Asked | None
    ) -> None:
        super().__init__(name="stream-loop", daemon=True)
        self.finished = threading.Event()
        self.error: BaseException | None = None
        self._work, self._stop_event, self._overdue = work, stop, overdue
        self.start()

    def run(self) -> None:
        try:
            self._work(self._stop_event, self._overdue)
        except GivenUp:
            return
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller of the stream raises it
            self.error = error
        self.finished.set()
