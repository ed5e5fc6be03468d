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

__all__ = ["Figure", "bootstrap_by_case", "dice", "iou", "longest_diameter_px", "match", "regions"]

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
    """2 |A and B| / (|A| + |B|); 1 when both are empty (Dice, Ecology 1945)."""
    total = int(found.sum()) + int(truth.sum())
    return 1.0 if total == 0 else 2.0 * int((found & truth).sum()) / total


def iou(found: BoolArray, truth: BoolArray) -> float:
    """|A and B| / |A or B|; 1 when both are empty."""
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
    overlaps = [(iou(a, b), i, j) for i, a in enumerate(found) for j, b in enumerate(truth)]
    pairs: list[tuple[int, int]] = []
    for overlap, i, j in sorted(overlaps, key=lambda item: (-item[0], item[1], item[2])):
        if overlap >= least_iou and all(i != first and j != second for first, second in pairs):
            pairs.append((i, j))
    return pairs


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
    if not drawn:
        return value, float("nan"), float("nan")
    low, high = np.percentile(drawn, [2.5, 97.5])
    return value, float(low), float(high)
