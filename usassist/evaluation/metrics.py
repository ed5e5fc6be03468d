"""Agreement of detections with labelled masks, and confidence intervals by case."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames import measure
from usassist.records import Segmentation

__all__ = [
    "Figure",
    "bootstrap_by_case",
    "case_weights",
    "dice",
    "iou",
    "longest_diameter_px",
    "match",
    "match_overlaps",
    "percentile_interval",
    "regions",
]

BoolArray = npt.NDArray[np.bool_]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of a report.

    Attributes
    ----------
    value : the estimate; NaN where there is nothing to estimate it from
    low, high : 95 % confidence interval
    count : how many frames or nodules it rests on
    """

    value: float
    low: float
    high: float
    count: int


def dice(found: BoolArray, truth: BoolArray) -> float:
    """``2 |A and B| / (|A| + |B|)``; 1 when both are empty (Dice, Ecology 1945)."""
    total = int(found.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2.0 * int((found & truth).sum()) / total


def iou(found: BoolArray, truth: BoolArray) -> float:
    """``|A and B| / |A or B|``; 1 when both are empty."""
    union = int((found | truth).sum())
    return 1.0 if union == 0 else int((found & truth).sum()) / union


def regions(mask: BoolArray, least_px: int) -> list[BoolArray]:
    """The connected regions (8 neighbours) of a mask with at least ``least_px`` pixels, each bool (H, W)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [labels == index for index in range(1, count) if stats[index, cv2.CC_STAT_AREA] >= least_px]


def match(found: Sequence[BoolArray], truth: Sequence[BoolArray], least_iou: float) -> list[tuple[int, int]]:
    """Pair regions one to one, the best overlap first.

    Returns
    -------
    pairs : (index in ``found``, index in ``truth``) with an IoU of at least ``least_iou``
    """
    overlap = np.array([[iou(first, second) for second in truth] for first in found], np.float64)
    return match_overlaps(overlap.reshape(len(found), len(truth)), least_iou)


def match_overlaps(overlap: npt.NDArray[Any], least_iou: float) -> list[tuple[int, int]]:
    """Pair detections and nodules one to one, the best overlap first.

    Parameters
    ----------
    overlap : float (N, T), IoU of every detection with every nodule
    least_iou : pairs need at least this

    Returns
    -------
    pairs : (detection, nodule), by falling overlap
    """
    pairs: list[tuple[int, int]] = []
    for found, nodule in zip(*np.nonzero(overlap >= least_iou), strict=True):
        pairs.append((int(found), int(nodule)))
    pairs.sort(key=lambda pair: (-overlap[pair], pair))
    chosen: list[tuple[int, int]] = []
    for found, nodule in pairs:
        if all(found != first and nodule != second for first, second in chosen):
            chosen.append((found, nodule))
    return chosen


def longest_diameter_px(region: BoolArray) -> float:
    """Longest diameter of one connected region, measured exactly as the live path measures outlines, px."""
    outlines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=len)[:, 0, :].astype(np.float32) + np.float32(0.5)
    return float(measure(Segmentation.of([outline])).major_px[0])


def bootstrap_by_case(
    items: Sequence[T],
    case_of: Callable[[T], Hashable],
    statistic: Callable[[Sequence[T]], float],
    *,
    rounds: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Estimate and 95 % percentile interval, drawing whole cases with replacement (Efron and Tibshirani 1993, 13.3).

    Frames of one case resemble each other; drawing single frames would make the interval too narrow.

    Parameters
    ----------
    items : frames or nodules
    case_of : which case an item belongs to
    statistic : of a row of items; may be NaN, and such rounds are left out
    rounds : how many times to draw
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
    weights : float64 (rounds, case_count), every row sums up to the number of cases
    """
    drawn = np.random.default_rng(seed).integers(case_count, size=(rounds, case_count))
    weights = np.zeros((rounds, case_count))
    np.add.at(weights, (np.arange(rounds)[:, None], drawn), 1.0)
    return weights


def percentile_interval(drawn: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The middle 95 % of what the rounds gave; those that are not finite are left out, NaN when none is left."""
    finite = drawn[np.isfinite(drawn)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [2.5, 97.5])
    return float(low), float(high)
