"""The deadline of an engine call: how long it may take before it counts as hung."""

from __future__ import annotations

import threading
import weakref

from usassist.engine import Engine

__all__ = ["MIN_S", "InferenceDeadline"]

MIN_S = 1.0
_FACTOR = 10.0  # a call that takes less than this many times the average is slow, but not hung
_FIRST_FACTOR = 5.0  # of the least deadline: for the first call of an engine, of which nothing is measured yet
_WEIGHT = 0.1  # of the newest call in the average


class InferenceDeadline:
    """The deadline of a call: `least_s`, or ten times the average of that engine's calls, whichever is longer.

    Parameters
    ----------
    least_s : no call has a shorter deadline, s
    """

    def __init__(self, least_s: float = MIN_S) -> None:
        self._least_s = least_s
        self._average_s: weakref.WeakKeyDictionary[Engine, float] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def record(self, engine: Engine, took_ns: int) -> None:
        """Add a call that has returned to the average."""
        took_s = took_ns / 1e9
        with self._lock:
            average_s = self._average_s.get(engine, took_s)
            self._average_s[engine] = average_s + _WEIGHT * (took_s - average_s)

    def limit_s(self, engine: Engine | None) -> float:
        """How long a call of this engine may take now, s."""
        with self._lock:
            average_s = None if engine is None else self._average_s.get(engine)
        return self._least_s * _FIRST_FACTOR if average_s is None else max(self._least_s, _FACTOR * average_s)
