"""``usassist eval calibrate``: fit the score calibration, choose operating points, and write the score file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import tomlkit

from usassist.calibrate import LabelScale, OperatingPoint, ScoreCalibration
from usassist.engine import EngineSpec
from usassist.errors import CalibrationError
from usassist.evaluation.detection import MatchedDetections, expected_calibration_error, match_detections
from usassist.evaluation.engine_under_test import MIN_SCORE
from usassist.evaluation.extras import import_extra
from usassist.evaluation.operating_points import LIMITS, SENSITIVE, choose_points
from usassist.evaluation.tally import MIN_IOU, FrameTally

__all__ = ["FOLDS", "FittedCalibration", "Scale", "calibrate_scores", "calibration_toml", "fit_label", "fit_scale"]

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
        """Convert raw scores to calibrated ones, float64 (N,)."""
        return np.asarray(1.0 / (1.0 + np.exp(-(self.slope * _logit(score) + self.intercept))))


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedCalibration:
    """The fitted scaling, the chosen operating points, and the text of the score file."""

    label: LabelScale
    points: tuple[OperatingPoint, ...]
    text: str


def calibrate_scores(
    frames: Sequence[FrameTally],
    negatives: Sequence[FrameTally] | None,
    *,
    calibration_id: str,
    spec: EngineSpec,
    command: str,
    measured_on: date | None = None,
) -> FittedCalibration:
    """Fit the scaling on frames with nodules, then choose thresholds on all frames.

    Parameters
    ----------
    frames, negatives : with and without nodules, with raw scores; the second may be None
    calibration_id : name of the measurement
    spec : of the engine
    command : command line, for the file
    measured_on : None = today

    Raises
    ------
    CalibrationError
        If the frames do not allow a fit or a choice.
    """
    label = fit_label(frames, spec.labels[0].name)
    today = datetime.now(UTC).date() if measured_on is None else measured_on
    count = f"{len(frames)} frames of {len({frame.case for frame in frames})} cases"
    rest = "no frames without nodules" if negatives is None else f"{len(negatives)} frames without nodules"
    limits = "; ".join(
        f"{name}: most nodules with at most {false:g} false positives per frame"
        + ("" if negatives is None else f" and {alarms:g} alarms per frame without nodules")
        for name, (false, alarms) in LIMITS.items()
    )
    facts = {
        "calibration_id": calibration_id,
        "engine_id": spec.engine_id,
        "command": command,
        "method": (
            f"platt scaling on the logit of the centre score, of detections with a raw score of {MIN_SCORE:g} or "
            f"more on {count} with nodules; right = IoU of {MIN_IOU:g} or more with a nodule; cross-validated in up "
            f"to {FOLDS} folds of cases; points chosen on the same frames and {rest}; sensitive: highest threshold "
            f"with {SENSITIVE:g} of the nodules, or the most there are; {limits}"
        ),
        "valid_for": (
            "this engine on frames of the kind that it was fitted on; the share of detections that are right depends "
            "on how many frames show a nodule"
        ),
    }

    def calibrated(items: Sequence[FrameTally]) -> list[FrameTally]:
        return [dataclasses.replace(item, score=scale.calibrated(item.score, 0).astype(np.float64)) for item in items]

    scale = ScoreCalibration(labels=(label,), points={}, measured_on=today, measured_by="developer", **facts)
    points = choose_points(calibrated(frames), None if negatives is None else calibrated(negatives))
    text = calibration_toml(label=label, points=points, measured_on=today, **facts)
    return FittedCalibration(label=label, points=tuple(points), text=text)


def fit_scale(score: Array, is_hit: Array) -> Scale:
    """Platt scaling: a logistic regression of hit or miss on the logit of the raw score.

    As in Platt 1999 the targets are (n+ + 1) / (n+ + 2) and 1 / (n- + 2) instead of 1 and 0, so that scores which
    separate hits and misses perfectly do not give an infinite slope. Every detection occurs twice in the regression, as
    a hit and as a miss, weighted by its target.

    Parameters
    ----------
    score, is_hit : (N,) raw scores, 0 to 1, and whether each is a hit

    Raises
    ------
    CalibrationError
        If there are only hits or only misses, or the slope is not positive.
    UsageError
        If scikit-learn is not installed.
    """
    hits, misses = int(is_hit.sum()), int((~is_hit).sum())
    if hits == 0 or misses == 0:
        raise CalibrationError(
            f"a score cannot be fitted on {hits} correct and {misses} wrong detections; give more frames"
        )
    target = np.where(is_hit, (hits + 1) / (hits + 2), 1 / (misses + 2))
    model = import_extra("sklearn.linear_model").LogisticRegression(C=np.inf, tol=1e-8, max_iter=1000)
    x = np.tile(_logit(score), 2)[:, None]
    model.fit(x, np.repeat([1, 0], len(score)), sample_weight=np.concatenate([target, 1.0 - target]))
    slope = float(model.coef_[0, 0])
    if slope <= 0:
        raise CalibrationError(f"higher scores are not more often correct (slope {slope:.3g}); train the engine again")
    return Scale(slope=round(slope, _DIGITS), intercept=round(float(model.intercept_[0]), _DIGITS))


def fit_label(frames: Sequence[FrameTally], name: str) -> LabelScale:
    """Fit one label on frames with raw scores, with its error on the same frames and cross-validated by case.

    For the second error the cases are split into five folds (fewer if there are fewer cases); the detections of each
    fold are scaled as fitted on the others, and the error is computed over all of them.

    Parameters
    ----------
    frames : with raw scores
    name : of the label

    Raises
    ------
    CalibrationError
        If the frames are too few, see :func:`fit_scale`.
    """
    matched = [match_detections(frame) for frame in frames]
    score = np.concatenate([item.score for item in matched] or [np.zeros(0)])
    is_hit = np.concatenate([item.is_hit for item in matched] or [np.zeros(0, np.bool_)])
    scale = fit_scale(score, is_hit)
    return LabelScale(
        name=name,
        slope=scale.slope,
        intercept=scale.intercept,
        ece=round(expected_calibration_error(scale.of(score), is_hit), _DIGITS),
        ece_cross_validated=round(_cross_validated(matched, score, is_hit), _DIGITS),
        detections=len(score),
        nodules=sum(item.nodules for item in matched),
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
    """The text of a score file, as :func:`usassist.calibrate.load_score_calibration` reads it."""
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


def _cross_validated(matched: Sequence[MatchedDetections], score: Array, is_hit: Array) -> float:
    case = np.concatenate([np.full(len(item.score), item.case, object) for item in matched])
    folds = min(FOLDS, len(set(case)))
    if folds < 2:
        raise CalibrationError("all detections are of one case, so nothing can be cross-validated; give more cases")
    out_of_fold = np.zeros(len(score))
    for inside, outside in import_extra("sklearn.model_selection").GroupKFold(folds).split(score, is_hit, case):
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
