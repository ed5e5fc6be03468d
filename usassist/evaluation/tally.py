"""The tally of a frame: the few numbers from which every figure at every threshold is computed, without pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from usassist.evaluation.metrics import box_overlaps, label_overlaps, longest_diameter_px, match_overlaps, regions
from usassist.evaluation.run import FrameOutcome

__all__ = ["MIN_IOU", "MIN_TRUTH_PX", "FrameScore", "FrameTally", "is_dual_view", "score_frame", "tally"]

Array = npt.NDArray[Any]

MIN_TRUTH_PX = 50
"""A marked region with fewer pixels is a drawing error, not a nodule."""
MIN_IOU = 0.3
"""Minimum overlap of a detection that matches a nodule."""

_SEAM_BAND = (0.35, 0.65)  # range of the seam of a dual view, share of the width
_SEAM_RATIO = 2.0  # minimum change at the seam, relative to that of the columns around it
_AROUND_PX, _SEAM_PX = 60, 5  # half-widths of the columns around the seam, and of the seam itself
_MIN_DUAL_WIDTH_PX = 64


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameTally:
    """One frame with N detections and T nodules.

    Where the truth are boxes, each box is a nodule, pixels are those in boxes, a diameter is the longer side of a box,
    and overlaps are of boxes.

    Attributes
    ----------
    name, case, converted : of the frame
    truth_px : marked pixels
    nodule_px : int64 (T,), pixels of each nodule: a connected region of 50 px or more, or where the frame tells nodules
        apart, all of one nodule
    nodule_diameter_px : float64 (T,), longest diameter
    score : float64 (N,), descending
    found_px, shared_px : int64 (N,), pixels of each detection, and how many of them are marked
    diameter_px : float64 (N,), longest diameter
    overlap : float64 (N, T), IoU of every detection with every nodule
    scan_xyxy_px, cropped : the scan area; False when none was found
    is_dual : whether it is a dual view
    elapsed_ms : of preprocess, engine and decode
    is_boxed : whether the truth are boxes
    abstained : the engine abstained; there are no detections then, and every nodule is missed
    identity : int64 (T,), which nodule of the clip each is; None = not known
    """

    name: str
    case: str
    converted: str
    truth_px: int
    nodule_px: Array
    nodule_diameter_px: Array
    score: Array
    found_px: Array
    shared_px: Array
    diameter_px: Array
    overlap: Array
    scan_xyxy_px: tuple[int, int, int, int]
    cropped: bool
    is_dual: bool
    elapsed_ms: float
    is_boxed: bool = False
    abstained: bool = False
    identity: Array | None = None

    @property
    def scan_px(self) -> int:
        """Pixels of the scan area."""
        x1, y1, x2, y2 = self.scan_xyxy_px
        return (x2 - x1) * (y2 - y1)

    @property
    def best_score(self) -> float:
        """Score of the best detection; NaN without detections."""
        return float(self.score[0]) if len(self.score) else float("nan")

    def kept(self, threshold: float) -> int:
        """Number of detections with at least this score."""
        return int((self.score >= threshold).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScore:
    """One frame at one threshold.

    Attributes
    ----------
    case : of the frame
    dice, iou : of all detections against all nodules; NaN when nothing is marked, or boxes are the truth
    hits : for every nodule, whether a detection matches it
    diameter_rel_error : for every nodule found, error of the longest diameter relative to the true one
    false_positives : detections that match no nodule
    kept : detections at or above the threshold
    """

    case: str
    dice: float
    iou: float
    hits: tuple[bool, ...]
    diameter_rel_error: tuple[float, ...]
    false_positives: int
    kept: int


def tally(outcome: FrameOutcome) -> FrameTally:
    """Reduce one frame to its tally."""
    frame, count = outcome.frame, len(outcome.score)
    found_px = np.bincount(outcome.labelmap.ravel(), minlength=count + 1)[1:]
    nodules = _masks(outcome) if frame.boxes_xyxy_px is None else _boxes(outcome, frame.boxes_xyxy_px)
    return FrameTally(
        name=frame.name,
        case=frame.case,
        converted=frame.converted,
        truth_px=int(frame.truth.sum()),
        nodule_px=nodules.px,
        nodule_diameter_px=nodules.diameter_px,
        score=outcome.score,
        found_px=found_px,
        shared_px=np.bincount(outcome.labelmap[frame.truth], minlength=count + 1)[1:],
        diameter_px=nodules.found_diameter_px,
        overlap=nodules.overlap,
        scan_xyxy_px=outcome.scan_xyxy_px,
        cropped=outcome.cropped,
        is_dual=is_dual_view(outcome.scan),
        elapsed_ms=outcome.elapsed_ms,
        is_boxed=frame.boxes_xyxy_px is not None,
        abstained=outcome.abstained,
        identity=nodules.identity,
    )


class _Nodules(NamedTuple):
    """The nodules of a frame (T,), against its detections (N,)."""

    px: Array
    diameter_px: Array
    found_diameter_px: Array
    overlap: Array
    identity: Array | None = None


def _masks(outcome: FrameOutcome) -> _Nodules:
    frame, identity = outcome.frame, None
    if frame.identity is None:
        nodules = regions(frame.truth, MIN_TRUTH_PX)
    else:
        px = np.bincount(frame.identity.ravel())
        px[0] = 0
        identity = np.flatnonzero(px >= MIN_TRUTH_PX)
        nodules = [frame.identity == value for value in identity]
    numbers = np.zeros(frame.truth.shape, np.uint8)
    for number, region in enumerate(nodules, 1):
        numbers[region] = number
    return _Nodules(
        px=np.array([int(region.sum()) for region in nodules], np.int64),
        diameter_px=np.array([longest_diameter_px(region) for region in nodules], np.float64),
        found_diameter_px=outcome.diameter_px,
        overlap=label_overlaps(outcome.labelmap, len(outcome.score), numbers, len(nodules)),
        identity=identity,
    )


def _boxes(outcome: FrameOutcome, boxes_xyxy_px: Array) -> _Nodules:
    size_px, found_size_px = (boxes[:, 2:] - boxes[:, :2] for boxes in (boxes_xyxy_px, outcome.box_xyxy_px))
    return _Nodules(
        px=np.rint(size_px.prod(axis=1)).astype(np.int64),
        diameter_px=size_px.max(axis=1),
        found_diameter_px=found_size_px.max(axis=1),
        overlap=box_overlaps(outcome.box_xyxy_px, boxes_xyxy_px),
    )


def score_frame(frame: FrameTally, threshold: float, min_iou: float = MIN_IOU) -> FrameScore:
    """Score one frame, ignoring detections below the threshold.

    Detections and nodules are matched one to one, the best overlap first, with an IoU of `min_iou` or more.
    """
    kept = frame.kept(threshold)
    pairs = match_overlaps(frame.overlap[:kept], min_iou)
    found_px, shared_px = int(frame.found_px[:kept].sum()), int(frame.shared_px[:kept].sum())
    total_px = found_px + frame.truth_px
    matched = {nodule for _, nodule in pairs}
    has_mask = frame.truth_px > 0 and not frame.is_boxed
    return FrameScore(
        case=frame.case,
        dice=2 * shared_px / total_px if has_mask else float("nan"),
        iou=shared_px / (total_px - shared_px) if has_mask else float("nan"),
        hits=tuple(index in matched for index in range(len(frame.nodule_px))),
        diameter_rel_error=tuple(
            float(frame.diameter_px[found] / frame.nodule_diameter_px[nodule] - 1.0) for found, nodule in pairs
        ),
        false_positives=kept - len(pairs),
        kept=kept,
    )


def is_dual_view(scan: npt.NDArray[np.uint8]) -> bool:
    """True when the scan area is a dual view: two images side by side that meet near the middle.

    Neighbouring columns of ultrasound are similar, because the beam is wider than a pixel. At the seam of two images,
    with a dark gap between them or edge to edge, the columns on either side are unrelated at all depths. So the mean
    absolute change from each column to the next is computed, and the largest in the middle 30 % of the width is
    compared with the 95th percentile of those up to 60 columns away: at twice that or more it is a seam. The percentile
    instead of the median prevents edges of compression blocks from being taken for a seam.

    On the 65 DDTI frames of ``val``, inspected one by one, the ratio is 2.3 to 6.6 for the 31 with a seam and 1.0 to
    1.3 for the others; on frames of TG3K, lung clips and the phantom, none of which is dual, it is at most 1.8.

    Parameters
    ----------
    scan : uint8 (H, W), grey, cropped to the scan area
    """
    if scan.shape[1] < _MIN_DUAL_WIDTH_PX:
        return False
    change = np.abs(np.diff(scan.astype(np.float32), axis=1)).mean(axis=0)
    first, last = (round(share * len(change)) for share in _SEAM_BAND)
    seam = first + int(np.argmax(change[first:last]))
    offset = np.abs(np.arange(len(change)) - seam)
    around = change[(offset > _SEAM_PX) & (offset <= _AROUND_PX)]
    return bool(change[seam] > _SEAM_RATIO * np.percentile(around, 95))
