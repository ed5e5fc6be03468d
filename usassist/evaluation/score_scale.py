"""The scaling of scores: Platt scaling of weighted detections, fitted on one set of frames or on several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import CalibrationError
from usassist.evaluation.detection import expected_calibration_error, match_detections
from usassist.evaluation.extras import import_extra
from usassist.evaluation.tally import FrameTally

__all__ = ["FOLDS", "Pool", "Scale", "TalliedSet", "cross_validate", "fit_scale", "leave_one_out", "pool_sets"]

Array = npt.NDArray[Any]

FOLDS = 5
_EDGE = 1e-6  # a score of exactly 0 or 1 has no finite logit
_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class TalliedSet:
    """A set of frames that an engine has been run on, with raw scores.

    Attributes
    ----------
    name, truth : as of :class:`usassist.evaluation.labelled_sets.LabelledSet`
    frames : at least one
    """

    name: str
    truth: str
    frames: tuple[FrameTally, ...]

    @property
    def is_negative(self) -> bool:
        """Whether no frame shows a nodule."""
        return self.truth == "negative"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Slope and intercept on the logit of the raw score."""

    slope: float
    intercept: float

    def of(self, score: Array) -> Array:
        """Convert raw scores to calibrated ones, float64 (N,)."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.slope * _logit(score) + self.intercept))))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """The detections of several sets.

    Attributes
    ----------
    score : float64 (N,), raw
    is_hit : bool (N,)
    weight : float64 (N,), of the frame of each
    set_index : int (N,), number of the set
    case : object (N,), set and case
    """

    score: Array
    is_hit: Array
    weight: Array
    set_index: Array
    case: Array


def pool_sets(sets: Sequence[TalliedSet]) -> Pool:
    """Put the detections of all sets together, so that every set counts as much as any other.

    A frame weighs inversely to the number of frames of its set, and on average 1; a detection weighs what its frame
    weighs. So the fit is that of a stream in which a frame of every set comes equally often, however many frames each
    set has. (Weighting detections instead would give the few false alarms of frames without nodules as much weight as
    all detections of a set with nodules.)
    """
    frames = sum(len(item.frames) for item in sets)
    parts: dict[str, list[Array]] = {"score": [], "is_hit": [], "weight": [], "set_index": [], "case": []}
    for index, item in enumerate(sets):
        for frame in item.frames:
            matched = match_detections(frame)
            count = len(matched.score)
            parts["score"].append(matched.score)
            parts["is_hit"].append(matched.is_hit)
            parts["weight"].append(np.full(count, frames / (len(sets) * len(item.frames))))
            parts["set_index"].append(np.full(count, index))
            parts["case"].append(np.full(count, f"{item.name}/{frame.case}", object))
    return Pool(**{key: np.concatenate(arrays) for key, arrays in parts.items()})


def fit_scale(score: Array, is_hit: Array, weight: Array | None = None) -> Scale:
    """Platt scaling: a logistic regression of hit or miss on the logit of the raw score.

    As in Platt 1999 the targets are (n+ + 1) / (n+ + 2) and 1 / (n- + 2) instead of 1 and 0, so that scores which
    separate hits and misses perfectly do not give an infinite slope. Every detection occurs twice in the regression, as
    a hit and as a miss, weighted by its target.

    Parameters
    ----------
    score, is_hit : (N,) raw scores, 0 to 1, and whether each is a hit
    weight : (N,) of each detection; None = 1. n+ and n- are sums of weights

    Raises
    ------
    CalibrationError
        If there are only hits or only misses, or the slope is not positive.
    UsageError
        If scikit-learn is not installed.
    """
    if not is_hit.any() or is_hit.all():
        correct = int(is_hit.sum())
        wrong = len(is_hit) - correct
        raise CalibrationError(
            f"a score cannot be fitted on {correct} correct and {wrong} wrong detections; give more frames"
        )
    weight = np.ones(len(score)) if weight is None else weight
    hits, misses = float(weight[is_hit].sum()), float(weight[~is_hit].sum())
    target = np.where(is_hit, (hits + 1) / (hits + 2), 1 / (misses + 2))
    model = import_extra("sklearn.linear_model").LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    x = np.tile(_logit(score), 2)[:, None]
    model.fit(
        x,
        np.repeat([1, 0], len(score)),
        sample_weight=np.concatenate([weight * target, weight * (1.0 - target)]),
    )
    slope = float(model.coef_[0, 0])
    if slope <= 0:
        raise CalibrationError(f"higher scores are not more often correct (slope {slope:.3g}); train the engine again")
    return Scale(slope=round(slope, _DIGITS), intercept=round(float(model.intercept_[0]), _DIGITS))


def cross_validate(pool: Pool) -> Array:
    """Calibrated scores, each from a fit on other cases: float64 (N,).

    The cases are split into five folds (fewer if there are fewer cases); the detections of each fold are scaled as
    fitted on the others.

    Raises
    ------
    CalibrationError
        If all detections are of one case, or those of a fold's others allow no fit.
    """
    folds = min(FOLDS, len(set(pool.case)))
    if folds < 2:
        raise CalibrationError("all detections are of one case, so nothing can be cross-validated; give more cases")
    held_out = np.zeros(len(pool.score))
    splitter = import_extra("sklearn.model_selection").GroupKFold(folds)
    for inside, outside in splitter.split(pool.score, pool.is_hit, pool.case):
        scale = fit_scale(pool.score[inside], pool.is_hit[inside], pool.weight[inside])
        held_out[outside] = scale.of(pool.score[outside])
    return held_out


def leave_one_out(pool: Pool, index: int) -> float | None:
    """Expected calibration error of one set, scaled as fitted on all others.

    Returns
    -------
    error : None when the set has no detection, or the others do not allow a fit, see :func:`fit_scale`
    """
    own = pool.set_index == index
    if not own.any():
        return None
    try:
        scale = fit_scale(pool.score[~own], pool.is_hit[~own], pool.weight[~own])
    except CalibrationError:
        return None
    return expected_calibration_error(scale.of(pool.score[own]), pool.is_hit[own])


def _logit(score: Array) -> Array:
    clipped = np.clip(np.asarray(score, np.float64), _EDGE, 1.0 - _EDGE)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))
