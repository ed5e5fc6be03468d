"""Agreement of masks and detections, and bootstrap confidence intervals by case."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from usassist.evaluation.extras import import_extra
from usassist.frames import measure
from usassist.records import Segmentation

__all__ = [
    "SURFACE_TOLERANCE_PX",
    "Figure",
    "SurfaceDistance",
    "bootstrap_by_case",
    "box_overlaps",
    "case_weights",
    "dice",
    "iou",
    "label_overlaps",
    "longest_diameter_px",
    "match",
    "match_overlaps",
    "percentile_interval",
    "regions",
    "surface_distance",
]

BoolArray = npt.NDArray[np.bool_]
T = TypeVar("T")

SURFACE_TOLERANCE_PX = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of a report.

    Attributes
    ----------
    value : the estimate; NaN without data
    low, high : 95 % confidence interval
    count : number of frames or nodules
    """

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SurfaceDistance:
    """Surface distances between the outlines in one frame.

    Attributes
    ----------
    nsd : normalised surface distance, the share of both outlines that is within 2 px of the other, 0 to 1
    hd95_px : 95th percentile of the distances from each outline to the other, the larger of both directions, px
    """

    nsd: float
    hd95_px: float


def dice(found: BoolArray, truth: BoolArray) -> float:
    """``2 |A and B| / (|A| + |B|)``; 1 when both are empty (Dice, Ecology 1945)."""
    total = int(found.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2.0 * int((found & truth).sum()) / total


def iou(found: BoolArray, truth: BoolArray) -> float:
    """``|A and B| / |A or B|``; 1 when both are empty."""
    union = int((found | truth).sum())
    return 1.0 if union == 0 else int((found & truth).sum()) / union


def regions(mask: BoolArray, min_px: int) -> list[BoolArray]:
    """Connected regions (8 neighbours) of a mask with at least ``min_px`` pixels, each bool (H, W)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [labels == index for index in range(1, count) if stats[index, cv2.CC_STAT_AREA] >= min_px]


def match(found: Sequence[BoolArray], truth: Sequence[BoolArray], min_iou: float) -> list[tuple[int, int]]:
    """Pair regions one to one, the best overlap first.

    Returns
    -------
    pairs : (index in ``found``, index in ``truth``) with an IoU of at least ``min_iou``
    """
    overlap = np.array([[iou(first, second) for second in truth] for first in found], np.float64)
    return match_overlaps(overlap.reshape(len(found), len(truth)), min_iou)


def match_overlaps(overlap: npt.NDArray[Any], min_iou: float) -> list[tuple[int, int]]:
    """Pair detections and nodules one to one, the best overlap first.

    Parameters
    ----------
    overlap : float (N, T), IoU of every detection with every nodule
    min_iou : minimum IoU of a pair

    Returns
    -------
    pairs : (detection, nodule), by descending overlap
    """
    pairs: list[tuple[int, int]] = []
    for found, nodule in zip(*np.nonzero(overlap >= min_iou), strict=True):
        pairs.append((int(found), int(nodule)))
    pairs.sort(key=lambda pair: (-overlap[pair], pair))
    chosen: list[tuple[int, int]] = []
    for found, nodule in pairs:
        if all(found != first and nodule != second for first, second in chosen):
            chosen.append((found, nodule))
    return chosen


def label_overlaps(
    found: npt.NDArray[Any], found_count: int, truth: npt.NDArray[Any], truth_count: int
) -> npt.NDArray[np.float64]:
    """IoU of every region of a label map with every region of another: float64 (N, T).

    Parameters
    ----------
    found, truth : integers (H, W), 0 = nothing, 1 to N and 1 to T are the regions
    found_count, truth_count : N and T; a region may be missing in its map, its overlaps are 0 then
    """
    rows, columns = found_count + 1, truth_count + 1
    both = np.bincount((found.astype(np.int64) * columns + truth).ravel(), minlength=rows * columns)
    both = both.reshape(rows, columns)
    union = both.sum(axis=1)[1:, None] + both.sum(axis=0)[None, 1:] - both[1:, 1:]
    return np.asarray(both[1:, 1:] / np.maximum(1, union))


def box_overlaps(first_xyxy_px: npt.NDArray[Any], second_xyxy_px: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """IoU of every box with every other: float64 (N, T).

    Parameters
    ----------
    first_xyxy_px, second_xyxy_px : float (N, 4) and (T, 4), none empty
    """
    first, second = first_xyxy_px[:, None, :].astype(np.float64), second_xyxy_px[None, :, :].astype(np.float64)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(first[..., :2], second[..., :2])
    shared = np.clip(sides, 0.0, None).prod(axis=-1)
    area = [(boxes[..., 2:] - boxes[..., :2]).prod(axis=-1) for boxes in (first, second)]
    return np.asarray(shared / (area[0] + area[1] - shared))


def longest_diameter_px(region: BoolArray) -> float:
    """Longest diameter of one connected region, measured as the live path measures outlines, px."""
    outlines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=len)[:, 0, :].astype(np.float32) + np.float32(0.5)
    return float(measure(Segmentation.of([outline])).major_px[0])


def surface_distance(found: BoolArray, truth: BoolArray) -> SurfaceDistance:
    """NSD at 2 px and HD95 of all detections against all marked nodules, computed by MONAI.

    Nikolov et al. 2021 (doi 10.2196/26151) for the NSD; Maier-Hein et al. 2024 (doi 10.1038/s41592-023-02151-z) for a
    missing prediction: the worst value, which is 0 for the NSD and the diagonal of the frame for the HD95.

    Parameters
    ----------
    found, truth : bool (H, W); `truth` not empty

    Raises
    ------
    UsageError
        If MONAI is not installed.
    ValueError
        If nothing is marked, so that there is no outline to compare with.
    """
    if not truth.any():
        raise ValueError("there is no outline to compare with; skip the frame")
    if not found.any():
        return SurfaceDistance(nsd=0.0, hd95_px=float(np.hypot(*truth.shape)))
    torch, metrics = import_extra("torch"), import_extra("monai.metrics")
    pair = [torch.from_numpy(np.ascontiguousarray(mask))[None, None] for mask in (found, truth)]
    with warnings.catch_warnings():  # MONAI 1.6 itself uses an argument that it has deprecated
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
        nsd = metrics.compute_surface_dice(*pair, class_thresholds=[SURFACE_TOLERANCE_PX], include_background=True)
        hd95 = metrics.compute_hausdorff_distance(*pair, percentile=95, include_background=True)
    return SurfaceDistance(nsd=float(nsd), hd95_px=float(hd95))


def bootstrap_by_case(
    items: Sequence[T],
    case_of: Callable[[T], Hashable],
    statistic: Callable[[Sequence[T]], float],
    *,
    rounds: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Estimate and 95 % percentile interval from resampling whole cases (Efron and Tibshirani 1993, 13.3).

    Frames of one case are correlated; resampling single frames would make the interval too narrow.

    Parameters
    ----------
    items : frames or nodules
    case_of : the case of an item
    statistic : of a sequence of items; rounds with NaN are ignored
    rounds : number of bootstrap rounds
    seed : of the draws

    Returns
    -------
    value, low, high
    """
    value = statistic(items)
    groups: dict[Any, list[T]] = {}
    for item in items:
        groups.setdefault(case_of(item), []).append(item)
    cases = list(groups.values())
    if not cases:
        return value, float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    drawn: list[float] = []
    for _ in range(rounds):
        chosen = rng.integers(len(cases), size=len(cases))
        result = statistic([item for index in chosen for item in cases[index]])
        if np.isfinite(result):
            drawn.append(result)
    return value, *percentile_interval(np.array(drawn))


def case_weights(case_count: int, *, rounds: int = 2000, seed: int = 0) -> npt.NDArray[np.float64]:
    """How often each case is drawn in each round of :func:`bootstrap_by_case`: the same draws, for statistics of sums.

    Returns
    -------
    weights : float64 (rounds, case_count), every row sums to the number of cases
    """
    drawn = np.random.default_rng(seed).integers(case_count, size=(rounds, case_count))
    weights = np.zeros((rounds, case_count))
    np.add.at(weights, (np.arange(rounds)[:, None], drawn), 1.0)
    return weights


def percentile_interval(drawn: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The central 95 % of the results of all rounds; results that are not finite are ignored, NaN if none is left."""
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)
