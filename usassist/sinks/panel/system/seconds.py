"""What happened in each of the last seconds: latency percentiles, answers, and frames without an answer by cause."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import msgspec

__all__ = ["KEPT_S", "Second", "Seconds"]

KEPT_S = 600
_MOST_PER_S = 1024


class Second(msgspec.Struct, frozen=True, kw_only=True):
    """One second: ``age_s`` ago; percentiles of the time from capture to the published result, ms, None where none was
    published; frames, and those without an answer by cause."""

    age_s: int
    frames: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    by_cause: dict[str, int]


@dataclass(slots=True)
class _Open:
    second: int
    frames: int = 0
    latencies_ns: list[int] = field(default_factory=list)
    by_cause: dict[str, int] = field(default_factory=dict)


class Seconds:
    """A ring of the last ten minutes. Not thread-safe."""

    def __init__(self) -> None:
        self._closed: deque[tuple[int, int, tuple[float, float, float] | None, dict[str, int]]] = deque(maxlen=KEPT_S)
        self._open: _Open | None = None

    def clear(self) -> None:
        """Forget everything, for a new session."""
        self._closed.clear()
        self._open = None

    def add(self, t_ns: int, latency_ns: int | None, cause: str) -> None:
        """Count one frame.

        Parameters
        ----------
        t_ns : when its result was published
        latency_ns : from its capture to that; None where the engine was not asked, or the time has no meaning
        cause : why it has no answer; empty where it has one
        """
        second = t_ns // 1_000_000_000
        now = self._open
        if now is None or second > now.second:
            if now is not None:
                self._closed.append((now.second, now.frames, _percentiles(now.latencies_ns), now.by_cause))
            now = self._open = _Open(second)
        now.frames += 1
        if latency_ns is not None and len(now.latencies_ns) < _MOST_PER_S:
            now.latencies_ns.append(latency_ns)
        if cause:
            now.by_cause[cause] = now.by_cause.get(cause, 0) + 1

    def last(self, count: int = KEPT_S) -> list[Second]:
        """The last whole seconds in which frames came, oldest first; the present one is not whole."""
        if self._open is None:
            return []
        newest = self._open.second
        return [
            Second(
                age_s=newest - second,
                frames=frames,
                p50_ms=None if figures is None else figures[0],
                p95_ms=None if figures is None else figures[1],
                p99_ms=None if figures is None else figures[2],
                by_cause=dict(by_cause),
            )
            for second, frames, figures, by_cause in self._closed
            if newest - second <= count
        ]


def _percentiles(latencies_ns: list[int]) -> tuple[float, float, float] | None:
    """Nearest rank, ms."""
    if not latencies_ns:
        return None
    ordered = sorted(latencies_ns)
    p50, p95, p99 = (ordered[math.ceil(share * len(ordered)) - 1] / 1e6 for share in (0.5, 0.95, 0.99))
    return round(p50, 2), round(p95, 2), round(p99, 2)
