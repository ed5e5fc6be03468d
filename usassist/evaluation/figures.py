"""Figures of frames at one threshold, each with a 95 % confidence interval by case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from usassist.evaluation.metrics import Figure, bootstrap_by_case, case_weights, percentile_interval
from usassist.evaluation.tally import FrameScore, FrameTally, score_frame

__all__ = [
    "choose_threshold",
    "compute_false_alarms",
    "compute_figures",
    "compute_score_figures",
    "figure_by_case",
    "figure_of_sums",
    "mean_by_case",
]

Array = npt.NDArray[Any]
T = TypeVar("T")


def compute_figures(frames: Sequence[FrameTally], threshold: float) -> dict[str, Figure]:
    """Figures of frames with nodules.

    Parameters
    ----------
    frames : from :func:`usassist.evaluation.tally.tally`
    threshold : detections with a lower score are ignored

    Returns
    -------
    ``dice_mean``, ``dice_median``, ``iou_mean`` : per frame, all detections together against all nodules together;
        frames without marked pixels are excluded from these three
    ``sensitivity`` : share of the nodules (connected regions of 50 px or more) matched by a detection, IoU 0.3 or more
    ``false_positives_per_frame`` : detections that match no nodule
    ``diameter_rel_bias``, ``diameter_rel_sd`` : of the relative error of the longest diameter of the nodules found
    """
    return compute_score_figures([score_frame(frame, threshold) for frame in frames])


def compute_score_figures(scores: Sequence[FrameScore]) -> dict[str, Figure]:
    """The figures of :func:`compute_figures`, from scored frames."""
    marked = [score for score in scores if np.isfinite(score.dice)]
    nodules = [(score.case, hit) for score in scores for hit in score.hits]
    errors = [(score.case, error) for score in scores for error in score.diameter_rel_error]
    return {
        "dice_mean": mean_by_case([(score.case, score.dice) for score in marked]),
        "dice_median": figure_by_case([(score.case, score.dice) for score in marked], _median),
        "iou_mean": mean_by_case([(score.case, score.iou) for score in marked]),
        "sensitivity": mean_by_case(nodules),
        "false_positives_per_frame": mean_by_case([(score.case, score.false_positives) for score in scores]),
        "diameter_rel_bias": mean_by_case(errors),
        "diameter_rel_sd": figure_by_case(errors, _sd),
    }


def compute_false_alarms(frames: Sequence[FrameTally], threshold: float) -> dict[str, Figure]:
    """False alarms on frames without a marked nodule: per frame, and the share of frames with any."""
    counts = [(frame.case, frame.kept(threshold)) for frame in frames]
    return {
        "false_alarms_per_frame": mean_by_case(counts),
        "frames_with_false_alarm": mean_by_case([(case, count > 0) for case, count in counts]),
    }


def choose_threshold(frames: Sequence[FrameTally], candidates: Sequence[float]) -> tuple[float, dict[float, float]]:
    """Choose the threshold with the best F1 of nodules found against false positives; of equals the highest.

    Returns
    -------
    threshold, F1 at every candidate
    """
    f1: dict[float, float] = {}
    for threshold in candidates:
        scores = [score_frame(frame, threshold) for frame in frames]
        hits = sum(sum(score.hits) for score in scores)
        misses = sum(len(score.hits) for score in scores) - hits
        false_positives = sum(score.false_positives for score in scores)
        f1[threshold] = 2 * hits / max(1, 2 * hits + misses + false_positives)
    return max(candidates, key=lambda threshold: (f1[threshold], threshold)), f1


def figure_by_case(items: Sequence[tuple[str, T]], statistic: Callable[[Sequence[T]], float]) -> Figure:
    """Any statistic of the values of (case, value), with its interval; NaN without data."""
    value, low, high = bootstrap_by_case(
        items, lambda item: item[0], lambda drawn: statistic([item[1] for item in drawn])
    )
    return Figure(value=value, low=low, high=high, count=len(items))


def mean_by_case(items: Sequence[tuple[str, float]]) -> Figure:
    """Mean of the values of (case, value), with its interval; NaN without data."""
    values = np.array([(value, 1.0) for _, value in items], np.float64).reshape(-1, 2)
    return figure_of_sums([case for case, _ in items], values, lambda sums: sums[:, 0] / sums[:, 1], len(items))


def figure_of_sums(cases: Sequence[str], values: Array, statistic: Callable[[Array], Array], count: int) -> Figure:
    """A statistic of sums over the items, with its interval; faster than :func:`figure_by_case`.

    Parameters
    ----------
    cases : of N items
    values : float64 (N, M), to be summed
    statistic : maps the sums of R rounds, float64 (R, M), to float64 (R,); NaN where undefined
    count : of the figure
    """
    names = list(dict.fromkeys(cases))
    if not names:
        return Figure(value=float("nan"), low=float("nan"), high=float("nan"), count=count)
    row_of = {case: row for row, case in enumerate(names)}
    by_case = np.zeros((len(names), values.shape[1]))
    np.add.at(by_case, [row_of[case] for case in cases], values)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(statistic(by_case.sum(axis=0, keepdims=True))[0])
        low, high = percentile_interval(statistic(case_weights(len(names)) @ by_case))
    return Figure(value=value, low=low, high=high, count=count)


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
