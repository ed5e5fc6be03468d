"""How fast this machine is now: the time of a fixed workload that resembles that of the stream.

Limits in ``bench/contract.toml`` are ratios to its median, so that one file holds for machines of different speed. The
workload must never change: a change needs another :data:`VERSION`, and all limits are derived anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["VERSION", "Calibration", "calibrate", "calibration_work"]

VERSION = 1

_HEIGHT, _WIDTH = 720, 1280
_MIN_ROUNDS = 40
_WARM_UP_ROUNDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Times of the workload.

    Attributes
    ----------
    times_ms : of every round
    """

    times_ms: tuple[float, ...]

    @property
    def median_ms(self) -> float:
        """The unit of the contract's ratios."""
        return float(np.median(self.times_ms))

    def __add__(self, other: Calibration) -> Calibration:
        """Both calibrations together: before and after a run."""
        return Calibration(times_ms=self.times_ms + other.times_ms)

    def as_dict(self) -> dict[str, Any]:
        """For a report."""
        low, high = np.percentile(self.times_ms, [5, 95])
        return {
            "version": VERSION,
            "rounds": len(self.times_ms),
            "median_ms": round(self.median_ms, 4),
            "p5_ms": round(float(low), 4),
            "p95_ms": round(float(high), 4),
        }


def calibration_work() -> Callable[[], int]:
    """The work of one round, on an image that is made once; gives a checksum of all of it."""
    rows, columns = np.mgrid[0:_HEIGHT, 0:_WIDTH].astype(np.uint32)
    mixed = (rows * 2654435761 + columns * 40503) ^ (rows * columns)
    image = np.repeat(((mixed >> 7) & 255).astype(np.uint8)[..., None], 3, axis=2)
    scratch: npt.NDArray[np.uint8] = np.empty_like(image)

    def work() -> int:
        np.copyto(scratch, image)
        part = np.ascontiguousarray(scratch[40:680, 320:960])
        grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (256, 256), interpolation=cv2.INTER_AREA)
        soft = cv2.GaussianBlur(grey, (0, 0), 2.0)
        tensor = small.astype(np.float32) * np.float32(1.0 / 255.0)
        change = cv2.absdiff(grey, soft)
        total = int(change.sum(dtype=np.int64)) + int(float(tensor.sum()))
        words: dict[str, int] = {}
        for index in range(2500):
            words[f"{index % 97}"] = words.get(f"{index % 97}", 0) + index * total % 7
        return total + sum(words.values())

    return work


def calibrate(seconds: float = 3.0, *, clock: Callable[[], float] = time.perf_counter) -> Calibration:
    """Time the work for so many seconds, one thread, 40 rounds at least."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        work, times_ms = calibration_work(), list[float]()
        for _ in range(_WARM_UP_ROUNDS):
            work()
        end_s = clock() + seconds
        while len(times_ms) < _MIN_ROUNDS or clock() < end_s:
            begin_s = clock()
            work()
            times_ms.append(1e3 * (clock() - begin_s))
    finally:
        cv2.setNumThreads(threads)
    return Calibration(times_ms=tuple(times_ms))
