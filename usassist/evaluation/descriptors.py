"""Agreement of estimated descriptors with readers, with confidence intervals by case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.evaluation.metrics import Figure, bootstrap_by_case, iou, regions
from usassist.frames import fill_labelmap, find_scan_border
from usassist.modalities.ultrasound import decode, preprocess
from usassist.records import LabelSpec, Segmentation

__all__ = ["RatedNodule", "agreement", "confusion", "found_outlines"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]
Infer = Callable[[Mapping[str, npt.NDArray[Any]]], Mapping[str, npt.NDArray[Any]]]

_MIN_IOU = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedNodule:
    """One nodule, rated by a reader and by the estimator.

    Attributes
    ----------
    case : nodules of one case belong together
    truth : index of the reader's class, 0 or 1
    probability : estimated, of class 1
    """

    case: str
    truth: int
    probability: float

    @property
    def estimate(self) -> int:
        """The displayed class."""
        return int(self.probability >= 0.5)


def agreement(rated: Sequence[RatedNodule]) -> dict[str, Figure]:
    """Agreement of estimates with the reader, with 95 % intervals by case.

    Returns
    -------
    ``balanced_accuracy`` : mean recall of both classes; chance is 0.5
    ``kappa`` : agreement beyond chance (Cohen, Educ Psychol Meas 1960)
    ``auroc`` : probability that a nodule of class 1 gets the higher estimate (Mann and Whitney 1947); chance is 0.5
    """
    statistics = {"balanced_accuracy": _balanced_accuracy, "kappa": _kappa, "auroc": _auroc}
    figures = {}
    for name, statistic in statistics.items():
        value, low, high = bootstrap_by_case(rated, lambda item: item.case, statistic)
        figures[name] = Figure(value=value, low=low, high=high, count=len(rated))
    return figures


def confusion(rated: Sequence[RatedNodule]) -> npt.NDArray[np.int64]:
    """Confusion matrix: int64 (2, 2), rows are the reader's classes, columns the estimates."""
    table = np.zeros((2, 2), np.int64)
    for item in rated:
        table[item.truth, item.estimate] += 1
    return table


def found_outlines(
    infer: Infer,
    size_hw_px: tuple[int, int],
    labels: tuple[LabelSpec, ...],
    image: UInt8Array,
    truth: BoolArray,
    min_px: int,
) -> list[Float32Array]:
    """The engine's outlines of the nodules that it finds in a frame (IoU 0.3 or more).

    Parameters
    ----------
    infer, size_hw_px, labels : of the engine
    image : uint8 (H, W), cropped to the scan area
    truth : bool (H, W), the marked nodules
    min_px : smaller marked regions do not count as nodules

    Returns
    -------
    float32 (K, 2) each, image coordinates, px
    """
    hw_px = (image.shape[0], image.shape[1])
    tensor, image_to_input = preprocess(image, size_hw_px)
    _, segmentation = decode(
        infer({"image": tensor}), image_to_input, hw_px, labels, border=lambda: find_scan_border(image)
    )
    outlines = list(segmentation)
    found = [fill_labelmap(Segmentation.of([outline]), hw_px) > 0 for outline in outlines]
    best = []
    for nodule in regions(truth, min_px):
        overlap = [iou(region, nodule) for region in found]
        if max(overlap, default=0.0) >= _MIN_IOU:
            best.append(int(np.argmax(overlap)))
    return [outlines[index] for index in dict.fromkeys(best)]


def _balanced_accuracy(rated: Sequence[RatedNodule]) -> float:
    table = confusion(rated)
    rows = table.sum(axis=1)
    return float(np.mean(np.diag(table) / rows)) if rows.all() else float("nan")


def _kappa(rated: Sequence[RatedNodule]) -> float:
    table = confusion(rated)
    total = float(table.sum())
    if total == 0:
        return float("nan")
    observed = float(np.trace(table)) / total
    chance = float(table.sum(axis=0) @ table.sum(axis=1)) / total**2
    return (observed - chance) / (1.0 - chance) if chance < 1.0 else float("nan")


def _auroc(rated: Sequence[RatedNodule]) -> float:
    groups = [np.array([item.probability for item in rated if item.truth == truth]) for truth in (0, 1)]
    if not all(len(group) for group in groups):
        return float("nan")
    above = (groups[1][:, None] > groups[0]).mean()
    return float(above + 0.5 * (groups[1][:, None] == groups[0]).mean())
