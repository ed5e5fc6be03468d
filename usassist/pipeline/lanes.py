"""Lanes: one frame at a time in the caller's thread, or several in parallel where every frame is answered anyway.

Every engine call has a deadline. A call that is overdue is abandoned: its frame has no result, and nothing waits any
more for the thread that is stuck in it or for its engine. A thread cannot be ended from outside; one that returns after
all finds that its call was abandoned, closes its engine and ends.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator

from usassist.common.clock import Clock
from usassist.common.closeable import Closeable
from usassist.engine import Engine
from usassist.errors import BackendHungError
from usassist.modalities import Task
from usassist.pipeline.deadline import InferenceDeadline
from usassist.pipeline.inference import Call, CallAbandoned, InferenceOutcome, UnprocessedFrame, infer_frame
from usassist.pipeline.lane_threads import LaneThreads
from usassist.records import Answer, Frame

__all__ = ["Lanes"]

logger = logging.getLogger(__name__)


class Lanes(Closeable):
    """Calls engines for frames, and gives the outcomes in the order of the frames.

    With one engine a frame is processed at once, in the thread of the caller: handing it to another thread and back
    would cost every frame two wake-ups. With several, each works in a thread of its own, on another frame; one that
    fails gets no further frame while another is left.

    Parameters
    ----------
    make_task : called once per lane, since a task keeps buffers
    clock : stamps
    on_finished : called when there is an outcome that was not computed in the thread of the caller
    ahead : how many frames may be submitted beyond those that are worked on, so that no lane is idle between two
    deadline : of a call
    """

    def __init__(
        self,
        make_task: Callable[[], Task],
        clock: Clock,
        on_finished: Callable[[], None],
        *,
        ahead: int = 0,
        deadline: InferenceDeadline | None = None,
    ) -> None:
        self._make_task, self._clock, self._on_finished, self._ahead = make_task, clock, on_finished, ahead
        self._deadline = InferenceDeadline() if deadline is None else deadline
        self._tasks = [make_task()]
        self._threads: LaneThreads | None = None
        self._pending: deque[Call | UnprocessedFrame] = deque()
        self._lock = threading.Lock()  # guards the two lists, and whether a call returned or was abandoned first
        self._running: list[Call] = []
        self._stuck: list[Call] = []

    def assign(self, engines: list[Engine]) -> None:
        """Work with these engines from now on; fewer than two: in the thread of the caller. Nothing may be pending."""
        assert not self._pending
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.close()
        if len(engines) > 1:
            self._tasks += [self._make_task() for _ in range(len(engines) - len(self._tasks))]
            lanes = list(zip(self._tasks, engines, strict=False))
            self._threads = LaneThreads(lanes, self._work, self._on_finished)

    @property
    def has_room(self) -> bool:
        """True when a frame that is submitted now would be worked on without delay."""
        if self._threads is None:
            return True
        working = sum(isinstance(item, Call) and item.outcome is None for item in self._pending)
        return working < self._threads.size + self._ahead

    @property
    def is_inferring(self) -> bool:
        """True while an engine call is running within its deadline."""
        return bool(self._running)

    @property
    def stuck_count(self) -> int:
        """How many calls were abandoned and have not returned."""
        return len(self._stuck)

    def submit(self, frame: Frame, engine: Engine) -> Iterator[InferenceOutcome | UnprocessedFrame]:
        """Process a frame; gives what is ready, in order.

        Raises
        ------
        CallAbandoned
            If this thread was stuck, and another has taken over its work.
        """
        if self._threads is None:
            yield self._work(Call(frame, in_caller=True), self._tasks[0], engine)
            return
        call = Call(frame, finished=threading.Event())
        self._pending.append(call)
        self._threads.calls.put(call)
        yield from self.ready()

    def add_unprocessed(self, unprocessed: UnprocessedFrame) -> Iterator[InferenceOutcome | UnprocessedFrame]:
        """Keep the place in the order of a frame that no engine is called for; gives what is ready."""
        self._pending.append(unprocessed)
        yield from self.ready()

    def ready(self) -> Iterator[InferenceOutcome | UnprocessedFrame]:
        """What is ready, in order. Never waits."""
        while self._pending:
            first = self._pending[0]
            outcome = first.outcome if isinstance(first, Call) else first
            if outcome is None:
                return
            self._pending.popleft()
            yield outcome

    def drain(self) -> Iterator[InferenceOutcome | UnprocessedFrame]:
        """Wait for everything that is pending, in order; no longer than the deadline, where a thread checks it."""
        while self._pending:
            first = self._pending.popleft()
            if isinstance(first, Call):
                assert first.finished is not None  # of all that are pending
                first.finished.wait()
                assert first.outcome is not None  # set before
                yield first.outcome
            else:
                yield first

    def check_deadline(self, watched_s: float) -> list[tuple[InferenceOutcome, bool]]:
        """Abandon every call that is overdue. To be called regularly, by a thread that submits nothing.

        Parameters
        ----------
        watched_s : since the last check. Only watched time counts: while a laptop sleeps, every process is stopped.

        Returns
        -------
        overdue : the outcome, and whether the thread that called :meth:`submit` is stuck in it and never comes back
        """
        overdue: list[tuple[InferenceOutcome, bool]] = []
        with self._lock:
            for call in list(self._running):
                call.watched_s += watched_s
                limit_s = self._deadline.limit_s(call.engine)
                if call.watched_s > limit_s:
                    call.abandoned = True
                    self._running.remove(call)
                    self._stuck.append(call)
                    overdue.append((self._hung(call, limit_s), call.in_caller))
                    for place, task in enumerate(self._tasks):
                        if task is call.task:  # its buffers are in use for as long as it is stuck
                            self._tasks[place] = self._make_task()
                    call.finish(overdue[-1][0])
        for outcome, in_caller in overdue:
            if not in_caller and self._threads is not None:
                self._threads.abandon_one(outcome)
                self._on_finished()
        return overdue

    def _hung(self, call: Call, limit_s: float) -> InferenceOutcome:
        engine = call.engine
        assert engine is not None  # it is running
        failure = BackendHungError(f"it did not answer in {limit_s:.1f} s; check the device, its driver and its log")
        return InferenceOutcome(
            frame=call.frame,
            answer=Answer(),
            backend=engine.backend,
            t_start_ns=call.t_start_ns,
            t_end_ns=self._clock.now_ns(),
            reason=f"engine hangs: {failure}",
            failure=failure,
            engine=engine,
        )

    def _work(self, call: Call, task: Task, engine: Engine) -> InferenceOutcome:
        """Run a call.

        Raises
        ------
        CallAbandoned
            If the call was abandoned meanwhile: this thread, which another has replaced, is to end.
        """
        call.engine, call.task, call.t_start_ns = engine, task, self._clock.now_ns()
        with self._lock:
            self._running.append(call)
        outcome = infer_frame(call.frame, task, engine, self._clock)
        with self._lock:
            if not call.abandoned:
                self._running.remove(call)
        if call.abandoned:
            self._discard(call, engine)
        self._deadline.record(engine, outcome.t_end_ns - outcome.t_start_ns)
        return outcome

    def _discard(self, call: Call, engine: Engine) -> None:
        """End the thread of an abandoned call that has returned."""
        late_s = (self._clock.now_ns() - call.t_start_ns) / 1e9
        logger.warning("back end %s returned after %.1f s, too late; it is closed", engine.backend, late_s)
        try:
            engine.close()
        except Exception:
            logger.exception("back end %s could not be closed", engine.backend)
        with self._lock:
            self._stuck.remove(call)
        raise CallAbandoned

    def close(self) -> None:
        """End the threads, without waiting for one that is stuck."""
        threads, self._threads = self._threads, None
        if threads is not None:
            threads.close()
