"""When the frames of a DICOM cine are due.

Four tags state it. Acquisition times take precedence over recommended display rates, because a replay has to move as
the anatomy did: FrameTimeVector (one interval per frame) before FrameTime (one interval for all), unless
FrameIncrementPointer points to FrameTime; then CineRate; then RecommendedDisplayFrameRate; then 25 Hz. A tag that
cannot be true (not a number, not positive, another number of entries than frames) is ignored. Ignored tags are
reported, and so are tags that contradict the one that is used.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeGuard

from pydicom import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

__all__ = ["FrameTiming", "StatedTiming", "number_of", "read_timing"]

_DEFAULT_RATE_HZ = 25.0
_MAX_INTERVAL_MS, _MIN_INTERVAL_MS = 10_000.0, 0.1  # an interval outside is an error in the tag
_FRAME_TIME, _FRAME_TIME_VECTOR = 0x00181063, 0x00181065
_AGREE = 0.1  # rates that differ by more contradict each other
_RATES = ("CineRate", "RecommendedDisplayFrameRate")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameTiming:
    """When each frame is due.

    Attributes
    ----------
    tag : keyword of the tag that is used, or None
    period_ms : nominal time between two frames, ms
    due_ms : when each frame is due, ms since the first; None = one period apart
    faults : tags that were ignored or contradict it, one clause each
    """

    tag: str | None
    period_ms: float
    due_ms: tuple[float, ...] | None = None
    faults: tuple[str, ...] = ()

    @property
    def rate_hz(self) -> float | None:
        """Frames per second; None where no tag states it."""
        return None if self.tag is None else 1000.0 / self.period_ms

    def due_ns(self, index: int) -> int:
        """When the frame of this number is due, ns since the first."""
        due_ms = index * self.period_ms if self.due_ms is None else self.due_ms[index]
        return round(due_ms * 1_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedTiming:
    """Timing by the header, before the number of frames is known.

    Attributes
    ----------
    steps_ms : FrameTimeVector, ms; empty where it is missing or not numeric
    frame_time_ms : FrameTime, ms; None where it is missing or not numeric
    pointed : the tags that FrameIncrementPointer points to
    rates_hz : CineRate and RecommendedDisplayFrameRate, where they are numeric
    present : keywords of those four tags that the header has
    """

    steps_ms: tuple[float, ...] = ()
    frame_time_ms: float | None = None
    pointed: tuple[int, ...] = ()
    rates_hz: dict[str, float]
    present: frozenset[str] = frozenset()

    def of(self, frame_count: int) -> FrameTiming:
        """The timing of this many frames, by the tag that takes precedence."""
        vector_ms = self._vector_ms(frame_count)
        found: dict[str, float] = {}  # periods, by precedence
        if vector_ms is not None:
            found["FrameTimeVector"] = vector_ms[-1] / (frame_count - 1)
        if _plausible(self.frame_time_ms):
            found["FrameTime"] = self.frame_time_ms
            if _FRAME_TIME in self.pointed and _FRAME_TIME_VECTOR not in self.pointed:
                found = {"FrameTime": self.frame_time_ms, **found}
        for tag, rate_hz in self.rates_hz.items():
            period_ms = 1000.0 / rate_hz if rate_hz else None
            if _plausible(period_ms):
                found[tag] = period_ms
        ignored = sorted(self.present - found.keys())
        faults = [f"{tag} cannot be true for {frame_count} frames and is ignored" for tag in ignored]
        if not found:
            faults.append(f"no tag states when its frames are due, so they are played at {_DEFAULT_RATE_HZ:g} Hz")
            return FrameTiming(tag=None, period_ms=1000.0 / _DEFAULT_RATE_HZ, faults=tuple(faults))
        (tag, period_ms), *others = found.items()
        rates = ", ".join(f"{other} {1000.0 / ms:.4g} Hz" for other, ms in others if abs(ms / period_ms - 1.0) > _AGREE)
        if rates:
            faults.append(f"{tag} states {1000.0 / period_ms:.4g} Hz and is used, although others state {rates}")
        due_ms = vector_ms if tag == "FrameTimeVector" else None
        return FrameTiming(tag=tag, period_ms=period_ms, due_ms=due_ms, faults=tuple(faults))

    def _vector_ms(self, frame_count: int) -> tuple[float, ...] | None:
        """Due times from the intervals; the first interval, before the first frame, is not used."""
        steps = self.steps_ms[1:]
        if frame_count < 2 or len(self.steps_ms) != frame_count or not all(map(_plausible, steps)):
            return None
        return tuple(accumulate(steps, initial=0.0))


def read_timing(dataset: Dataset) -> StatedTiming:
    """Read the timing tags of a header."""
    rates = {tag: number_of(dataset, tag) for tag in _RATES}
    return StatedTiming(
        steps_ms=tuple(_numbers(dataset, "FrameTimeVector")),
        frame_time_ms=number_of(dataset, "FrameTime"),
        pointed=tuple(int(number) for number in _numbers(dataset, "FrameIncrementPointer")),
        rates_hz={tag: rate_hz for tag, rate_hz in rates.items() if rate_hz is not None},
        present=frozenset(tag for tag in ("FrameTimeVector", "FrameTime", *_RATES) if tag in dataset),
    )


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """The first value of an element as a finite number; None where it is missing or not numeric."""
    values = _numbers(dataset, keyword)
    return values[0] if values else None


def _numbers(dataset: Dataset, keyword: str) -> list[float]:
    """The values of an element as finite numbers; empty where one of them is not."""
    try:
        value = dataset.get(keyword)
        if value is None or isinstance(value, Sequence):
            return []
        numbers = [float(item) for item in (value if isinstance(value, MultiValue | list | tuple) else [value])]
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return []
    return numbers if all(map(math.isfinite, numbers)) else []


def _plausible(interval_ms: float | None) -> TypeGuard[float]:
    return interval_ms is not None and _MIN_INTERVAL_MS <= interval_ms <= _MAX_INTERVAL_MS
