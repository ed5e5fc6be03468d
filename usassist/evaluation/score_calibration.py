"""``usassist eval calibrate``: fit the score calibration, choose operating points, and write the score file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import tomlkit

from usassist.calibrate import CalibrationSet, LabelScale, OperatingPoint, ScoreCalibration
from usassist.engine import EngineSpec
from usassist.errors import CalibrationError
from usassist.evaluation.detection import expected_calibration_error
from usassist.evaluation.engine_under_test import MIN_SCORE
from usassist.evaluation.operating_points import choose_points, describe_limits, same_points
from usassist.evaluation.score_scale import (
    FOLDS,
    Pool,
    Scale,
    TalliedSet,
    cross_validate,
    fit_scale,
    leave_one_out,
    pool_sets,
)
from usassist.evaluation.tally import MIN_IOU

__all__ = ["FittedCalibration", "calibrate_scores", "calibration_toml", "fit_sets"]

_DIGITS = 6
_FACTS = ("calibration_id", "engine_id", "measured_on", "measured_by", "method", "command", "valid_for")
_TRUTHS = {"masks": "masks of nodules", "boxes": "boxes of nodules", "negative": "no nodule"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedCalibration:
    """The fitted scaling with its operating points, the text of the score file, and what is to be said about it.

    Attributes
    ----------
    calibration, text : the same content
    notes : of operating points that coincide, one line each
    """

    calibration: ScoreCalibration
    text: str
    notes: tuple[str, ...]


def calibrate_scores(
    sets: Sequence[TalliedSet],
    *,
    calibration_id: str,
    spec: EngineSpec,
    command: str,
    measured_on: date | None = None,
) -> FittedCalibration:
    """Fit the scaling on all sets, then choose thresholds on all sets; every set counts as much as any other.

    Parameters
    ----------
    sets : with raw scores, one with nodules at least
    calibration_id : name of the measurement
    spec : of the engine
    command : command line, for the file
    measured_on : None = today

    Raises
    ------
    CalibrationError
        If the frames do not allow a fit or a choice.
    """
    label, of_sets = fit_sets(sets, spec.labels[0].name)
    limits = describe_limits(with_negatives=any(item.is_negative for item in sets))
    described = "; ".join(
        f"{item.name}: {item.frames} frames of {item.cases} cases, {_TRUTHS[item.truth]}" for item in of_sets
    )
    method = (
        f"platt scaling on the logit of the centre score, of detections with a raw score of {MIN_SCORE:g} or more on "
        f"{described}; a frame weighs inversely to the number of frames of its set; right = IoU of {MIN_IOU:g} or more "
        f"with a nodule; cross-validated in up to {FOLDS} folds of cases; points chosen on the same frames, with means "
        f"over the sets; {limits}"
    )
    scaled = ScoreCalibration(
        calibration_id=calibration_id,
        engine_id=spec.engine_id,
        labels=(label,),
        points={},
        measured_on=datetime.now(UTC).date() if measured_on is None else measured_on,
        measured_by="developer",
        method=method,
        command=command,
        valid_for=(
            "this engine on frames of the kinds that it was fitted on; the share of detections that are right depends "
            "on how many frames show a nodule"
        ),
        sets=of_sets,
    )
    points = choose_points([_with_calibrated_scores(item, scaled) for item in sets])
    notes = same_points(points)
    calibration = dataclasses.replace(
        scaled, points={point.name: point for point in points}, method="; ".join([method, *notes])
    )
    return FittedCalibration(calibration=calibration, text=calibration_toml(calibration), notes=tuple(notes))


def fit_sets(sets: Sequence[TalliedSet], name: str) -> tuple[LabelScale, tuple[CalibrationSet, ...]]:
    """Fit one label on all sets, with the calibration error on all of them, cross-validated by case, and on each set.

    Parameters
    ----------
    sets : with raw scores
    name : of the label

    Raises
    ------
    CalibrationError
        If the frames are too few, see :func:`usassist.evaluation.score_scale.fit_scale`.
    """
    if all(item.is_negative for item in sets):
        raise CalibrationError("a calibration needs frames with nodules, and all sets are negative; add a set")
    pool = pool_sets(sets)
    scale = fit_scale(pool.score, pool.is_hit, pool.weight)
    label = LabelScale(
        name=name,
        slope=scale.slope,
        intercept=scale.intercept,
        ece=round(expected_calibration_error(scale.of(pool.score), pool.is_hit, pool.weight), _DIGITS),
        ece_cross_validated=round(expected_calibration_error(cross_validate(pool), pool.is_hit, pool.weight), _DIGITS),
        detections=len(pool.score),
        nodules=sum(_nodules(item) for item in sets),
    )
    return label, tuple(_describe(item, index, pool, scale) for index, item in enumerate(sets))


def calibration_toml(calibration: ScoreCalibration) -> str:
    """The text of a score file, as :func:`usassist.calibrate.load_score_calibration` reads it."""
    document = tomlkit.document()
    document["schema"] = 2
    for key in _FACTS:
        document[key] = getattr(calibration, key)
    labels = []
    for label in calibration.labels:
        residual = {key: getattr(label, key) for key in ("ece", "ece_cross_validated", "detections", "nodules")}
        scale = {"name": label.name, "slope": label.slope, "intercept": label.intercept}
        labels.append(scale | {"residual": residual})
    document["labels"] = _tables(labels)
    document["points"] = _tables([_point(point) for point in calibration.points.values()])
    document["sets"] = _tables([_known(item) for item in calibration.sets])
    return tomlkit.dumps(document)


def _with_calibrated_scores(tallied: TalliedSet, calibration: ScoreCalibration) -> TalliedSet:
    frames = (
        dataclasses.replace(frame, score=calibration.calibrated(frame.score, 0).astype(np.float64))
        for frame in tallied.frames
    )
    return dataclasses.replace(tallied, frames=tuple(frames))


def _nodules(tallied: TalliedSet) -> int:
    return sum(len(frame.nodule_px) for frame in tallied.frames)


def _describe(tallied: TalliedSet, index: int, pool: Pool, scale: Scale) -> CalibrationSet:
    own = pool.set_index == index
    left_out = leave_one_out(pool, index)
    return CalibrationSet(
        name=tallied.name,
        truth=tallied.truth,
        frames=len(tallied.frames),
        cases=len({frame.case for frame in tallied.frames}),
        nodules=_nodules(tallied),
        detections=int(own.sum()),
        abstained=sum(frame.abstained for frame in tallied.frames),
        ece=(
            round(expected_calibration_error(scale.of(pool.score[own]), pool.is_hit[own]), _DIGITS)
            if own.any()
            else None
        ),
        ece_left_out=None if left_out is None else round(left_out, _DIGITS),
    )


def _point(point: OperatingPoint) -> dict[str, Any]:
    table = _known(point)
    table.pop("sets")
    return table | {"sets": _tables([_known(figures) for figures in point.sets])}


def _known(item: Any) -> dict[str, Any]:
    """The attributes that are not None, in their order."""
    values = {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}
    return {key: value for key, value in values.items() if value is not None}


def _tables(items: Sequence[dict[str, Any]]) -> tomlkit.items.AoT:
    tables = tomlkit.aot()
    for item in items:
        tables.append(tomlkit.item(item))
    return tables
