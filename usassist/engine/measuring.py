"""The order of the back ends on the processor, measured beside a stream where none is kept for this machine."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, Self

from usassist.common.clock import Clock
from usassist.common.closeable import Closeable
from usassist.engine.build_child import SPEED
from usassist.engine.building import BuildJob
from usassist.engine.spec import EngineSpec
from usassist.engine.speed import load_speeds, speed_pairs
from usassist.errors import EngineError

__all__ = ["Measuring"]

logger = logging.getLogger(__name__)

_AFTER_NS = 5_000_000_000  # a stream starts first
_NICENESS = 19


class Job(Protocol):
    """What goes on beside the stream; see :class:`usassist.engine.building.BuildJob`."""

    def poll(self) -> tuple[str, str, float]:
        """State (``building``, ``done`` or ``failed``), stage or reason, and share done. Never waits."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class Measuring(Closeable):
    """A measurement that begins when a stream has run for 5 s, in a process that gives way to everything else.

    What it finds holds from the next start on: an order that changes in mid-stream would change answers without need.

    Parameters
    ----------
    start : starts it
    clock : says when
    """

    def __init__(self, start: Callable[[], Job], clock: Clock) -> None:
        self._start: Callable[[], Job] | None = start
        self._clock = clock
        self._due_ns = clock.now_ns() + _AFTER_NS
        self._job: Job | None = None

    @classmethod
    def where_wanted(cls, spec: EngineSpec, threads: int, clock: Clock) -> Self | None:
        """None where the order is kept, or there is nothing to choose between."""
        if len(speed_pairs(spec)) < 2 or load_speeds(spec, threads) is not None:
            return None
        return cls(lambda: BuildJob(spec, SPEED, str(threads), niceness=_NICENESS), clock)

    def poll(self) -> None:
        """Start it when it is due, and look after it. Never waits."""
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
        """End it; what it has not finished is measured another time."""
        job, self._job, self._start = self._job, None, None
        if job is not None:
            job.close()
