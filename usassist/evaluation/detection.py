"""Detection figures over all thresholds: FROC, average precision and calibration of the scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.evaluation.extras import import_extra
from usassist.evaluation.figures import figure_of_sums
from usassist.evaluation.metrics import Figure, case_weights, match_overlaps, percentile_interval
from usassist.evaluation.tally import MIN_IOU, FrameTally

__all__ = [
    "AP_IOU",
    "FROC_RATES",
    "CalibrationBin",
    "Froc",
    "MatchedDetections",
    "average_precision",
    "average_precision_figure",
    "calibration_bins",
    "ece_figure",
    "expected_calibration_error",
    "froc",
    "froc_figures",
    "match_detections",
]

Array = npt.NDArray[Any]

AP_IOU = 0.5
FROC_RATES = (0.05, 0.1, 0.15, 0.2, 0.5)
BINS = 10
_MAX_THRESHOLDS = 400  # of a FROC with interval; more make no visible difference


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MatchedDetections:
    """The detections of one frame, classified as hits or false positives.

    Attributes
    ----------
    case : of the frame
    score : float64 (N,), descending
    is_hit : bool (N,)
    nodules : number of marked nodules
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
    threshold : float64 (K,), descending
    cases : C names
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
        """Share of the nodules that are found, float64 (K,)."""
        return np.asarray(self.hits.sum(axis=0) / max(1, int(self.nodules.sum())))

    @property
    def false_positives_per_frame(self) -> Array:
        """Detections that match no nodule, per frame, float64 (K,)."""
        return np.asarray(self.false_positives.sum(axis=0) / max(1, int(self.frames.sum())))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationBin:
    """Detections whose scores lie in [low, high); the last bin includes 1.

    Attributes
    ----------
    low, high : edges of the bin
    detections : number of detections
    mean_score : mean confidence; NaN of an empty bin
    hit_share : share of hits; NaN of an empty bin
    """

    low: float
    high: float
    detections: int
    mean_score: float
    hit_share: float


def match_detections(frame: FrameTally, min_iou: float = MIN_IOU) -> MatchedDetections:
    """Classify every detection as hit or false positive, best score first.

    A detection is matched to the unmatched nodule with the largest overlap, and is a hit if that is
    at least `min_iou`. A second detection of the same nodule is a false positive.
    """
    free = frame.overlap.copy()
    is_hit = np.zeros(len(frame.score), np.bool_)
    for index in range(len(frame.score) if free.shape[1] else 0):
        nodule = int(np.argmax(free[index]))
        if free[index, nodule] >= min_iou:
            is_hit[index] = True
            free[:, nodule] = -1.0
    return MatchedDetections(case=frame.case, score=frame.score, is_hit=is_hit, nodules=len(frame.nodule_px))


def froc(frames: Sequence[FrameTally], *, max_thresholds: int | None = None) -> Froc:
    """Free-response ROC: nodules found and false positives at every score, matched separately at each threshold.

    Parameters
    ----------
    frames : tallies
    max_thresholds : subsample the thresholds to this number; None = keep all
    """
    threshold = np.unique(np.concatenate([frame.score for frame in frames] or [np.zeros(0)]))[::-1]
    if max_thresholds is not None and len(threshold) > max_thresholds:
        threshold = threshold[np.linspace(0, len(threshold) - 1, max_thresholds).round().astype(int)]
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
    """Sensitivity at the false positives per frame of :data:`FROC_RATES`; 0 where no threshold has so few."""
    curve = froc(frames, max_thresholds=_MAX_THRESHOLDS)
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
    """Area under the precision-recall curve; nodules that no detection finds at any score count as missed.

    scikit-learn sees the detections only, so its recall reaches 1 at the last hit; the area is scaled by the share of
    nodules that are found at all.

    Parameters
    ----------
    score, is_hit : (N,) of all detections
    nodules : number of marked nodules; NaN is returned if it is 0
    """
    if nodules == 0:
        return float("nan")
    if not is_hit.any():
        return 0.0
    of_detections: float = import_extra("sklearn.metrics").average_precision_score(is_hit, score)
    return of_detections * int(is_hit.sum()) / nodules


def average_precision_figure(frames: Sequence[FrameTally]) -> Figure:
    """AP50: average precision with an IoU of 0.5 or more, of the masks or, where they are the truth, of the boxes."""
    matched = [match_detections(frame, AP_IOU) for frame in frames]
    score, is_hit = _concatenate(matched)
    nodules = sum(item.nodules for item in matched)
    low, high = percentile_interval(_bootstrap_precision(matched)) if matched else (float("nan"), float("nan"))
    return Figure(value=average_precision(score, is_hit, nodules), low=low, high=high, count=nodules)


def _bootstrap_precision(matched: Sequence[MatchedDetections]) -> Array:
    """:func:`average_precision` of every round of the bootstrap, all rounds at once: float64 (R,)."""
    names = list(dict.fromkeys(item.case for item in matched))
    row_of = {case: row for row, case in enumerate(names)}
    weights = case_weights(len(names))
    score, is_hit = _concatenate(matched)
    order = np.argsort(-score, kind="stable")
    row = np.repeat([row_of[item.case] for item in matched], [len(item.score) for item in matched])[order]
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True)) if len(score) else np.zeros(0, np.intp)
    drawn = weights[:, row]
    counted = np.cumsum(drawn, axis=1)[:, ends]
    hits = np.cumsum(drawn * is_hit[order], axis=1)[:, ends]
    precision = hits / np.maximum(1.0, counted)
    nodules = weights @ np.bincount(
        [row_of[item.case] for item in matched], [item.nodules for item in matched], len(names)
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


def expected_calibration_error(score: Array, is_hit: Array, weight: Array | None = None) -> float:
    """Mean gap between mean score and share of hits of the bins, weighted by their detections (Guo et al. 2017).

    Parameters
    ----------
    score, is_hit : (N,)
    weight : (N,) of each detection, in means and sums; None = 1
    """
    if len(score) == 0:
        return float("nan")
    weight = np.ones(len(score)) if weight is None else weight
    # A bin contributes its weight times the gap of its means, which is the gap of its sums.
    gaps = np.bincount(_bin_of(score), weight * (score - is_hit), BINS)
    return float(np.abs(gaps).sum() / weight.sum())


def ece_figure(frames: Sequence[FrameTally]) -> Figure:
    """Expected calibration error of all detections, with its interval."""
    matched = [match_detections(frame) for frame in frames]
    # A bin contributes its detections times the gap of its means, which is the gap of its sums.
    rows = np.zeros((len(matched), BINS + 1))
    for row, item in zip(rows, matched, strict=True):
        row[:BINS] = np.bincount(_bin_of(item.score), item.score - item.is_hit, BINS)
        row[BINS] = len(item.score)

    def statistic(sums: Array) -> Array:
        return np.asarray(np.abs(sums[:, :BINS]).sum(axis=1) / sums[:, BINS])

    return figure_of_sums([item.case for item in matched], rows, statistic, int(rows[:, BINS].sum()))


def _bin_of(score: Array) -> Array:
    return np.asarray(np.minimum((np.asarray(score) * BINS).astype(int), BINS - 1))


def _concatenate(matched: Sequence[MatchedDetections]) -> tuple[Array, Array]:
    if not matched:
        return np.zeros(0), np.zeros(0, np.bool_)
    return np.concatenate([item.score for item in matched]), np.concatenate([item.is_hit for item in matched])
