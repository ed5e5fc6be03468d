"""Figures about detections over all thresholds: FROC, average precision and calibration of the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.evaluation.evaluate import figure_of_sums
from usassist.evaluation.extras import need
from usassist.evaluation.metrics import Figure, case_weights, match_overlaps, percentile_interval
from usassist.evaluation.tally import MIN_IOU, FrameTally

__all__ = [
    "AP_IOU",
    "FROC_RATES",
    "CalibrationBin",
    "Flagged",
    "Froc",
    "average_precision",
    "average_precision_figure",
    "calibration_bins",
    "ece_figure",
    "expected_calibration_error",
    "flag",
    "froc",
    "froc_figures",
]

Array = npt.NDArray[Any]

AP_IOU = 0.5
FROC_RATES = (0.05, 0.1, 0.2, 0.5)
BINS = 10
_MAX_THRESHOLDS = 400  # of a FROC with interval; more make no difference that one could see


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flagged:
    """The detections of one frame, each right or wrong.

    Attributes
    ----------
    case : of the frame
    score : float64 (N,), falling
    is_hit : bool (N,)
    nodules : how many are marked
    """

    case: str
    score: Array
    is_hit: Array
    nodules: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Froc:
    """Hits and false positives at every threshold, summed by case.

    Attributes
    ----------
    threshold : float64 (K,), falling
    cases : names, C of them
    hits, false_positives : int64 (C, K)
    nodules, frames : int64 (C,)
    """

    threshold: Array
    cases: tuple[str, ...]
    hits: Array
    false_positives: Array
    nodules: Array
    frames: Array

    @property
    def sensitivity(self) -> Array:
        """Share of the nodules that are met, float64 (K,)."""
        return np.asarray(self.hits.sum(axis=0) / max(1, int(self.nodules.sum())))

    @property
    def false_positives_per_frame(self) -> Array:
        """Detections that meet no nodule, float64 (K,)."""
        return np.asarray(self.false_positives.sum(axis=0) / max(1, int(self.frames.sum())))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Detections whose scores lie in [low, high); the last bin includes 1.

    Attributes
    ----------
    low, high : of the bin
    detections : how many
    mean_score : what they claim; NaN of an empty bin
    hit_share : how often they are right; NaN of an empty bin
    """

    low: float
    high: float
    detections: int
    mean_score: float
    hit_share: float


def flag(frame: FrameTally, least_iou: float = MIN_IOU) -> Flagged:
    """Say of every detection whether it is right, best score first.

    Each takes the nodule not yet taken with which it overlaps most, and is right when that overlap (IoU of the masks)
    is at least `least_iou`. A second detection on the same nodule is wrong.
    """
    free = frame.overlap.copy()
    is_hit = np.zeros(len(frame.score), np.bool_)
    for index in range(len(frame.score) if free.shape[1] else 0):
        nodule = int(np.argmax(free[index]))
        if free[index, nodule] >= least_iou:
            is_hit[index] = True
            free[:, nodule] = -1.0
    return Flagged(case=frame.case, score=frame.score, is_hit=is_hit, nodules=len(frame.nodule_px))


def froc(frames: Sequence[FrameTally], *, most: int | None = None) -> Froc:
    """Free-response ROC: at every score that occurs, nodules met and false positives, matched anew each time.

    Parameters
    ----------
    frames : counted
    most : thin the thresholds out to so many; None = keep all
    """
    threshold = np.unique(np.concatenate([frame.score for frame in frames] or [np.zeros(0)]))[::-1]
    if most is not None and len(threshold) > most:
        threshold = threshold[np.linspace(0, len(threshold) - 1, most).round().astype(int)]
    cases = tuple(dict.fromkeys(frame.case for frame in frames))
    row_of = {case: row for row, case in enumerate(cases)}
    hits, false_positives = (np.zeros((len(cases), len(threshold)), np.int64) for _ in range(2))
    nodules, count = (np.zeros(len(cases), np.int64) for _ in range(2))
    for frame in frames:
        row = row_of[frame.case]
        hits_of_kept = np.array(
            [len(match_overlaps(frame.overlap[:kept], MIN_IOU)) for kept in range(len(frame.score) + 1)]
        )
        kept = np.searchsorted(-frame.score, -threshold, side="right")
        hits[row] += hits_of_kept[kept]
        false_positives[row] += kept - hits_of_kept[kept]
        nodules[row] += len(frame.nodule_px)
        count[row] += 1
    return Froc(
        threshold=threshold, cases=cases, hits=hits, false_positives=false_positives, nodules=nodules, frames=count
    )


def froc_figures(frames: Sequence[FrameTally]) -> dict[str, Figure]:
    """Sensitivity at the most false positives per frame of :data:`FROC_RATES`, 0 where no threshold gives so few."""
    curve = froc(frames, most=_MAX_THRESHOLDS)
    steps = len(curve.threshold)
    values = np.column_stack([curve.hits, curve.false_positives, curve.nodules, curve.frames])

    def at(rate: float) -> Figure:
        def statistic(sums: Array) -> Array:
            hits, false_positives, nodules = sums[:, :steps], sums[:, steps : 2 * steps], sums[:, -2]
            allowed = np.where(false_positives <= rate * sums[:, -1:], hits, 0.0)
            return np.asarray(allowed.max(axis=1, initial=0.0) / nodules)

        return figure_of_sums(curve.cases, values, statistic, int(curve.nodules.sum()))

    return {f"{rate:g}": at(rate) for rate in FROC_RATES}


def average_precision(score: Array, is_hit: Array, nodules: int) -> float:
    """Area under precision over recall; recall counts nodules that no detection meets, at any score.

    scikit-learn knows the detections only, so its recall ends at 1 when the last hit is reached; every step of it is
    made smaller by the share of nodules that are ever met.

    Parameters
    ----------
    score, is_hit : (N,) of all detections
    nodules : how many are marked; NaN is given where there are none
    """
    if nodules == 0:
        return float("nan")
    if not is_hit.any():
        return 0.0
    known: float = need("sklearn.metrics").average_precision_score(is_hit, score)
    return known * int(is_hit.sum()) / nodules


def average_precision_figure(frames: Sequence[FrameTally]) -> Figure:
    """AP50: average precision with an IoU of the masks of 0.5 or more."""
    flagged = [flag(frame, AP_IOU) for frame in frames]
    score, is_hit = _together(flagged)
    nodules = sum(item.nodules for item in flagged)
    low, high = percentile_interval(_drawn_precision(flagged)) if flagged else (float("nan"), float("nan"))
    return Figure(value=average_precision(score, is_hit, nodules), low=low, high=high, count=nodules)


def _drawn_precision(flagged: Sequence[Flagged]) -> Array:
    """What :func:`average_precision` gives in every round of the bootstrap, all rounds at once: float64 (R,)."""
    names = list(dict.fromkeys(item.case for item in flagged))
    row_of = {case: row for row, case in enumerate(names)}
    weights = case_weights(len(names))
    score, is_hit = _together(flagged)
    order = np.argsort(-score, kind="stable")
    row = np.repeat([row_of[item.case] for item in flagged], [len(item.score) for item in flagged])[order]
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True)) if len(score) else np.zeros(0, np.intp)
    drawn = weights[:, row]
    counted = np.cumsum(drawn, axis=1)[:, ends]
    hits = np.cumsum(drawn * is_hit[order], axis=1)[:, ends]
    precision = hits / np.maximum(1.0, counted)
    nodules = weights @ np.bincount(
        [row_of[item.case] for item in flagged], [item.nodules for item in flagged], len(names)
    )
    with np.errstate(invalid="ignore"):
        return np.asarray((np.diff(hits, axis=1, prepend=0.0) * precision).sum(axis=1) / nodules)


def calibration_bins(score: Array, is_hit: Array) -> list[CalibrationBin]:
    """Detections in ten bins of equal width."""
    index = _bin_of(score)
    bins = []
    for number in range(BINS):
        inside = index == number
        count = int(inside.sum())
        bins.append(
            CalibrationBin(
                low=number / BINS,
                high=(number + 1) / BINS,
                detections=count,
                mean_score=float(np.mean(score[inside])) if count else float("nan"),
                hit_share=float(np.mean(is_hit[inside])) if count else float("nan"),
            )
        )
    return bins


def expected_calibration_error(score: Array, is_hit: Array) -> float:
    """Mean gap between what a bin claims and how often it is right, weighted by its detections (Guo et al. 2017)."""
    if len(score) == 0:
        return float("nan")
    bins = [item for item in calibration_bins(score, is_hit) if item.detections]
    return sum(item.detections * abs(item.mean_score - item.hit_share) for item in bins) / len(score)


def ece_figure(frames: Sequence[FrameTally]) -> Figure:
    """Expected calibration error of all detections, with its interval."""
    flagged = [flag(frame) for frame in frames]
    # A bin adds its detections times the gap of its means, which is the gap of its sums.
    rows = np.zeros((len(flagged), BINS + 1))
    for row, item in zip(rows, flagged, strict=True):
        row[:BINS] = np.bincount(_bin_of(item.score), item.score - item.is_hit, BINS)
        row[BINS] = len(item.score)

    def statistic(sums: Array) -> Array:
        return np.asarray(np.abs(sums[:, :BINS]).sum(axis=1) / sums[:, BINS])

    return figure_of_sums([item.case for item in flagged], rows, statistic, int(rows[:, BINS].sum()))


def _bin_of(score: Array) -> Array:
    return np.asarray(np.minimum((np.asarray(score) * BINS).astype(int), BINS - 1))


def _together(flagged: Sequence[Flagged]) -> tuple[Array, Array]:
    if not flagged:
        return np.zeros(0), np.zeros(0, np.bool_)
    return np.concatenate([item.score for item in flagged]), np.concatenate([item.is_hit for item in flagged])
