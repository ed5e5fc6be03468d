"""Work beside a stream that never blocks it: opening an engine in a thread, measuring the order in a child process."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Protocol, Self

from usassist.common.clock import Clock
from usassist.common.closeable import Closeable
from usassist.engine.base import Engine
from usassist.engine.build_child import SPEED
from usassist.engine.building import BuildJob
from usassist.engine.spec import EngineSpec
from usassist.engine.speed import load_speeds, speed_pairs
from usassist.errors import EngineError

__all__ = ["BackgroundMeasurement", "BackgroundOpening", "Job", "close_in_background", "open_or_raise"]

logger = logging.getLogger(__name__)

_AFTER_NS = 5_000_000_000  # the stream has started by then
_NICENESS = 19


class Job(Protocol):
    """A child process that builds or measures; see :class:`usassist.engine.building.BuildJob`."""

    def poll(self) -> tuple[str, str, float]:
        """State (``building``, ``done`` or ``failed``), stage or reason, and share done. Never blocks."""
        ...

    def close(self) -> None:
        """End it; nothing half-built stays behind."""
        ...


class BackgroundOpening(threading.Thread):
    """Opens and checks an engine in a thread of its own, which starts at once.

    Parameters
    ----------
    index : of the candidate, for the caller
    opener : opens and checks it
    now_ns : monotonic

    Attributes
    ----------
    engine, error : the result, once the thread has ended
    abandoned : set by the caller that no longer waits: an engine that is opened after all is closed
    """

    def __init__(self, index: int, opener: Callable[[], Engine], now_ns: int) -> None:
        super().__init__(name="open-engine", daemon=True)
        self.index = index
        self.t_begin_ns = now_ns
        self.engine: Engine | None = None
        self.error: EngineError | None = None
        self.abandoned = False
        self._opener = opener
        self.start()

    def run(self) -> None:
        """The thread."""
        try:
            engine = open_or_raise(self._opener)
        except EngineError as error:
            self.error = error
            return
        if self.abandoned:
            engine.close()
        else:
            self.engine = engine


class BackgroundMeasurement(Closeable):
    """Measures the order of the back ends once a stream has run for 5 s, in a process of the lowest priority.

    The order holds from the next start on: changing it in mid-stream would change answers without need.

    Parameters
    ----------
    start : starts the process
    clock : monotonic
    """

    def __init__(self, start: Callable[[], Job], clock: Clock) -> None:
        self._start: Callable[[], Job] | None = start
        self._clock = clock
        self._due_ns = clock.now_ns() + _AFTER_NS
        self._job: Job | None = None

    @classmethod
    def where_wanted(cls, spec: EngineSpec, threads: int, clock: Clock) -> Self | None:
        """None where the order is stored, or there is nothing to choose from."""
        if len(speed_pairs(spec)) < 2 or load_speeds(spec, threads) is not None:
            return None
        return cls(lambda: BuildJob(spec, SPEED, str(threads), niceness=_NICENESS), clock)

    def poll(self) -> None:
        """Start the process when it is due, and collect its result. Never blocks."""
        if self._start is not None and self._clock.now_ns() >= self._due_ns:
            start, self._start = self._start, None
            try:
                self._job = start()
            except EngineError as error:
                logger.info("the order of back ends is not measured: %s", error)
        elif self._job is not None:
            state, words, _ = self._job.poll()
            if state == "failed":
                logger.info("the order of back ends is not measured: %s", words)
            if state != "building":
                self.close()

    def close(self) -> None:
        """End the process; a measurement that is not finished is made another time."""
        job, self._job, self._start = self._job, None, None
        if job is not None:
            job.close()


def open_or_raise(opener: Callable[[], Engine]) -> Engine:
    """Open an engine; whatever its runtime raises becomes an ``EngineError``."""
    try:
        return opener()
    except EngineError:
        raise
    except Exception as error:  # a runtime may raise anything, and the stream must be able to handle it
        raise EngineError(f"it could not be opened: {error!r}") from error


def close_in_background(engine: Engine) -> None:
    """Close an engine in a thread: a lost device may block."""
    threading.Thread(target=engine.close, name="close-engine", daemon=True).start()
