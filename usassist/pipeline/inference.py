"""One frame through an engine: the call, its time stamps, and what it gives."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import Any

from usassist.common.clock import Clock
from usassist.engine import Engine
from usassist.errors import BackendFailedError, UsAssistError
from usassist.modalities import Task, TaskEngine, Tensors
from usassist.pipeline.slot import DroppedFrame
from usassist.records import Answer, Frame

__all__ = ["Call", "CallAbandoned", "InferenceOutcome", "UnprocessedFrame", "infer_frame"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InferenceOutcome:
    """What came of one frame that was given to an engine: an answer, that the engine abstains, or a failure.

    Attributes
    ----------
    frame : the frame
    answer : empty where something failed
    backend : of the engine
    t_start_ns, t_end_ns : monotonic ns around everything
    t_input_ns, t_output_ns : around the engine's own call, None where it was not reached
    reason : what failed; empty when there is an answer, or the engine abstains
    failure : of the back end itself, which must not be called again
    engine : that was called
    follows_frame_id : see :class:`usassist.records.Result`
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
    follows_frame_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnprocessedFrame:
    """A frame that no engine was called for.

    Attributes
    ----------
    frame : the frame, or its identity where its pixels are gone
    interrupted : True: the stream was stopped. False: it was dropped because the engine was busy
    """

    frame: Frame | DroppedFrame
    interrupted: bool


class CallAbandoned(BaseException):
    """Ends a thread whose engine call was overdue and abandoned, and has now returned after all."""


@dataclass(slots=True, eq=False)
class Call:
    """One frame on its way to an engine and back.

    Attributes
    ----------
    frame : the frame
    engine : that works on it; None while it waits for one
    t_start_ns : since when, monotonic ns
    watched_s : for how long the watchdog has seen it running
    task : that processes it
    outcome : None until there is one
    finished : set with `outcome`; None where nothing waits for it
    abandoned : it was overdue, and nothing waits for it any more
    in_caller : it runs in the thread that called :meth:`usassist.pipeline.lanes.Lanes.submit`
    """

    frame: Frame
    engine: Engine | None = None
    task: Task | None = None
    t_start_ns: int = 0
    watched_s: float = 0.0
    outcome: InferenceOutcome | None = None
    finished: threading.Event | None = None
    abandoned: bool = False
    in_caller: bool = False

    def finish(self, outcome: InferenceOutcome) -> None:
        """Set the outcome, and wake up what waits for it."""
        self.outcome = outcome
        if self.finished is not None:
            self.finished.set()


class _TimedEngine:
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


def infer_frame(frame: Frame, task: Task, engine: Engine, clock: Clock) -> InferenceOutcome:
    """Process one frame with an engine. Never raises an ``Exception``: a failure is an outcome."""
    timed = _TimedEngine(engine, clock)
    t_start_ns = clock.now_ns()
    answer, failed = Answer(), dict[str, Any]()
    try:
        answer = task(frame, timed)
    except Exception as error:
        # Whatever fails between frame and answer, only this frame has no result, and the stream goes on.
        logger.exception("no result for frame %d", frame.frame_id)
        failed["reason"] = str(error) if isinstance(error, UsAssistError) else f"engine failed: {error!r}"
        failed["failure"] = error if isinstance(error, BackendFailedError) else None
    return InferenceOutcome(
        frame=frame,
        answer=answer,
        backend=engine.backend,
        t_start_ns=t_start_ns,
        t_end_ns=clock.now_ns(),
        t_input_ns=timed.t_input_ns,
        t_output_ns=timed.t_output_ns,
        engine=engine,
        **failed,
    )
