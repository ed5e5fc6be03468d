"""How long an engine may take for one frame before it is taken to hang."""

from __future__ import annotations

import threading
import weakref

from usassist.engine import Engine

__all__ = ["MIN_S", "InferenceDeadline"]

MIN_S = 1.0
_TIMES = 10.0  # so many times as long as usual is no slow frame
# The first call of an engine in a stream, for which nothing was measured, may take so much more.
_FIRST_TIMES = 5.0
_WEIGHT = 0.1  # of the newest call in what is usual


class InferenceDeadline:
    """The deadline of a call: `least_s`, or ten times what calls of that engine take, whichever is longer.

    Parameters
    ----------
    least_s : no engine is given less, s
    """

    def __init__(self, least_s: float = MIN_S) -> None:
        self._least_s = least_s
        self._usual_s: weakref.WeakKeyDictionary[Engine, float] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def note(self, engine: Engine, took_ns: int) -> None:
        """A call has come back."""
        took_s = took_ns / 1e9
        with self._lock:
            usual_s = self._usual_s.get(engine, took_s)
            self._usual_s[engine] = usual_s + _WEIGHT * (took_s - usual_s)

    def limit_s(self, engine: Engine | None) -> float:
        """How long a call of this engine may take now, s."""
        with self._lock:
            usual_s = None if engine is None else self._usual_s.get(engine)
        return self._least_s * _FIRST_TIMES if usual_s is None else max(self._least_s, _TIMES * usual_s)
