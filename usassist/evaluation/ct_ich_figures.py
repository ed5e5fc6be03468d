"""Figures of the engine ``ct_ich``: AUC of pictures, Dice of HU slices by patient, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.evaluation.metrics import Figure, bootstrap_by_case

__all__ = ["PictureScore", "SliceOverlap", "area_under_curve", "dice_by_patient", "measure_pictures", "measure_slices"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureScore:
    """One picture.

    Attributes
    ----------
    name : of the picture
    group : of pictures that are alike or of one series
    has_blood : its label
    score : ``slice_prob`` of any haemorrhage
    """

    name: str
    group: int
    has_blood: bool
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceOverlap:
    """One HU slice.

    Attributes
    ----------
    name, patient : of the slice
    truth_px : marked pixels
    found_px, shared_px : pixels that the task outlines, and those of them that are marked
    mask_px, mask_shared_px : likewise where ``mask_prob`` is 0.5 or more, without the rules of the task
    score : ``slice_prob`` of any haemorrhage
    """

    name: str
    patient: str
    truth_px: int
    found_px: int
    shared_px: int
    mask_px: int
    mask_shared_px: int
    score: float


def area_under_curve(scores: npt.NDArray[np.float64], truth: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the share of pairs in the right order, ties count half (Hanley and McNeil 1982).

    NaN where one of the two classes is missing.
    """
    positive, negative = scores[truth], scores[~truth]
    if not len(positive) or not len(negative):
        return float("nan")
    difference = positive[:, None] - negative[None, :]
    return float(((difference > 0) + 0.5 * (difference == 0)).mean())


def measure_pictures(scores: Sequence[PictureScore], threshold: float) -> dict[str, Figure]:
    """``auc``, and ``sensitivity`` and ``specificity`` at a threshold; intervals by group."""

    def auc(items: Sequence[PictureScore]) -> float:
        truth = np.array([item.has_blood for item in items], np.bool_)
        return area_under_curve(np.array([item.score for item in items], np.float64), truth)

    def share(has_blood: bool) -> Callable[[Sequence[PictureScore]], float]:
        def compute(items: Sequence[PictureScore]) -> float:
            right = [(item.score >= threshold) == has_blood for item in items if item.has_blood == has_blood]
            return float(np.mean(right)) if right else float("nan")

        return compute

    figures = {}
    for name, compute, count in (
        ("auc", auc, len(scores)),
        ("sensitivity", share(True), sum(item.has_blood for item in scores)),
        ("specificity", share(False), sum(not item.has_blood for item in scores)),
    ):
        value, low, high = bootstrap_by_case(scores, lambda item: item.group, compute)
        figures[name] = Figure(value=value, low=low, high=high, count=count)
    return figures


def dice_by_patient(overlaps: Sequence[SliceOverlap]) -> dict[str, tuple[float, float]]:
    """Dice of each patient, all slices together: of the task's outlines, and of the mask alone."""
    patients: dict[str, list[SliceOverlap]] = {}
    for item in overlaps:
        patients.setdefault(item.patient, []).append(item)
    answers = {}
    for name, items in patients.items():
        truth = sum(item.truth_px for item in items)
        outlined = _dice(sum(item.shared_px for item in items), sum(item.found_px for item in items) + truth)
        mask = _dice(sum(item.mask_shared_px for item in items), sum(item.mask_px for item in items) + truth)
        answers[name] = (outlined, mask)
    return answers


def measure_slices(overlaps: Sequence[SliceOverlap], threshold: float) -> dict[str, Figure]:
    """``dice`` and ``dice_of_mask``, means over patients, and the share of slices from `threshold` on, ``sensitivity``.

    Intervals by patient.
    """
    patients = dice_by_patient(overlaps)
    figures = {}
    for index, name in enumerate(("dice", "dice_of_mask")):
        values = [(patient, pair[index]) for patient, pair in patients.items()]
        value, low, high = bootstrap_by_case(values, lambda item: item[0], _mean_of_second)
        figures[name] = Figure(value=value, low=low, high=high, count=len(values))
    hits = [(item.patient, float(item.score >= threshold)) for item in overlaps]
    value, low, high = bootstrap_by_case(hits, lambda item: item[0], _mean_of_second)
    figures["sensitivity"] = Figure(value=value, low=low, high=high, count=len(hits))
    return figures


def _mean_of_second(items: Sequence[tuple[str, float]]) -> float:
    return float(np.mean([value for _, value in items])) if items else float("nan")


def _dice(shared_px: int, total_px: int) -> float:
    return 2.0 * shared_px / total_px if total_px else 1.0
