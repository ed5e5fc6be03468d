"""What is known of one nodule over the sweep so far, from the results alone.

The largest diameter is robust: of the frames of each half second (``plane_quality.NEAR_S``) the one with the median
longest diameter stands for all of them, and the largest of these is kept, with its own frame and its own interval. Of
the frames, those on which the nodule is whole count before those on which the border of the scan cuts it, and of these
those with a scale before those without, as in the report.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import msgspec

from usassist.sinks.plane_quality import NEAR_S

__all__ = ["Area", "Largest", "Seen", "Track"]

_NEAR_NS = int(NEAR_S * 1e9)
_MOST_NEAR = 64  # frames of half a second that are looked at
_LEAST_NEAR = 3  # fewer do not make a median
_MOST_AREAS = 512  # points of one nodule; when there are more, every second one is left out


class Largest(msgspec.Struct, frozen=True, kw_only=True):
    """A longest diameter of a nodule on one frame; mm with the half-width of the 95 % interval, or px.

    ``cut``: the border of the scan cuts the nodule, so that it is a lower bound without an interval.
    """

    frame_id: int
    px: float
    mm: float | None
    u95_mm: float | None
    cut: bool


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """Area of a nodule on one frame; of one that is cut it is a lower bound."""

    frame_id: int
    t_s: float
    px2: float
    mm2: float | None
    cut: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A nodule on one answered frame.

    Attributes
    ----------
    frame_id, t_ns : of the frame
    score : as shown
    major_px, major_mm, major_u95_mm : longest diameter; mm only with a scale
    area_px2, area_mm2 : likewise
    cut : the border of the scan cuts it
    """

    frame_id: int
    t_ns: int
    score: float
    major_px: float
    major_mm: float | None
    major_u95_mm: float | None
    area_px2: float
    area_mm2: float | None
    cut: bool

    @property
    def rank(self) -> int:
        """Kind of its size: a whole nodule counts before one that is cut, and then mm before px."""
        return 2 * (not self.cut) + (self.major_mm is not None)

    @property
    def length(self) -> float:
        """Longest diameter, mm where it is known, else px; comparable among frames of one rank."""
        return self.major_px if self.major_mm is None else self.major_mm


class Track:
    """One nodule.

    Attributes
    ----------
    track_id, label_id : of the detections; the label is that of the last frame
    frames, frames_cut : on which it was seen, and was cut by the border of the scan
    first_frame_id, last_frame_id, first_s, last_s : from where to where, s from the first frame of the session
    score_min, score_max : of all frames
    largest : None until it was seen on three frames within half a second
    near_length : median of the longest diameters within the last half second, of the rank of the last frame
    areas : over the sweep, thinned
    """

    __slots__ = (
        "_near",
        "_score_sum",
        "_stride",
        "areas",
        "first_frame_id",
        "first_s",
        "frames",
        "frames_cut",
        "label_id",
        "largest",
        "last_frame_id",
        "last_s",
        "near_length",
        "rank",
        "score_max",
        "score_min",
        "track_id",
    )

    def __init__(self, track_id: int) -> None:
        self.track_id, self.label_id = track_id, 0
        self.frames = self.frames_cut = 0
        self.first_frame_id = self.last_frame_id = -1
        self.first_s = self.last_s = 0.0
        self.score_min, self.score_max, self._score_sum = 1.0, 0.0, 0.0
        self.largest: Largest | None = None
        self.rank = -1
        self.near_length = 0.0
        self.areas: list[Area] = []
        self._near: deque[Seen] = deque(maxlen=_MOST_NEAR)
        self._stride = 1

    @property
    def score_mean(self) -> float:
        """Mean score over the frames."""
        return self._score_sum / max(self.frames, 1)

    def add(self, seen: Seen, t_s: float) -> None:
        """Take one frame.

        Parameters
        ----------
        seen : the nodule on it
        t_s : its time from the first frame of the session
        """
        if not self.frames:
            self.first_frame_id, self.first_s = seen.frame_id, t_s
        self.last_frame_id, self.last_s = seen.frame_id, t_s
        self.score_min, self.score_max = min(self.score_min, seen.score), max(self.score_max, seen.score)
        self._score_sum += seen.score
        self.frames_cut += seen.cut
        self._add_size(seen)
        if self.frames % self._stride == 0:
            area = Area(frame_id=seen.frame_id, t_s=round(t_s, 3), px2=seen.area_px2, mm2=seen.area_mm2, cut=seen.cut)
            self.areas.append(area)
            if len(self.areas) > _MOST_AREAS:
                del self.areas[1::2]
                self._stride *= 2
        self.frames += 1

    def _add_size(self, seen: Seen) -> None:
        near, rank = self._near, seen.rank
        near.append(seen)
        while seen.t_ns - near[0].t_ns > _NEAR_NS:
            near.popleft()
        alike = sorted((item for item in near if item.rank == rank), key=_length)
        median = alike[(len(alike) - 1) // 2]
        self.near_length = median.length
        if rank < self.rank or len(alike) < _LEAST_NEAR:
            return
        before = self.largest
        if rank > self.rank or before is None or median.length > (before.px if before.mm is None else before.mm):
            self.rank = rank
            self.largest = Largest(
                frame_id=median.frame_id,
                px=median.major_px,
                mm=median.major_mm,
                u95_mm=None if median.cut else median.major_u95_mm,
                cut=median.cut,
            )


def _length(seen: Seen) -> float:
    return seen.length
