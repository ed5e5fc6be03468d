"""Asking the engine: one frame after the other, or several at a time where every frame waits for its turn anyway."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from usassist.clock import Clock
from usassist.closing import Closing
from usassist.engine import Engine
from usassist.errors import BackendFailedError, UsAssistError
from usassist.pipeline.slot import PassedOver
from usassist.pipeline.task import Inferring, Task, Tensors
from usassist.records import Answer, Frame

__all__ = ["Asked", "Lanes", "Lost"]

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


class _Stopwatch:
    """An engine whose call is stamped."""

    __slots__ = ("_clock", "_engine", "t_input_ns", "t_output_ns")

    def __init__(self, engine: Inferring, clock: Clock) -> None:
        self._engine, self._clock = engine, clock
        self.t_input_ns: int | None = None
        self.t_output_ns: int | None = None

    def infer(self, inputs: Tensors) -> Tensors:
        self.t_input_ns = self._clock.now_ns()
        outputs = self._engine.infer(inputs)
        self.t_output_ns = self._clock.now_ns()
        return outputs


class Lanes(Closing):
    """Asks for frames and gives what came of it in the order of the frames.

    With one engine a frame is asked for at once, in the thread of the caller. With several, each works in a thread of
    its own, on another frame; one that fails is asked for no further frame while another is left.

    Parameters
    ----------
    make_task : called once per lane, since a task keeps buffers
    clock : stamps
    on_finished : called in a lane's thread when an answer is there
    ahead : so many frames may be handed over beyond those that are worked on, so that no lane has to wait for one
    """

    def __init__(
        self, make_task: Callable[[], Task], clock: Clock, on_finished: Callable[[], None], *, ahead: int = 0
    ) -> None:
        self._make_task, self._clock, self._on_finished, self._ahead = make_task, clock, on_finished, ahead
        self._tasks = [make_task()]
        self._free: SimpleQueue[tuple[Task, Engine]] = SimpleQueue()
        self._lanes = self._sound = 1
        self._withdrawing = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._pending: deque[Future[Asked] | Lost] = deque()

    def spread(self, engines: list[Engine]) -> None:
        """Work with these engines from now on; nothing may be pending."""
        assert not self._pending
        self._tasks += [self._make_task() for _ in range(len(engines) - len(self._tasks))]
        self._free = SimpleQueue()
        for lane in zip(self._tasks, engines, strict=False):
            self._free.put(lane)
        self._lanes = self._sound = max(1, len(engines))
        if self._lanes > 1 and self._pool is None:
            self._pool = ThreadPoolExecutor(self._lanes, thread_name_prefix="lane")

    @property
    def has_room(self) -> bool:
        """True when a frame that is asked for now would be worked on without delay."""
        working = sum(isinstance(item, Future) and not item.done() for item in self._pending)
        return working < self._lanes + (self._ahead if self._lanes > 1 else 0)

    def ask(self, frame: Frame, engine: Engine) -> Iterator[Asked | Lost]:
        """Ask for a frame; gives what is ready, in order."""
        if self._pool is None or self._lanes == 1:
            yield _ask(frame, self._tasks[0], engine, self._clock)
            return
        future = self._pool.submit(self._work, frame)
        self._pending.append(future)
        future.add_done_callback(lambda _: self._on_finished())
        yield from self.ready()

    def pass_over(self, lost: Lost) -> Iterator[Asked | Lost]:
        """A frame that is not asked for takes its place in the order; gives what is ready."""
        self._pending.append(lost)
        yield from self.ready()

    def ready(self) -> Iterator[Asked | Lost]:
        """What is ready, in order. Never waits."""
        while self._pending:
            first = self._pending[0]
            if isinstance(first, Future) and not first.done():
                return
            self._pending.popleft()
            yield first.result() if isinstance(first, Future) else first

    def rest(self) -> Iterator[Asked | Lost]:
        """Wait for everything that is pending, in order."""
        while self._pending:
            first = self._pending.popleft()
            yield first.result() if isinstance(first, Future) else first

    def _work(self, frame: Frame) -> Asked:
        lane = self._free.get()  # waits only where a lane was withdrawn: there are as many threads as lanes
        asked = _ask(frame, *lane, self._clock)
        with self._withdrawing:
            if asked.failure is not None and self._sound > 1:
                self._sound -= 1  # what is under way goes to the others; the caller will spread anew
            else:
                self._free.put(lane)
        return asked

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()


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
