"""Counts of what is shown over the frames of a clip, for ``tools.fit_association``."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.records import Detections

__all__ = ["NAMES", "ClipFrame", "Counts", "count_clip", "figures_of"]

_MATCH_IOU = 0.3  # of a detection with the nodule, as in ``usassist eval``
_SAME_IOU = 0.1  # of two boxes on neighbouring frames, which are taken for the same thing
_MIN_NODULE_PX = 50

NAMES = {
    "dice": "Dice",
    "found": "nodules found",
    "false_positives": "false positives a frame",
    "flashes": "false positives of a single frame",
    "events": "outlines that come or go, a frame",
    "changes": "found on one of two neighbours",
}
"""Figure → in words."""

Chooser = Callable[["ClipFrame"], npt.NDArray[np.intp]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClipFrame:
    """One frame of a clip.

    Attributes
    ----------
    candidates : with calibrated scores
    area_px, shared_px : int (N,), pixels of each region, and of its overlap with the nodule
    truth_px : pixels of the nodule
    abstained : the engine abstained; there are no candidates then
    goes_on : the image is like that of the frame before
    """

    candidates: Detections
    area_px: npt.NDArray[np.int64]
    shared_px: npt.NDArray[np.int64]
    truth_px: int
    abstained: bool = False
    goes_on: bool = True


@dataclass(slots=True, kw_only=True)
class Counts:
    """Sums over the frames of one clip, from which the figures of any set of clips follow."""

    frames: int = 0
    marked: int = 0
    dice: float = 0.0
    nodules: int = 0
    found: int = 0
    false_positives: int = 0
    flashes: int = 0
    events: int = 0
    pairs: int = 0
    changes: int = 0


def count_clip(frames: Sequence[ClipFrame], choose: Chooser) -> Counts:
    """Count what is shown of one clip.

    Parameters
    ----------
    frames : in order
    choose : rows of the candidates of a frame that are shown, called once per frame in order
    """
    counts = Counts(frames=len(frames))
    shown_boxes: list[npt.NDArray[np.float32]] = []
    false: list[npt.NDArray[np.bool_]] = []
    hits: list[bool | None] = []
    for frame in frames:
        rows = choose(frame)
        area, shared = frame.area_px[rows], frame.shared_px[rows]
        match = shared / np.maximum(area + frame.truth_px - shared, 1) >= _MATCH_IOU
        has_nodule = frame.truth_px >= _MIN_NODULE_PX
        if frame.truth_px:
            counts.marked += 1
            counts.dice += 2.0 * float(shared.sum()) / float(area.sum() + frame.truth_px)
        hits.append(bool(match.any()) if has_nodule else None)
        counts.nodules += has_nodule
        counts.found += bool(hits[-1])
        false.append(~match)
        shown_boxes.append(frame.candidates.xyxy_px[rows])
        counts.false_positives += int((~match).sum())
    for index, boxes in enumerate(shown_boxes):
        before = _same(boxes, shown_boxes[index - 1] if index else boxes[:0])
        after = _same(boxes, shown_boxes[index + 1] if index + 1 < len(frames) else boxes[:0])
        counts.flashes += int((false[index] & ~before & ~after).sum())
        counts.events += int((~before).sum()) * (index > 0) + int((~after).sum()) * (index + 1 < len(frames))
    for first, second in itertools.pairwise(hits):
        if first is not None and second is not None:
            counts.pairs += 1
            counts.changes += first != second
    return counts


def _same(boxes: npt.NDArray[np.float32], others: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which boxes (N, 4) have one of the others (M, 4) in the same place: bool (N,)."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    areas = [(part[:, 2:] - part[:, :2]).prod(axis=1) for part in (boxes, others)]
    return np.asarray((shared >= _SAME_IOU * (areas[0][:, None] + areas[1][None] - shared)).any(axis=1), np.bool_)


def figures_of(counts: Sequence[Counts], weights: npt.NDArray[np.float64]) -> dict[str, npt.NDArray[np.float64]]:
    """The figures by name, one for each row of weights (R, clips)."""
    sums = {
        field.name: weights @ [getattr(item, field.name) for item in counts] for field in dataclasses.fields(Counts)
    }
    by = {"dice": "marked", "found": "nodules", "changes": "pairs"}
    return {name: sums[name] / np.maximum(sums[by.get(name, "frames")], 1.0) for name in NAMES}
