"""The threads of several lanes, each with an engine of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue

from usassist.common.closeable import Closeable
from usassist.engine import Engine
from usassist.modalities import Task
from usassist.pipeline.inference import Call, CallAbandoned, InferenceOutcome
from usassist.records import Answer, Frame

__all__ = ["LaneThreads"]


class LaneThreads(Closeable):
    """Threads that work in parallel, each on another frame.

    Parameters
    ----------
    lanes : task and engine of each
    work : processes one call
    on_finished : called when a call has its outcome

    Attributes
    ----------
    calls : what is to be done
    size : how many threads were started
    """

    def __init__(
        self,
        lanes: list[tuple[Task, Engine]],
        work: Callable[[Call, Task, Engine], InferenceOutcome],
        on_finished: Callable[[], None],
    ) -> None:
        self.calls: SimpleQueue[Call | None] = SimpleQueue()
        self.size = len(lanes)
        self._healthy = len(lanes)
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

    def abandon_one(self, outcome: InferenceOutcome) -> None:
        """One of the threads is stuck. With none left, the calls that wait have no result either."""
        with self._lock:
            self._healthy -= 1
            if self._healthy > 0:
                return
        while not self.calls.empty():
            call = self.calls.get()
            if call is not None:
                call.finish(_never_called(call.frame, outcome))

    def close(self) -> None:
        """End the threads that are not stuck."""
        for _ in self._threads:
            self.calls.put(None)

    def _serve(self) -> None:
        with contextlib.suppress(CallAbandoned):
            self._serve_until_closed()

    def _serve_until_closed(self) -> None:
        while (call := self.calls.get()) is not None:
            lane = self._free.get()  # there are as many as threads; the one that has waited longest is next
            outcome = self._work(call, *lane)
            with self._lock:
                withdrawn = outcome.failure is not None and self._healthy > 1
                self._healthy -= withdrawn  # the other lanes take what is left; the caller assigns engines again
            if not withdrawn:
                self._free.put(lane)
            call.finish(outcome)
            self._on_finished()
            if withdrawn:
                return


def _never_called(frame: Frame, outcome: InferenceOutcome) -> InferenceOutcome:
    """Of a frame that waited for an engine that hangs."""
    return InferenceOutcome(
        frame=frame,
        answer=Answer(),
        backend=outcome.backend,
        t_start_ns=outcome.t_end_ns,
        t_end_ns=outcome.t_end_ns,
        reason=outcome.reason,
        failure=outcome.failure,
        engine=outcome.engine,
    )
