"""Agreement of estimated descriptors with readers, with confidence intervals by case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.evaluation.metrics import Figure, bootstrap_by_case, iou, regions
from usassist.frames import fill_labelmap
from usassist.modalities.ultrasound import decode, preprocess
from usassist.records import LabelSpec, Segmentation

__all__ = ["Judged", "agreement", "confusion", "found_outlines"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]
Infer = Callable[[Mapping[str, npt.NDArray[Any]]], Mapping[str, npt.NDArray[Any]]]

_MIN_IOU = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One nodule with two opinions about it.

    Attributes
    ----------
    case : nodules of one case belong together
    truth : index of the reader's class, 0 or 1
    probability : of class 1, as estimated
    """

    case: str
    truth: int
    probability: float

    @property
    def found(self) -> int:
        """The class that is shown."""
        return int(self.probability >= 0.5)


def agreement(judged: Sequence[Judged]) -> dict[str, Figure]:
    """How well estimates and reader agree, with 95 % intervals by case.

    Returns
    -------
    ``balanced_accuracy`` : mean of the shares of both classes that are recognised; chance is 0.5
    ``kappa`` : agreement beyond chance (Cohen, Educ Psychol Meas 1960)
    ``auroc`` : chance that a nodule of class 1 gets the higher probability (Mann and Whitney 1947); chance is 0.5
    """
    statistics = {"balanced_accuracy": _balanced_accuracy, "kappa": _kappa, "auroc": _auroc}
    figures = {}
    for name, statistic in statistics.items():
        value, low, high = bootstrap_by_case(judged, lambda item: item.case, statistic)
        figures[name] = Figure(value=value, low=low, high=high, count=len(judged))
    return figures


def confusion(judged: Sequence[Judged]) -> npt.NDArray[np.int64]:
    """How often each pair of classes occurs: int64 (2, 2), a row per class of the reader, a column per estimate."""
    table = np.zeros((2, 2), np.int64)
    for item in judged:
        table[item.truth, item.found] += 1
    return table


def found_outlines(
    infer: Infer,
    size_hw_px: tuple[int, int],
    labels: tuple[LabelSpec, ...],
    image: UInt8Array,
    truth: BoolArray,
    least_px: int,
) -> list[Float32Array]:
    """The engine's own outlines of those nodules of a frame that it finds (IoU 0.3 or more).

    Parameters
    ----------
    infer, size_hw_px, labels : of the engine
    image : uint8 (H, W), cropped to the scan area
    truth : bool (H, W), the marked nodules
    least_px : a marked region with fewer pixels is no nodule

    Returns
    -------
    float32 (K, 2) each, image coordinates, px
    """
    hw_px = (image.shape[0], image.shape[1])
    tensor, image_to_input = preprocess(image, size_hw_px)
    _, segmentation = decode(infer({"image": tensor}), image_to_input, hw_px, labels)
    outlines = list(segmentation)
    found = [fill_labelmap(Segmentation.of([outline]), hw_px) > 0 for outline in outlines]
    best = []
    for nodule in regions(truth, least_px):
        overlap = [iou(region, nodule) for region in found]
        if max(overlap, default=0.0) >= _MIN_IOU:
            best.append(int(np.argmax(overlap)))
    return [outlines[index] for index in dict.fromkeys(best)]


def _balanced_accuracy(judged: Sequence[Judged]) -> float:
    table = confusion(judged)
    rows = table.sum(axis=1)
    return float(np.mean(np.diag(table) / rows)) if rows.all() else float("nan")


def _kappa(judged: Sequence[Judged]) -> float:
    table = confusion(judged)
    total = float(table.sum())
    if total == 0:
        return float("nan")
    seen = float(np.trace(table)) / total
    chance = float(table.sum(axis=0) @ table.sum(axis=1)) / total**2
    return (seen - chance) / (1.0 - chance) if chance < 1.0 else float("nan")


def _auroc(judged: Sequence[Judged]) -> float:
    groups = [np.array([item.probability for item in judged if item.truth == truth]) for truth in (0, 1)]
    if not all(len(group) for group in groups):
        return float("nan")
    above = (groups[1][:, None] > groups[0]).mean()
    return float(above + 0.5 * (groups[1][:, None] == groups[0]).mean())
