"""Latencies of a stream, counted in a histogram that never grows, and the stages that they are made of.

A frame passes these stages in order; each is the time between two stamps of that frame, so that the stages of a frame
that was answered add up to its ``total``.

=============== ==================================================== ===================================================
stage           from                                                 to
=============== ==================================================== ===================================================
``decode``      capture: the driver or the network gave the data     its pixels are ready
``crop``        pixels ready                                         the scan area is looked at, cut out, and a frame
``wait``        frame made                                           the loop has taken it out of the slot
``preprocess``  taken                                                the engine's own call begins
``infer``       engine's call begins                                 engine's call ends
``postprocess`` engine's call ends                                   answer is complete: outlines, sizes, descriptors
``publish``     answer complete                                      the result goes out
``total``       capture                                              the result goes out
``overhead``    ``total`` without ``infer``
``draw``        result and frame are here                            the overlay is drawn (of sinks)
``browser``     capture                                              a browser has drawn the frame, and said so
=============== ==================================================== ===================================================

A source that plays a file stamps the capture when the frame is due, and has decoded and cut it before: there the first
two stages are left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["STAGES", "STREAM_STAGES", "LatencyHistogram"]

STREAM_STAGES = ("decode", "crop", "wait", "preprocess", "infer", "postprocess", "publish", "total", "overhead")
STAGES = (*STREAM_STAGES, "draw", "browser")

_SUB_BITS = 6  # buckets of one power of two: 64, so a value is known to within 1.6 %
_SUB = 1 << _SUB_BITS
_MIN_SHIFT = 10  # the finest bucket is about a microsecond wide
_MAX_BITS = 40  # 1100 s; longer ones count as that
_BUCKETS = (_MAX_BITS - _MIN_SHIFT - _SUB_BITS + 1) * _SUB


class LatencyHistogram:
    """Counts of durations in buckets whose width grows with the value, as in HdrHistogram (hdrhistogram.org).

    Attributes
    ----------
    count : how many were recorded
    max_ns : the longest, exactly
    """

    __slots__ = ("_counts", "count", "max_ns")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _BUCKETS))
        self.count = 0
        self.max_ns = 0

    def record(self, duration_ns: int) -> None:
        """Count one. A negative one counts as 0: two clocks of one machine may differ by a little."""
        value = duration_ns >> _MIN_SHIFT if duration_ns > 0 else 0
        shift = value.bit_length() - _SUB_BITS - 1
        index = value if shift <= 0 else (shift << _SUB_BITS) + (value >> shift)
        self._counts[index if index < _BUCKETS else _BUCKETS - 1] += 1
        self.count += 1
        if duration_ns > self.max_ns:
            self.max_ns = duration_ns

    def percentiles_ms(self, percents: Sequence[float]) -> list[float]:
        """Percentiles (nearest rank), in ms, each the middle of its bucket and never above the longest.

        Parameters
        ----------
        percents : 0 to 100 each

        Raises
        ------
        ValueError
            If nothing was recorded.
        """
        if self.count == 0:
            raise ValueError("a histogram without values has no percentiles")
        running = np.cumsum(np.frombuffer(self._counts, np.uint64))
        ranks = np.maximum(1, np.ceil(np.asarray(percents, np.float64) / 100.0 * self.count)).astype(np.uint64)
        return [min(_middle_ns(int(index)), self.max_ns) / 1e6 for index in np.searchsorted(running, ranks)]

    def summary(self) -> dict[str, Any] | None:
        """``count``, ``p50_ms``, ``p95_ms``, ``p99_ms`` and ``max_ms``; None where nothing was recorded."""
        if self.count == 0:
            return None
        p50, p95, p99 = (round(value, 3) for value in self.percentiles_ms((50.0, 95.0, 99.0)))
        return {
            "count": self.count,
            "p50_ms": p50,
            "p95_ms": p95,
            "p99_ms": p99,
            "max_ms": round(self.max_ns / 1e6, 3),
        }


def _middle_ns(index: int) -> int:
    shift = max(0, (index >> _SUB_BITS) - 1)
    low = index if index < 2 * _SUB else (index - (shift << _SUB_BITS)) << shift
    return ((2 * low + (1 << shift)) << _MIN_SHIFT) >> 1
