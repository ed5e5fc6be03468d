"""The latency stages of a stream, and a fixed-size histogram that counts them.

A frame passes these stages in order; each is the time between two timestamps of that frame, so that the stages of a
frame with a result add up to its ``total``.

=============== =================================================== ====================================================
stage           from                                                to
=============== =================================================== ====================================================
``decode``      capture: the driver or the network delivered data   the pixels are ready
``crop``        pixels ready                                        the scan area is checked and cropped to a frame
``wait``        frame ready                                         the loop has taken it out of the slot
``preprocess``  taken                                               the engine call begins
``infer``       engine call begins                                  the engine call ends
``postprocess`` engine call ends                                    the result is complete: outlines, sizes, descriptors
``publish``     result complete                                     the result is sent
``total``       capture                                             the result is sent
``overhead``    ``total`` without ``infer``
``draw``        result and frame received                           the overlay is drawn (in sinks)
``browser``     capture                                             a browser has drawn the frame and reported it
=============== =================================================== ====================================================

A source that plays a file stamps the capture when the frame is due, having decoded and cropped it before: there the
first two stages are left out.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["STAGES", "STREAM_STAGES", "LatencyHistogram"]

STREAM_STAGES = ("decode", "crop", "wait", "preprocess", "infer", "postprocess", "publish", "total", "overhead")
STAGES = (*STREAM_STAGES, "draw", "browser")

_SUB_BITS = 6  # 64 buckets per power of two, so a value is known to within 1.6 %
_SUB = 1 << _SUB_BITS
_MIN_SHIFT = 10  # the finest bucket is about a microsecond wide
_MAX_BITS = 40  # 1100 s; longer durations are counted in the last bucket
_BUCKETS = (_MAX_BITS - _MIN_SHIFT - _SUB_BITS + 1) * _SUB


class LatencyHistogram:
    """Counts durations in buckets whose width grows with the value, as HdrHistogram does (hdrhistogram.org).

    Attributes
    ----------
    count : durations recorded
    max_ns : the longest, exact
    """

    __slots__ = ("_counts", "count", "max_ns")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _BUCKETS))
        self.count = 0
        self.max_ns = 0

    def record(self, duration_ns: int) -> None:
        """Count one duration. A negative one counts as 0: two clocks of one machine may differ a little."""
        value = duration_ns >> _MIN_SHIFT if duration_ns > 0 else 0
        shift = value.bit_length() - _SUB_BITS - 1
        index = value if shift <= 0 else (shift << _SUB_BITS) + (value >> shift)
        self._counts[index if index < _BUCKETS else _BUCKETS - 1] += 1
        self.count += 1
        if duration_ns > self.max_ns:
            self.max_ns = duration_ns

    def percentiles_ms(self, percents: Sequence[float]) -> list[float]:
        """Percentiles (nearest rank) in ms: the middle of the bucket, limited to the longest duration.

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
