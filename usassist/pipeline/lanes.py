"""Asking the engine: one frame after the other, or several at a time where every frame waits for its turn anyway.

Every call of an engine has a deadline. A call that is overdue is given up: its frame has no result, the thread that is
stuck in it and its engine are abandoned, and nothing else waits for them. A thread cannot be ended from outside; one
that comes back after all finds that it was given up, closes its engine and ends.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from usassist.common.clock import Clock
from usassist.common.closeable import Closeable
from usassist.engine import Engine
from usassist.errors import BackendFailedError, BackendHungError, UsAssistError
from usassist.pipeline.deadline import InferenceDeadline
from usassist.pipeline.slot import PassedOver
from usassist.pipeline.task import Task, TaskEngine, Tensors
from usassist.records import Answer, Frame

__all__ = ["Asked", "GivenUp", "Lanes", "Lost"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """What came of asking an engine for one frame.

    Attributes
    ----------
    frame : the frame
    answer : empty where something failed
    backend : that was asked
    t_start_ns, t_end_ns : monotonic ns around everything
    t_input_ns, t_output_ns : around the engine's own call, None where it was not reached
    reason : why there is no answer; empty when there is one
    failure : of the back end itself, which must not be asked again
    engine : that was asked
    """

    frame: Frame
    answer: Answer
    backend: str
    t_start_ns: int
    t_end_ns: int
    t_input_ns: int | None = None
    t_output_ns: int | None = None
    reason: str = ""
    failure: BackendFailedError | None = None
    engine: Engine | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lost:
    """A frame that no engine was asked for.

    Attributes
    ----------
    frame : the frame, or what is left of it
    interrupted : because the stream was stopped, and not because it was busy
    """

    frame: Frame | PassedOver
    interrupted: bool


class GivenUp(BaseException):
    """Ends a thread that was stuck in an engine, whose call was given up, and that has come back after all."""


@dataclass(slots=True, eq=False)
class _Call:
    """One frame on its way to an engine and back.

    Attributes
    ----------
    frame : the frame
    engine : that works on it; None while it waits for one
    t_start_ns : since when, monotonic ns
    watched_s : for how long the watchdog has seen it at work
    task : that it is asked with
    asked : what came of it; None until then
    finished : set with `asked`; None where nobody waits for that
    given_up : it was overdue, and nobody waits for it any more
    in_caller : the thread of the caller of :meth:`Lanes.ask` is in it
    """

    frame: Frame
    engine: Engine | None = None
    task: Task | None = None
    t_start_ns: int = 0
    watched_s: float = 0.0
    asked: Asked | None = None
    finished: threading.Event | None = None
    given_up: bool = False
    in_caller: bool = False

    def finish(self, asked: Asked) -> None:
        self.asked = asked
        if self.finished is not None:
            self.finished.set()


class _Stopwatch:
    """An engine whose call is stamped."""

    __slots__ = ("_clock", "_engine", "t_input_ns", "t_output_ns")

    def __init__(self, engine: TaskEngine, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self.t_input_ns: int | None = None
        self.t_output_ns: int | None = None

    def infer(self, inputs: Tensors) -> Tensors:
        self.t_input_ns = self._clock.now_ns()
        outputs = self._engine.infer(inputs)
        self.t_output_ns = self._clock.now_ns()
        return outputs


class Lanes(Closeable):
    """Asks for frames and gives what came of it in the order of the frames.

    With one engine a frame is asked for at once, in the thread of the caller: handing it to another thread and back
    would cost every frame two wake-ups. With several, each works in a thread of its own, on another frame; one that
    fails is asked for no further frame while another is left.

    Parameters
    ----------
    make_task : called once per lane, since a task keeps buffers
    clock : stamps
    on_finished : called when an answer is there that was not given in the thread of the caller
    ahead : so many frames may be handed over beyond those that are worked on, so that no lane has to wait for one
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
        self._crew: _Crew | None = None
        self._pending: deque[_Call | Lost] = deque()
        self._lock = threading.Lock()  # guards the two lists, and who is the first to finish a call
        self._running: list[_Call] = []
        self._stuck: list[_Call] = []

    def spread(self, engines: list[Engine]) -> None:
        """Work with these engines from now on; nothing may be pending."""
        assert not self._pending
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()
        if len(engines) > 1:
            self._tasks += [self._make_task() for _ in range(len(engines) - len(self._tasks))]
            self._crew = _Crew(list(zip(self._tasks, engines, strict=False)), self._work, self._on_finished)

    @property
    def has_room(self) -> bool:
        """True when a frame that is asked for now would be worked on without delay."""
        if self._crew is None:
            return True
        working = sum(isinstance(item, _Call) and item.asked is None for item in self._pending)
        return working < self._crew.size + self._ahead

    @property
    def is_asking(self) -> bool:
        """True while an engine is at work within its deadline."""
        return bool(self._running)

    @property
    def stuck(self) -> int:
        """How many calls were given up and have not come back."""
        return len(self._stuck)

    def ask(self, frame: Frame, engine: Engine) -> Iterator[Asked | Lost]:
        """Ask for a frame; gives what is ready, in order.

        Raises
        ------
        GivenUp
            If this thread was stuck, and another has gone on in its place.
        """
        if self._crew is None:
            yield self._work(_Call(frame, in_caller=True), self._tasks[0], engine)
            return
        call = _Call(frame, finished=threading.Event())
        self._pending.append(call)
        self._crew.calls.put(call)
        yield from self.ready()

    def pass_over(self, lost: Lost) -> Iterator[Asked | Lost]:
        """A frame that is not asked for takes its place in the order; gives what is ready."""
        self._pending.append(lost)
        yield from self.ready()

    def ready(self) -> Iterator[Asked | Lost]:
        """What is ready, in order. Never waits."""
        while self._pending:
            first = self._pending[0]
            answered = first.asked if isinstance(first, _Call) else first
            if answered is None:
                return
            self._pending.popleft()
            yield answered

    def rest(self) -> Iterator[Asked | Lost]:
        """Wait for everything that is pending, in order; no longer than the deadline, where somebody checks it."""
        while self._pending:
            first = self._pending.popleft()
            if isinstance(first, _Call):
                assert first.finished is not None  # of all that are pending
                first.finished.wait()
                assert first.asked is not None  # set before
                yield first.asked
            else:
                yield first

    def check_deadline(self, watched_s: float) -> list[tuple[Asked, bool]]:
        """Give up every call that is overdue. To be called now and then, by a thread that asks for nothing.

        Parameters
        ----------
        watched_s : since the last time. Time counts that somebody has watched: who was stopped meanwhile, as every
            process is when a laptop sleeps, tells less.

        Returns
        -------
        given_up : what came of it, and whether the caller of :meth:`ask` is stuck in it, who then never comes back
        """
        given_up: list[tuple[Asked, bool]] = []
        with self._lock:
            for call in list(self._running):
                call.watched_s += watched_s
                limit_s = self._deadline.limit_s(call.engine)
                if call.watched_s > limit_s:
                    call.given_up = True
                    self._running.remove(call)
                    self._stuck.append(call)
                    given_up.append((self._overdue(call, limit_s), call.in_caller))
                    for place, task in enumerate(self._tasks):
                        if task is call.task:  # its buffers are in use for as long as it is stuck
                            self._tasks[place] = self._make_task()
                    call.finish(given_up[-1][0])
        for asked, in_caller in given_up:
            if not in_caller and self._crew is not None:
                self._crew.lose(asked)
                self._on_finished()
        return given_up

    def _overdue(self, call: _Call, limit_s: float) -> Asked:
        engine = call.engine
        assert engine is not None  # it is running
        failure = BackendHungError(f"it did not answer in {limit_s:.1f} s; look at the device, its driver and its log")
        return Asked(
            frame=call.frame,
            answer=Answer(),
            backend=engine.backend,
            t_start_ns=call.t_start_ns,
            t_end_ns=self._clock.now_ns(),
            reason=f"engine hangs: {failure}",
            failure=failure,
            engine=engine,
        )

    def _work(self, call: _Call, task: Task, engine: Engine) -> Asked:
        """Ask an engine.

        Raises
        ------
        GivenUp
            If the call was given up meanwhile: this thread, which somebody else has replaced, is to end.
        """
        call.engine, call.task, call.t_start_ns = engine, task, self._clock.now_ns()
        with self._lock:
            self._running.append(call)
        asked = _ask(call.frame, task, engine, self._clock)
        with self._lock:
            if not call.given_up:
                self._running.remove(call)
        if call.given_up:
            self._come_back(call, engine)
        self._deadline.note(engine, asked.t_end_ns - asked.t_start_ns)
        return asked

    def _come_back(self, call: _Call, engine: Engine) -> None:
        late_s = (self._clock.now_ns() - call.t_start_ns) / 1e9
        logger.warning("back end %s came back after %.1f s, too late; it is closed", engine.backend, late_s)
        try:
            engine.close()
        except Exception:
            logger.exception("back end %s could not be closed", engine.backend)
        with self._lock:
            self._stuck.remove(call)
        raise GivenUp

    def close(self) -> None:
        """End the threads, without waiting for one that is stuck."""
        crew, self._crew = self._crew, None
        if crew is not None:
            crew.close()


class _Crew:
    """Threads that work side by side, each with an engine of its own.

    Attributes
    ----------
    calls : what is to be done
    size : how many threads there were
    """

    def __init__(
        self,
        lanes: list[tuple[Task, Engine]],
        work: Callable[[_Call, Task, Engine], Asked],
        on_finished: Callable[[], None],
    ) -> None:
        self.calls: SimpleQueue[_Call | None] = SimpleQueue()
        self.size = len(lanes)
        self._sound = len(lanes)
        self._lock = threading.Lock()
        self._work, self._on_finished = work, on_finished
        self._free: SimpleQueue[tuple[Task, Engine]] = SimpleQueue()
        for lane in lanes:
            self._free.put(lane)
        self._threads = [
            threading.Thread(target=self._serve, name=f"lane {number}", daemon=True) for number in range(len(lanes))
        ]
        for thread in self._threads:
            thread.start()

    def lose(self, asked: Asked) -> None:
        """One of the threads is stuck. What nobody is left for has no result either."""
        with self._lock:
            self._sound -= 1
            if self._sound > 0:
                return
        while not self.calls.empty():
            call = self.calls.get()
            if call is not None:
                call.finish(_unasked(call.frame, asked))

    def close(self) -> None:
        """End the threads that are not stuck."""
        for _ in self._threads:
            self.calls.put(None)

    def _serve(self) -> None:
        with contextlib.suppress(GivenUp):
            self._serve_until_closed()

    def _serve_until_closed(self) -> None:
        while (call := self.calls.get()) is not None:
            lane = self._free.get()  # there are as many as threads; the one that has waited longest is next
            asked = self._work(call, *lane)
            with self._lock:
                withdrawn = asked.failure is not None and self._sound > 1
                self._sound -= withdrawn  # what is left goes to the others; the caller will spread anew
            if not withdrawn:
                self._free.put(lane)
            call.finish(asked)
            self._on_finished()
            if withdrawn:
                return


def _unasked(frame: Frame, asked: Asked) -> Asked:
    """A frame that waited for an engine that hangs."""
    return Asked(
        frame=frame,
        answer=Answer(),
        backend=asked.backend,
        t_start_ns=asked.t_end_ns,
        t_end_ns=asked.t_end_ns,
        reason=asked.reason,
        failure=asked.failure,
        engine=asked.engine,
    )


def _ask(frame: Frame, task: Task, engine: Engine, clock: Clock) -> Asked:
    watch = _Stopwatch(engine, clock)
    t_start_ns = clock.now_ns()
    answer, outcome = Answer(), dict[str, Any]()
    try:
        answer = task(frame, watch)
    except Exception as error:
        # Whatever fails between frame and answer, this frame has no result, and the stream goes on.
        logger.exception("no result for frame %d", frame.frame_id)
        outcome["reason"] = str(error) if isinstance(error, UsAssistError) else f"engine failed: {error!r}"
        outcome["failure"] = error if isinstance(error, BackendFailedError) else None
    return Asked(
        frame=frame,
        answer=answer,
        backend=engine.backend,
        t_start_ns=t_start_ns,
        t_end_ns=clock.now_ns(),
        t_input_ns=watch.t_input_ns,
        t_output_ns=watch.t_output_ns,
        engine=engine,
        **outcome,
    )
