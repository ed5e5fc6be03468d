"""The loop: source → slot → engine → bus.

Capture and inference share one process, so that pixels reach the engine without a copy through the bus. A capture
thread reads frames from the source, publishes each at once (a frame never waits for inference) and puts it into a
slot, from which the loop takes the newest. A frame that is dropped there is published as ``no_result`` with the cause
``dropped``: every frame of the source ends as exactly one result.
Between two frames the loop checks whether another back end is to take over, and publishes what other processes have
posted to it.

The loop has a thread of its own, and the caller's thread is its watchdog: where an engine call is overdue, the loop is
stuck in it for ever, and another thread continues with the next frame.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping

from usassist.bus import Publisher, SessionState
from usassist.calibrate import DEFAULT_POINT, ScoreCalibration
from usassist.common.clock import Clock
from usassist.common.heartbeat import Heartbeat
from usassist.engine import FailoverEngine
from usassist.errors import BackendHungError, UsAssistError
from usassist.modalities.ultrasound import DescriptorModel
from usassist.pipeline.association import StreamAssociation
from usassist.pipeline.controls import Controls
from usassist.pipeline.deadline import MIN_S, InferenceDeadline
from usassist.pipeline.extra_engines import ExtraEngines
from usassist.pipeline.inference import CallAbandoned, InferenceOutcome, UnprocessedFrame
from usassist.pipeline.lanes import Lanes
from usassist.pipeline.slot import Slot
from usassist.pipeline.stream_output import StreamOutput
from usassist.pipeline.summary import StreamSummary
from usassist.pipeline.task import describe_engine, make_association, make_task
from usassist.records import Frame, Result, SignalState
from usassist.sources import Source

__all__ = ["Stream"]

logger = logging.getLogger(__name__)

_WAIT_S = 0.05
_HANDING_OVER_S = 0.0005  # a thread that goes on in Python would hold the interpreter until the loop takes it away
_WATCH_S = 0.1
_MAX_STUCK = 1  # threads that are stuck in an engine; with another one this process is given up
_JOIN_S = 5.0
_CLOSING_S = 30.0
_OPENING_S = 10.0  # importing a runtime holds the interpreter for a second or more
_LOSSLESS_S = 60.0  # back-pressure of a recorder, which may take half of that


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
    each_frame_alone : leave out the association over frames that the operating point may have
    recorded, recorded_t_ns : of a recording that is run again, see
        :class:`usassist.pipeline.association.StreamAssociation`
    on_result : called after every published result
    controls : carries out requests to change the session; None = they are refused
    lanes : how many frames may be processed in parallel, where the engine runs on the processor
    deadline_s : the least time that a call of the engine is given, see ``pipeline.deadline``
    heartbeat : beats at every iteration of the loop, and while an engine call is within its deadline
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
        each_frame_alone: bool = False,
        recorded: Mapping[int, int | None] | None = None,
        recorded_t_ns: Mapping[int, int] | None = None,
        on_result: Callable[[Result], None] | None = None,
        controls: Controls | None = None,
        lanes: int = 1,
        deadline_s: float = MIN_S,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self._source, self._failover, self._clock = source, failover, clock
        self._realtime = realtime
        spec = failover.spec
        self._slot = Slot(clock, lossless=not realtime)
        association = None if each_frame_alone else make_association(spec, scores, point, descriptors)
        self._association = (
            None
            if association is None
            else StreamAssociation(association, realtime=realtime, recorded=recorded, recorded_t_ns=recorded_t_ns)
        )
        self._lanes = Lanes(
            association.make_task if association else lambda: make_task(spec, scores, point, descriptors),
            clock,
            self._slot.wake,
            ahead=0 if realtime else 1,
            deadline=InferenceDeadline(deadline_s),
        )
        self._heartbeat = Heartbeat() if heartbeat is None else heartbeat
        self._halted = threading.Event()
        self._extra_engines = ExtraEngines(failover, self._lanes, lanes)
        self._capture_error: UsAssistError | None = None
        engine_body = describe_engine(
            spec,
            scores,
            point,
            descriptors,
            associated=association is not None,
            tracking=None if self._association is None else self._association.tracking,
        )
        self.publisher = publisher
        self.summary = StreamSummary(
            session_id=session_id,
            engine_id=spec.engine_id,
            backend=failover.backend,
            realtime=realtime,
            score_calibration_id=engine_body.score_calibration_id,
            point=engine_body.point,
            association=engine_body.association,
        )
        self._output = StreamOutput(
            publisher,
            source,
            failover,
            clock,
            self.summary,
            engine_body,
            realtime=realtime,
            max_age_ms=max_age_ms,
            calibration_id=calibration_id,
            on_result=on_result,
            controls=controls,
        )

    def run(self, stop: threading.Event) -> StreamSummary:
        """Stream until the source ends, breaks, or `stop` is set.

        Returns
        -------
        summary : also kept in ``self.summary``

        Raises
        ------
        BackendHungError
            If an engine hangs while a thread is still stuck in another.
        BusError
            If a recorder that the stream waits for takes nothing.
        """
        self._output.announce(force=True)
        if not self._realtime:
            self._extra_engines.open_all()
        capture = threading.Thread(target=self._capture, args=(stop,), name="capture", daemon=True)
        capture.start()
        failure: BackendHungError | None = None
        try:
            self._watch_loop(stop)
        except BackendHungError as error:
            failure = error
        finally:
            self._heartbeat.allow(_CLOSING_S)
            self._halted.set()
            self._slot.close()
            self._source.close()
            capture.join(timeout=_JOIN_S)
            self._lanes.close()
            self._extra_engines.close()
        for frame in self._slot.drain():  # what capture put into it after it was closed
            self._publish_unprocessed(UnprocessedFrame(frame=frame, interrupted=True))
        self._output.finish(*self._ending(stop, failure))
        if failure is not None:
            raise failure
        return self.summary

    def _watch_loop(self, stop: threading.Event) -> None:
        """Run the loop in a thread, and replace the thread where an engine call hangs.

        Raises
        ------
        BackendHungError
            If an engine hangs while a thread is still stuck in one.
        """
        self._heartbeat.allow(self._allowed_s)
        loop = _LoopThread(self._run_loop, stop, None)
        try:
            checked_s = time.monotonic()
            while not loop.finished.wait(_WATCH_S):
                before_s, checked_s = checked_s, time.monotonic()
                overdue = self._lanes.check_deadline(min(checked_s - before_s, 2 * _WATCH_S))
                if self._lanes.is_inferring:
                    self._heartbeat.beat()
                for outcome, in_loop in overdue:
                    logger.warning("back end %s: %s", outcome.backend, outcome.reason)
                    if in_loop:
                        loop = _LoopThread(self._run_loop, stop, outcome)
        except BaseException:  # Ctrl-C for the second time
            self._halted.set()
            self._slot.close()
            loop.join(_JOIN_S)
            raise
        if loop.error is not None:
            raise loop.error

    @property
    def _allowed_s(self) -> float | None:
        """For how long the loop may stall now, see :class:`usassist.common.heartbeat.Heartbeat`."""
        if not self._realtime:
            return _LOSSLESS_S
        return _OPENING_S if self._failover.is_opening or self._extra_engines.is_opening else None

    def _run_loop(self, stop: threading.Event, overdue: InferenceOutcome | None) -> None:
        """From the next frame to the last; `overdue` is the outcome of the frame in which the loop before is stuck."""
        if overdue is not None:
            self._publish_all([overdue])
        is_open = True
        while is_open and not self._halted.is_set():
            self._heartbeat.allow(self._allowed_s)
            frame, dropped, is_open = self._slot.take(_WAIT_S, wanted=self._lanes.has_room)
            interrupted = stop.is_set()
            if interrupted:
                self._slot.close()  # do not wait for a source that hangs
            self._publish_all(self._lanes.ready())
            for item in dropped:
                unprocessed = UnprocessedFrame(frame=item, interrupted=interrupted)
                self._publish_all(self._lanes.add_unprocessed(unprocessed))
            if self._extra_engines.poll(self._clock.now_ns()):
                self._publish_all(self._lanes.drain())
                self._extra_engines.add_opened()
            if self._failover.poll():
                self._publish_all(self._lanes.drain())
                self._extra_engines.close_all()
                self._output.announce_change()
            if frame is not None:
                self._process(frame, interrupted=interrupted)
            self._output.announce()
        self._publish_all(self._lanes.drain())

    def _capture(self, stop: threading.Event) -> None:
        try:
            for frame in self._source.frames():
                self._output.captured(frame)
                if self._realtime:
                    self._slot.put(frame)  # first: inference starts while the frame is being published
                    time.sleep(_HANDING_OVER_S)
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

    def _process(self, frame: Frame, *, interrupted: bool) -> None:
        """Submit a frame that was taken out of the slot, or publish why it has no answer."""
        engine = self._failover.engine
        if not interrupted and frame.picture is SignalState.LIVE and engine is not None:
            self._publish_all(self._lanes.submit(frame, engine))
            return
        self._publish_all(self._lanes.drain())  # results go out in the order of the frames
        if interrupted:
            self._publish_unprocessed(UnprocessedFrame(frame=frame, interrupted=True))
        elif frame.picture is not SignalState.LIVE:
            if self._association is not None:
                self._association.reset()
            self._output.publish_not_live(frame)
        else:
            self._output.publish_no_engine(frame)

    def _publish_all(self, finished: Iterable[InferenceOutcome | UnprocessedFrame]) -> None:
        """Publish outcomes; where a back end has failed, let another take over.

        Raises
        ------
        BackendHungError
            If it hangs while a thread is still stuck in another.
        """
        failed = self._publish_each(finished)
        if failed is None or failed.failure is None:
            return
        self._publish_each(self._lanes.drain())  # an engine must not be closed while another frame is in it
        hung = isinstance(failed.failure, BackendHungError)
        self._extra_engines.close_all(failed.engine if hung else None)
        if hung and self._lanes.stuck_count > _MAX_STUCK:
            raise failed.failure
        if failed.engine is self._failover.engine:
            self._failover.fail(failed.failure, aside=self._realtime)
            self._output.announce_change()

    def _publish_each(self, finished: Iterable[InferenceOutcome | UnprocessedFrame]) -> InferenceOutcome | None:
        """Publish outcomes; gives the first whose back end has failed."""
        failed: InferenceOutcome | None = None
        for item in finished:
            if isinstance(item, UnprocessedFrame):
                self._publish_unprocessed(item)
                continue
            if self._association is not None:
                item = self._association.apply(item, self._clock)
            self._output.publish_outcome(item)
            failed = item if item.failure is not None and failed is None else failed
        return failed

    def _publish_unprocessed(self, unprocessed: UnprocessedFrame) -> None:
        if self._realtime and not unprocessed.interrupted:
            self._extra_engines.note_drop(self._clock.now_ns())
        self._output.publish_unprocessed(unprocessed)

    def _ending(self, stop: threading.Event, failure: UsAssistError | None) -> tuple[SessionState, str]:
        failure = failure or self._capture_error
        if failure is not None:
            return SessionState.FAILED, str(failure)
        if stop.is_set():
            return SessionState.INTERRUPTED, "stopped by the user"
        return SessionState.ENDED, self.summary.reason


class _LoopThread(threading.Thread):
    """The thread of a stream's loop.

    Attributes
    ----------
    finished : set at its end; never of one that is stuck
    error : that it ended with
    """

    def __init__(
        self,
        work: Callable[[threading.Event, InferenceOutcome | None], None],
        stop: threading.Event,
        overdue: InferenceOutcome | None,
    ) -> None:
        super().__init__(name="stream-loop", daemon=True)
        self.finished = threading.Event()
        self.error: BaseException | None = None
        self._work, self._stop_event, self._overdue = work, stop, overdue
        self.start()

    def run(self) -> None:
        try:
            self._work(self._stop_event, self._overdue)
        except CallAbandoned:
            return
        except BaseException as error:  # noqa: BLE001 - whatever it is, the caller of the stream raises it
            self.error = error
        self.finished.set()
