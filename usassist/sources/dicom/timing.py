"""When the frames of a DICOM cine are due.

Four tags speak of it. The times at which the frames were acquired win over the rates at which somebody wishes them to
be shown, for a replay has to move as the anatomy did: FrameTimeVector (one interval a frame) before FrameTime (one
interval for all), unless FrameIncrementPointer says that FrameTime is the one; then CineRate; then
RecommendedDisplayFrameRate; then 25 Hz. A tag that cannot be true (not a number, not positive, another number of
entries than frames) is passed over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

__all__ = ["FrameTiming", "number_of", "read_timing"]

_DEFAULT_RATE_HZ = 25.0
_SLOWEST_MS, _FASTEST_MS = 10_000.0, 0.1  # an interval outside is a fault of the tag, not of the scanner
_FRAME_TIME, _FRAME_TIME_VECTOR = 0x00181063, 0x00181065


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTiming:
    """When each frame is due.

    Attributes
    ----------
    tag : keyword of the tag that decides, or None where none does
    period_ms : nominal time between two frames, ms
    due_ms : when each frame is due, ms since the first; None = evenly, one period after the other
    """

    tag: str | None
    period_ms: float
    due_ms: tuple[float, ...] | None = None

    @property
    def rate_hz(self) -> float | None:
        """Frames a second; None where no tag says it."""
        return None if self.tag is None else 1000.0 / self.period_ms

    def due_ns(self, index: int) -> int:
        """When the frame of this number is due, ns since the first."""
        due_ms = index * self.period_ms if self.due_ms is None else self.due_ms[index]
        return round(due_ms * 1_000_000)


def read_timing(dataset: Dataset, frame_count: int) -> FrameTiming:
    """Which tag decides, and what it says.

    Parameters
    ----------
    dataset : header of the file
    frame_count : how many frames the header claims
    """
    vector_ms = _vector_ms(dataset, frame_count)
    frame_time_ms = _plausible_ms(number_of(dataset, "FrameTime"))
    pointed = _pointers(dataset)
    use_vector = vector_ms is not None and not (
        frame_time_ms is not None and _FRAME_TIME in pointed and _FRAME_TIME_VECTOR not in pointed
    )
    if use_vector and vector_ms is not None:
        return FrameTiming(tag="FrameTimeVector", period_ms=vector_ms[-1] / (frame_count - 1), due_ms=vector_ms)
    if frame_time_ms is not None:
        return FrameTiming(tag="FrameTime", period_ms=frame_time_ms)
    for tag in ("CineRate", "RecommendedDisplayFrameRate"):
        rate_hz = number_of(dataset, tag)
        period_ms = _plausible_ms(1000.0 / rate_hz if rate_hz else None)
        if period_ms is not None:
            return FrameTiming(tag=tag, period_ms=period_ms)
    return FrameTiming(tag=None, period_ms=1000.0 / _DEFAULT_RATE_HZ)


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """The first value of an element as a finite number; None where it is missing or no number."""
    values = _numbers(dataset, keyword)
    return values[0] if values else None


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    """The values of an element as finite numbers; empty where one of them is none."""
    try:
        value = dataset.get(keyword)
        if value is None or isinstance(value, Sequence):
            return []
        numbers = [float(item) for item in (value if isinstance(value, MultiValue | list | tuple) else [value])]
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _pointers(dataset: Dataset) -> list[int]:
    """The tags that FrameIncrementPointer names."""
    return [int(number) for number in _numbers(dataset, "FrameIncrementPointer")]


def _vector_ms(dataset: Dataset, frame_count: int) -> tuple[float, ...] | None:
    """Due times from the intervals, of which the first, before the first frame, does not count."""
    steps = _numbers(dataset, "FrameTimeVector")
    if frame_count < 2 or len(steps) != frame_count or any(_plausible_ms(step) is None for step in steps[1:]):
        return None
    due_ms = [0.0]
    for step in steps[1:]:
        due_ms.append(due_ms[-1] + step)
    return tuple(due_ms)


def _plausible_ms(interval_ms: float | None) -> float | None:
    return interval_ms if interval_ms is not None and _FASTEST_MS <= interval_ms <= _SLOWEST_MS else None
