"""Fit what a raw score means, choose operating points, and write both as a file of calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import numpy.typing as npt
import tomlkit

from usassist.calibrate import LabelScale, OperatingPoint, ScoreCalibration
from usassist.errors import CalibrationError
from usassist.evaluation.detection import Flagged, expected_calibration_error, flag
from usassist.evaluation.extras import need
from usassist.evaluation.tally import FrameTally

__all__ = ["FOLDS", "Scale", "calibration_toml", "fit_label", "fit_scale"]

Array = npt.NDArray[Any]

FOLDS = 5
_EDGE = 1e-6  # a score of exactly 0 or 1 has no finite logit
_DIGITS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Slope and intercept on the logit of the raw score."""

    slope: float
    intercept: float

    def of(self, score: Array) -> Array:
        """Raw scores as calibrated ones, float64 (N,)."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.slope * _logit(score) + self.intercept))))


def fit_scale(score: Array, is_hit: Array) -> Scale:
    """Platt scaling: a logistic regression of hit or miss on the logit of the raw score.

    As in Platt 1999 the targets are (n+ + 1) / (n+ + 2) and 1 / (n- + 2) instead of 1 and 0, so that scores which part
    hits and misses perfectly do not give an infinite slope. Every detection stands twice in the regression, as a hit
    and as a miss, weighted by its target.

    Parameters
    ----------
    score, is_hit : (N,) raw scores, 0 to 1, and whether each is right

    Raises
    ------
    CalibrationError
        If there are only hits or only misses, or if higher scores are not more often right.
    UsageError
        If scikit-learn is not installed.
    """
    hits, misses = int(is_hit.sum()), int((~is_hit).sum())
    if hits == 0 or misses == 0:
        raise CalibrationError(
            f"a score cannot be fitted on {hits} right and {misses} wrong detections; give more frames"
        )
    target = np.where(is_hit, (hits + 1) / (hits + 2), 1 / (misses + 2))
    model = need("sklearn.linear_model").LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    x = np.tile(_logit(score), 2)[:, None]
    model.fit(x, np.repeat([1, 0], len(score)), sample_weight=np.concatenate([target, 1.0 - target]))
    slope = float(model.coef_[0, 0])
    if slope <= 0:
        raise CalibrationError(f"higher scores are not more often right (slope {slope:.3g}); train the engine anew")
    return Scale(slope=round(slope, _DIGITS), intercept=round(float(model.intercept_[0]), _DIGITS))


def fit_label(frames: Sequence[FrameTally], name: str) -> LabelScale:
    """Fit one label on frames with raw scores, with its error on the same frames and cross-validated by case.

    For the second error the cases are dealt out into five folds (fewer when there are fewer cases); the detections of
    each are scaled as fitted on the others, and all of them together give one error.

    Parameters
    ----------
    frames : counted with raw scores
    name : of the label

    Raises
    ------
    CalibrationError
        If the frames are too few, see :func:`fit_scale`.
    """
    flagged = [flag(frame) for frame in frames]
    score = np.concatenate([item.score for item in flagged] or [np.zeros(0)])
    is_hit = np.concatenate([item.is_hit for item in flagged] or [np.zeros(0, np.bool_)])
    scale = fit_scale(score, is_hit)
    return LabelScale(
        name=name,
        slope=scale.slope,
        intercept=scale.intercept,
        ece=round(expected_calibration_error(scale.of(score), is_hit), _DIGITS),
        ece_cross_validated=round(_cross_validated(flagged, score, is_hit), _DIGITS),
        detections=len(score),
        nodules=sum(item.nodules for item in flagged),
    )


def calibration_toml(
    *,
    calibration_id: str,
    engine_id: str,
    label: LabelScale,
    points: Sequence[OperatingPoint],
    method: str,
    command: str,
    valid_for: str,
    measured_on: date,
) -> str:
    """The file, as :func:`usassist.calibrate.load_score_calibration` reads it."""
    file = ScoreCalibration(
        calibration_id=calibration_id,
        engine_id=engine_id,
        labels=(label,),
        points={point.name: point for point in points},
        measured_on=measured_on,
        measured_by="developer",
        method=method,
        command=command,
        valid_for=valid_for,
    )
    document = tomlkit.document()
    document["schema"] = 1
    keys = ("calibration_id", "engine_id", "measured_on", "measured_by", "method", "command", "valid_for")
    for key in keys:
        document[key] = getattr(file, key)
    residual = {key: getattr(label, key) for key in ("ece", "ece_cross_validated", "detections", "nodules")}
    scale = {"name": label.name, "slope": label.slope, "intercept": label.intercept, "residual": residual}
    document["labels"] = _tables([scale])
    document["points"] = _tables([_point(point) for point in points])
    return tomlkit.dumps(document)


def _cross_validated(flagged: Sequence[Flagged], score: Array, is_hit: Array) -> float:
    case = np.concatenate([np.full(len(item.score), item.case, object) for item in flagged])
    folds = min(FOLDS, len(set(case)))
    if folds < 2:
        raise CalibrationError("all detections are of one case, so nothing can be cross-validated; give more cases")
    out_of_fold = np.zeros(len(score))
    for inside, outside in need("sklearn.model_selection").GroupKFold(folds).split(score, is_hit, case):
        out_of_fold[outside] = fit_scale(score[inside], is_hit[inside]).of(score[outside])
    return expected_calibration_error(out_of_fold, is_hit)


def _point(point: OperatingPoint) -> dict[str, Any]:
    keys = ("name", "score", "sensitivity", "false_positives_per_frame", "alarms_per_negative_frame")
    return {key: getattr(point, key) for key in keys if getattr(point, key) is not None}


def _tables(items: Sequence[dict[str, Any]]) -> tomlkit.items.AoT:
    tables = tomlkit.aot()
    for item in items:
        tables.append(tomlkit.item(item))
    return tables


def _logit(score: Array) -> Array:
    clipped = np.clip(np.asarray(score, np.float64), _EDGE, 1.0 - _EDGE)
    return np.asarray(np.log(clipped) - np.log1p(-clipped))
