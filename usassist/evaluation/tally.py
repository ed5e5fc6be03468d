"""What one frame comes to: few numbers from which every figure at every threshold follows, without the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.evaluation.dual_view import is_dual_view
from usassist.evaluation.metrics import longest_diameter_px, match_overlaps, regions
from usassist.evaluation.run import FrameOutcome

__all__ = ["MIN_IOU", "MIN_TRUTH_PX", "FrameScore", "FrameTally", "judge", "tally"]

Array = npt.NDArray[Any]

MIN_TRUTH_PX = 50
"""A marked region with fewer pixels is a slip of the pen, no nodule."""
MIN_IOU = 0.3
"""A detection meets a nodule from this overlap on."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameTally:
    """One frame with N detections and T nodules.

    Attributes
    ----------
    name, case, converted : of the frame
    truth_px : marked pixels
    nodule_px : int64 (T,), pixels of each nodule: a connected region of 50 px or more
    nodule_diameter_px : float64 (T,), longest diameter
    score : float64 (N,), falling
    found_px, shared_px : int64 (N,), pixels of each detection, and how many of them are marked
    diameter_px : float64 (N,), longest diameter
    overlap : float64 (N, T), IoU of every detection with every nodule
    scan_xyxy_px, cropped : the scan area that was used; False when none was found
    is_dual : two pictures side by side
    elapsed_ms : preprocess, engine and decode
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

    @property
    def scan_px(self) -> int:
        """Pixels of the scan area."""
        x1, y1, x2, y2 = self.scan_xyxy_px
        return (x2 - x1) * (y2 - y1)

    @property
    def best_score(self) -> float:
        """Of the best detection; NaN without any."""
        return float(self.score[0]) if len(self.score) else float("nan")

    def kept(self, threshold: float) -> int:
        """How many detections have at least this score."""
        return int((self.score >= threshold).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameScore:
    """One frame at one threshold.

    Attributes
    ----------
    case : of the frame
    dice, iou : of everything found against everything marked; NaN when nothing is marked
    hits : for every nodule, whether a detection meets it
    diameter_rel_error : for every nodule that is met, error of the longest diameter as a share of the true one
    false_positives : detections that meet none
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
    """Count one frame."""
    truth = outcome.frame.truth
    count = len(outcome.score)
    nodules = regions(truth, MIN_TRUTH_PX)
    found_px = np.bincount(outcome.labelmap.ravel(), minlength=count + 1)[1:]
    nodule_px = np.array([int(region.sum()) for region in nodules], np.int64)
    both = [np.bincount(outcome.labelmap[region], minlength=count + 1)[1:] for region in nodules]
    both_px = np.stack(both, axis=1) if both else np.zeros((count, 0), np.int64)
    return FrameTally(
        name=outcome.frame.name,
        case=outcome.frame.case,
        converted=outcome.frame.converted,
        truth_px=int(truth.sum()),
        nodule_px=nodule_px,
        nodule_diameter_px=np.array([longest_diameter_px(region) for region in nodules], np.float64),
        score=outcome.score,
        found_px=found_px,
        shared_px=np.bincount(outcome.labelmap[truth], minlength=count + 1)[1:],
        diameter_px=outcome.diameter_px,
        overlap=both_px / np.maximum(1, found_px[:, None] + nodule_px[None, :] - both_px),
        scan_xyxy_px=outcome.scan_xyxy_px,
        cropped=outcome.cropped,
        is_dual=is_dual_view(outcome.scan),
        elapsed_ms=outcome.elapsed_ms,
    )


def judge(frame: FrameTally, threshold: float) -> FrameScore:
    """Figures of one frame when detections below the threshold are left out.

    Detections and nodules are paired one to one, the best overlap first, with an IoU of 0.3 or more.
    """
    kept = frame.kept(threshold)
    pairs = match_overlaps(frame.overlap[:kept], MIN_IOU)
    found_px, shared_px = int(frame.found_px[:kept].sum()), int(frame.shared_px[:kept].sum())
    total_px = found_px + frame.truth_px
    met = {nodule for _, nodule in pairs}
    return FrameScore(
        case=frame.case,
        dice=2 * shared_px / total_px if frame.truth_px else float("nan"),
        iou=shared_px / (total_px - shared_px) if frame.truth_px else float("nan"),
        hits=tuple(index in met for index in range(len(frame.nodule_px))),
        diameter_rel_error=tuple(
            float(frame.diameter_px[found] / frame.nodule_diameter_px[nodule] - 1.0) for found, nodule in pairs
        ),
        false_positives=kept - len(pairs),
        kept=kept,
    )
