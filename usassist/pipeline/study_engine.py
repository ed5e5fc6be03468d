"""The engine as a study's task sees it: every call can be cancelled before it, and has a deadline.

The engine is called in a thread of its own, because a call that hangs cannot be ended from outside. One that is overdue
is abandoned together with its thread and its engine; if it returns after all, the thread closes the engine and ends.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

from usassist.common.closeable import Closeable
from usassist.engine import Engine
from usassist.errors import BackendHungError
from usassist.modalities import Tensors
from usassist.pipeline.deadline import InferenceDeadline

__all__ = ["StudyEngine"]

logger = logging.getLogger(__name__)

_WATCH_S = 0.1


class StudyEngine(Closeable):
    """Calls an engine for a study.

    Parameters
    ----------
    engine : that is called; it stays open at the end, unless a call of it hung and returned later
    check : called before every call; raises where the study was cancelled
    deadline : of a call
    """

    def __init__(self, engine: Engine, check: Callable[[], None], deadline: InferenceDeadline) -> None:
        self._engine, self._check, self._deadline = engine, check, deadline
        self._requests: SimpleQueue[Tensors | None] = SimpleQueue()
        self._returned = threading.Event()
        self._outputs: Tensors | None = None
        self._error: BaseException | None = None
        self._lock = threading.Lock()  # guards whether a call returned or was abandoned first
        self._abandoned = False
        self._thread = threading.Thread(target=self._serve, name="study-engine", daemon=True)
        self._thread.start()

    def infer(self, inputs: Tensors) -> Tensors:
        """Run the engine once.

        Raises
        ------
        BackendHungError
            If the call is overdue; the engine must not be used or closed any more.
        EngineError
            As ``Engine.infer``.
        """
        self._check()
        self._returned.clear()
        self._requests.put(inputs)
        limit_s, watched_s, before_s = self._deadline.limit_s(self._engine), 0.0, time.monotonic()
        while not self._returned.wait(_WATCH_S):
            now_s = time.monotonic()
            watched_s += min(now_s - before_s, 2 * _WATCH_S)  # time in which this process was stopped does not count
            before_s = now_s
            if watched_s > limit_s:
                self._abandon(limit_s)
        outputs, error, self._outputs, self._error = self._outputs, self._error, None, None
        if error is not None:
            raise error
        assert outputs is not None
        return outputs

    def close(self) -> None:
        """End the thread, unless it is stuck.

        It is joined, so that nobody closes the engine while the thread still frees inputs that a runtime shares.
        """
        self._requests.put(None)
        if not self._abandoned:
            self._thread.join()

    def _abandon(self, limit_s: float) -> None:
        with self._lock:
            if self._returned.is_set():  # just in time
                return
            self._abandoned = True
        raise BackendHungError(f"it did not answer in {limit_s:.1f} s; check the device, its driver and its log")

    def _serve(self) -> None:
        while (inputs := self._requests.get()) is not None:
            began_ns = time.monotonic_ns()
            try:
                self._outputs = self._engine.infer(inputs)
            except BaseException as error:  # noqa: BLE001 - whatever it is, the caller of `infer` raises it
                self._error = error
            with self._lock:
                if not self._abandoned:
                    self._returned.set()
            if self._abandoned:
                logger.warning("back end %s returned too late; it is closed", self._engine.backend)
                self._engine.close()
                return
            self._deadline.record(self._engine, time.monotonic_ns() - began_ns)
