"""The nodules of the sweep so far, and of each the best plane that a page was shown.

A plane is as good as in the report (``docs/report.md``): the product of size, sharpness and certainty. It differs in
what is not known while a sweep runs: the size factor looks at the half second before a frame and not also at the one
after it, and only frames that were shown on a page have pixels here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.bus import Plane, Side
from usassist.records import Result, ResultState
from usassist.sinks.panel.sweep.thumbnail import draw_nodule
from usassist.sinks.panel.sweep.track import Seen, Track
from usassist.sinks.plane_quality import outline_sharpness

__all__ = ["MAX_TRACKS", "PLANES", "BestPlane", "SweepNodules"]

PLANES = (Plane.TRANSVERSE, Plane.LONGITUDINAL, None)
"""Planes of which the best is kept; None = of the frames on which no plane is marked."""

MAX_TRACKS = 128
_WORTH = 0.9  # a frame is looked at closely where size times certainty reaches this share of the greatest so far
_BETTER = 1.03  # a picture is made again where a frame is so much better
_PAUSE_NS = 100_000_000  # between two close looks at one nodule

_BOX_COLOR_RGB = (255, 196, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class BestPlane:
    """The frame on which a nodule was shown best so far.

    Attributes
    ----------
    frame_id, t_s : of the frame
    plane, side : as marked there; None = not marked
    seen : the nodule on it
    jpeg : picture of it with its outline
    """

    frame_id: int
    t_s: float
    plane: Plane | None
    side: Side | None
    seen: Seen
    jpeg: bytes


@dataclass(slots=True, kw_only=True)
class _Candidate:
    best: BestPlane | None = None
    rank: int = -1
    total: float = 0.0
    greatest: float = 0.0
    looked_ns: int = -_PAUSE_NS


class SweepNodules:
    """Collects the findings of one session. Not thread-safe.

    Attributes
    ----------
    tracks : track id → what is known of it
    left_out : tracks that were forgotten, because there were more than :data:`MAX_TRACKS`
    untracked_frames : frames with findings that have no identity
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything, for a new session."""
        self.tracks: dict[int, Track] = {}
        self.left_out = self.untracked_frames = 0
        self._candidates: dict[tuple[int, Plane | None], _Candidate] = {}

    def best(self, track_id: int, plane: Plane | None) -> BestPlane | None:
        """The best plane of a nodule; None where there is no picture of it."""
        candidate = self._candidates.get((track_id, plane))
        return None if candidate is None else candidate.best

    def add(self, result: Result, t_s: float) -> None:
        """Take one result, of whatever state."""
        if result.state is not ResultState.FINDING:
            return
        untracked = False
        for row, track_id in enumerate(result.detections.track_id.tolist()):
            if track_id < 0:
                untracked = True
                continue
            track = self.tracks.get(track_id)
            if track is None:
                if len(self.tracks) >= MAX_TRACKS:
                    self._forget_one()
                track = self.tracks[track_id] = Track(track_id)
            track.label_id = int(result.detections.label_id[row])
            track.add(_seen(result, row), t_s)
        self.untracked_frames += untracked

    def look(
        self,
        image: npt.NDArray[np.uint8],
        result: Result,
        t_s: float,
        at: tuple[Plane | None, Side | None],
        colors_rgb: Mapping[int, tuple[int, int, int]],
    ) -> None:
        """Take the pixels of a frame that is shown with its findings, after :meth:`add`.

        Parameters
        ----------
        image : of that frame, text covered
        result : its own, in state ``finding``
        t_s : its time from the first frame of the session
        at : plane and side that are marked for it
        colors_rgb : colour of each label by id
        """
        for row, contour in enumerate(result.segmentation):
            track_id = int(result.detections.track_id[row])
            track = self.tracks.get(track_id)
            if track is None:
                continue
            candidate = self._candidates.setdefault((track_id, at[0]), _Candidate())
            seen = _seen(result, row)
            usual = track.near_length or seen.length
            worth = usual * min(seen.length / usual, usual / max(seen.length, 1e-6)) * seen.score
            if not self._is_worth_a_look(candidate, seen, worth):
                continue
            candidate.looked_ns = seen.t_ns
            total = worth * outline_sharpness(image, contour)
            if seen.rank == candidate.rank and candidate.best is not None and total < _BETTER * candidate.total:
                continue
            candidate.rank, candidate.total = seen.rank, total
            color = colors_rgb.get(int(result.detections.label_id[row]), _BOX_COLOR_RGB)
            candidate.best = BestPlane(
                frame_id=seen.frame_id,
                t_s=round(t_s, 3),
                plane=at[0],
                side=at[1],
                seen=seen,
                jpeg=draw_nodule(image, contour, result.detections.xyxy_px[row], color),
            )

    @staticmethod
    def _is_worth_a_look(candidate: _Candidate, seen: Seen, worth: float) -> bool:
        if seen.rank < candidate.rank:
            return False
        if seen.rank > candidate.rank:
            candidate.greatest = worth
            return True
        candidate.greatest = max(candidate.greatest, worth)
        return worth >= _WORTH * candidate.greatest and seen.t_ns - candidate.looked_ns >= _PAUSE_NS

    def _forget_one(self) -> None:
        """The one that was seen on the fewest frames, of the half that was seen longest ago."""
        oldest = sorted(self.tracks.values(), key=lambda track: track.last_s)[: MAX_TRACKS // 2]
        least = min(oldest, key=lambda track: track.frames)
        del self.tracks[least.track_id]
        for plane in PLANES:
            self._candidates.pop((least.track_id, plane), None)
        self.left_out += 1


def _seen(result: Result, row: int) -> Seen:
    sizes = result.measurements
    scaled = sizes.major_mm is not None and sizes.major_u95_mm is not None and sizes.area_mm2 is not None
    return Seen(
        frame_id=result.frame_id,
        t_ns=result.t_capture_ns,
        score=float(result.detections.score[row]),
        major_px=float(sizes.major_px[row]),
        major_mm=float(sizes.major_mm[row]) if scaled else None,  # type: ignore[index]
        major_u95_mm=float(sizes.major_u95_mm[row]) if scaled else None,  # type: ignore[index]
        area_px2=float(sizes.area_px2[row]),
        area_mm2=float(sizes.area_mm2[row]) if scaled else None,  # type: ignore[index]
        cut=sizes.is_cut(row),
    )
