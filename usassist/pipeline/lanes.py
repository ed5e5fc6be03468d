"""Asking the engine: one frame after the other, or several at a time where every frame waits for its turn anyway."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from usassist.clock import Clock
from usassist.closing import Closing
from usassist.engine import Engine
from usassist.errors import BackendFailedError, UsAssistError
from usassist.pipeline.task import Inferring, Task, Tensors
from usassist.records import Answer, Frame

__all__ = ["Asked", "Lanes"]

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
    """Asks for frames and gives the answers in the order of the frames.

    With one engine a frame is asked for at once, in the thread of the caller. With several, each works in a thread of
    its own, on another frame; then answers come a few frames later.

    Parameters
    ----------
    make_task : called once per lane, since a task keeps buffers
    clock : stamps
    """

    def __init__(self, make_task: Callable[[], Task], clock: Clock) -> None:
        self._make_task, self._clock = make_task, clock
        self._tasks = [make_task()]
        self._free: deque[tuple[Task, Engine]] = deque()
        self._lanes = 1
        self._pool: ThreadPoolExecutor | None = None
        self._pending: deque[Future[Asked]] = deque()

    def spread(self, engines: list[Engine]) -> None:
        """Work with these engines from now on; nothing may be pending."""
        assert not self._pending
        self._tasks += [self._make_task() for _ in range(len(engines) - len(self._tasks))]
        self._free = deque(zip(self._tasks, engines, strict=False))
        self._lanes = max(1, len(engines))
        if self._lanes > 1 and self._pool is None:
            self._pool = ThreadPoolExecutor(self._lanes, thread_name_prefix="lane")

    def ask(self, frame: Frame, engine: Engine) -> Iterator[Asked]:
        """Ask for a frame; gives what is ready, in order."""
        if self._pool is None or self._lanes == 1:
            yield _ask(frame, self._tasks[0], engine, self._clock)
            return
        self._pending.append(self._pool.submit(self._work, frame))
        # One more than there are lanes is on its way, so that none of them has to wait for this thread.
        while len(self._pending) > self._lanes + 1 or (self._pending and self._pending[0].done()):
            yield self._pending.popleft().result()

    def rest(self) -> Iterator[Asked]:
        """Wait for everything that is pending, in order."""
        while self._pending:
            yield self._pending.popleft().result()

    def _work(self, frame: Frame) -> Asked:
        lane = self._free.popleft()  # there are as many threads as lanes
        try:
            return _ask(frame, *lane, self._clock)
        finally:
            self._free.append(lane)

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
