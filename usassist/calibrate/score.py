"""Score files: the score calibration of an engine, and its operating points.

A file holds, per label, slope and intercept of the scaling in ``platt``, and operating points: named thresholds on the
calibrated score, with the performance measured there. It is TOML, belongs to one engine, weights included, and is never
edited; a new measurement is a new file. Its keys::

    schema = 2
    calibration_id = "thyroid_nodule_0.2.0_ddti_val"
    engine_id = "thyroid_nodule@0.2.0+0599db8f8336"
    measured_on = 2026-11-21            # date
    measured_by = "engineer"            # a role, never a name
    method = "how it was fitted"
    command = "the command that printed it"
    valid_for = "which images"

    [[labels]]                          # one per label of the engine, in its order
    name = "nodule"
    slope = 1.23                        # above 0, so that the order of scores is kept
    intercept = -0.4
    [labels.residual]
    ece = 0.02                          # expected calibration error on the frames of the fit, sets weighted alike
    ece_cross_validated = 0.04          # the same on held-out frames
    detections = 130
    nodules = 96

    [[points]]                          # `balanced` must be among them
    name = "balanced"
    score = 0.31                        # threshold on the calibrated score
    sensitivity = 0.97                  # share of the nodules that are found
    false_positives_per_frame = 0.2
    alarms_per_negative_frame = 0.03    # on frames without a nodule; optional
    [points.association]                # over the frames of a stream; optional, see ``association``
    [[points.sets]]                     # the same on every set: `sensitivity` and `false_positives_per_frame`,
    name = "ddti_val"                   # or `alarms_per_negative_frame` where no frame shows a nodule
    sensitivity = 0.97
    false_positives_per_frame = 0.2

    [[sets]]                            # that it was fitted on
    name = "ddti_val"
    truth = "masks"                     # or "boxes", "negative"
    frames = 65
    cases = 56
    nodules = 96
    detections = 130
    abstained = 0                       # frames on which the engine abstained; optional
    ece = 0.02                          # on this set; absent where it has no detections
    ece_left_out = 0.05                 # fitted on all other sets; absent where these allow no fit

A file of schema 1 has neither ``sets`` nor ``points.sets``, and is read as well.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Any

from usassist.calibrate.association import AssociationRule
from usassist.calibrate.platt import CalibrationSet, LabelScale, OperatingPoint, PointFigures, ScoreCalibration
from usassist.config import resource_dir
from usassist.errors import CalibrationError

__all__ = [
    "DEFAULT_POINT",
    "CalibrationSet",
    "LabelScale",
    "OperatingPoint",
    "PointFigures",
    "ScoreCalibration",
    "load_score_calibration",
]

DEFAULT_POINT = "balanced"

_TOP = {
    "schema": int,
    "calibration_id": str,
    "engine_id": str,
    "measured_on": date,
    "measured_by": str,
    "method": str,
    "command": str,
    "valid_for": str,
    "labels": list,
    "points": list,
}
_LABEL = {"name": str, "slope": float, "intercept": float, "residual": dict}
_RESIDUAL = {"ece": float, "ece_cross_validated": float, "detections": int, "nodules": int}
_POINT = {
    "name": str,
    "score": float,
    "sensitivity": float,
    "false_positives_per_frame": float,
    "alarms_per_negative_frame": float,
    "association": dict,
}
_OPTIONAL = {"alarms_per_negative_frame", "association"}
_POINT_FIGURES = {key: value for key, value in _POINT.items() if key not in ("score", "association")}
_ASSOCIATION = {"alone": float, "rise": float, "release": float, "frames": int, "iou": float}
_SET = {"name": str, "truth": str, "ece": float, "ece_left_out": float}
_SET |= dict.fromkeys(("frames", "cases", "nodules", "detections", "abstained"), int)
_TRUTHS = ("masks", "boxes", "negative")


def load_score_calibration(engine_id: str, folder: Path | None = None) -> ScoreCalibration | None:
    """Read the score file of an engine.

    Parameters
    ----------
    engine_id : weights included, as ``EngineSpec.engine_id`` gives it
    folder : of score files; None = the shipped ``calibration/score``

    Returns
    -------
    calibration : the latest by date of measurement; None when there is none for this engine

    Raises
    ------
    CalibrationError
        If a file cannot be read, or the engine's has a key that is missing, unknown, of the wrong type or out of range;
        also if two files for this engine were measured on the same day.
    """
    folder = resource_dir("calibration") / "score" if folder is None else folder
    found: list[tuple[ScoreCalibration, str]] = []
    for path in sorted(folder.glob("*.toml")):
        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CalibrationError(f"score calibration {path.name} cannot be read: {error}; fix the file") from error
        if not isinstance(document.get("engine_id"), str):
            raise CalibrationError(
                f"score calibration {path.name}: engine_id is missing or not a string; make it again"
            )
        if document["engine_id"] == engine_id:
            found.append((_calibration_from(document, f"score calibration {path.name}"), path.name))
    if not found:
        return None
    found.sort(key=lambda item: item[0].measured_on)
    newest = found[-1][0]
    rivals = [name for calibration, name in found if calibration.measured_on == newest.measured_on]
    if len(rivals) > 1:
        raise CalibrationError(
            f"score calibrations {' and '.join(rivals)} are both for {engine_id} and both measured on "
            f"{newest.measured_on}; remove all but one"
        )
    return newest


def _calibration_from(document: dict[str, Any], where: str) -> ScoreCalibration:
    schema = document.get("schema")
    if type(schema) is int and schema not in (1, 2):
        raise CalibrationError(f"{where} has schema {schema}, this usassist reads 1 and 2; update usassist")
    has_sets = schema == 2
    _check_keys(document, _TOP | ({"sets": list} if has_sets else {}), where)
    labels = tuple(_label_from(item, f"{where}, labels[{i}]") for i, item in enumerate(document["labels"]))
    sets = tuple(_set_from(item, f"{where}, sets[{i}]") for i, item in enumerate(document.get("sets", ())))
    points = [
        _point_from(item, f"{where}, points[{i}]", [item.name for item in sets] if has_sets else None)
        for i, item in enumerate(document["points"])
    ]
    for kind, names in (
        ("labels", [label.name for label in labels]),
        ("points", [point.name for point in points]),
        *((("sets", [item.name for item in sets]),) if has_sets else ()),
    ):
        if not names or len(set(names)) != len(names):
            raise CalibrationError(f"{where}: {kind} must have one entry or more, each with its own name, got {names}")
    if DEFAULT_POINT not in {point.name for point in points}:
        raise CalibrationError(f"{where}: points must hold one with the name {DEFAULT_POINT}; make the file again")
    texts = {key: value for key, value in document.items() if key not in ("schema", "labels", "points", "sets")}
    return ScoreCalibration(labels=labels, points={point.name: point for point in points}, sets=sets, **texts)


def _label_from(table: Any, where: str) -> LabelScale:
    _check_keys(table, _LABEL, where)
    _check_keys(table["residual"], _RESIDUAL, f"{where}, residual")
    if table["slope"] <= 0:
        raise CalibrationError(f"{where}: slope must be above 0, got {table['slope']}; fit it again")
    for key, high in (("ece", 1.0), ("ece_cross_validated", 1.0), ("detections", math.inf), ("nodules", math.inf)):
        _check_range(table["residual"], key, high, f"{where}, residual")
    return LabelScale(
        name=table["name"],
        slope=float(table["slope"]),
        intercept=float(table["intercept"]),
        **table["residual"],
    )


def _set_from(table: Any, where: str) -> CalibrationSet:
    _check_keys(table, _SET, where, optional={"abstained", "ece", "ece_left_out"})
    if table["truth"] not in _TRUTHS:
        raise CalibrationError(f"{where}: truth must be one of {', '.join(_TRUTHS)}, got {table['truth']!r}")
    for key in table.keys() - {"name", "truth"}:
        _check_range(table, key, 1.0 if key.startswith("ece") else math.inf, where)
    return CalibrationSet(**table)


def _point_from(table: Any, where: str, set_names: list[str] | None) -> OperatingPoint:
    """A point; `set_names` is None in a file of schema 1, whose points have no figures of sets."""
    keys = _POINT if set_names is None else _POINT | {"sets": list}
    _check_keys(table, keys, where, optional=_OPTIONAL)
    sets = tuple(_figures_from(item, f"{where}, sets[{i}]") for i, item in enumerate(table.get("sets", ())))
    if [item.name for item in sets] != (set_names or []):
        raise CalibrationError(f"{where}: sets must be {set_names}, got {[item.name for item in sets]}; make it again")
    figures = {key: float(value) for key, value in table.items() if key not in ("name", "association", "sets")}
    _check_figures(figures, where)
    rule = _association_from(table["association"], f"{where}, association") if "association" in table else None
    return OperatingPoint(name=table["name"], association=rule, sets=sets, **figures)


def _figures_from(table: Any, where: str) -> PointFigures:
    _check_keys(table, _POINT_FIGURES, where, optional=set(_POINT_FIGURES) - {"name"})
    _check_figures({key: value for key, value in table.items() if key != "name"}, where)
    return PointFigures(**table)


def _check_figures(figures: dict[str, Any], where: str) -> None:
    for key in figures:
        _check_range(figures, key, 1.0 if key in ("score", "sensitivity") else math.inf, where)


def _association_from(table: Any, where: str) -> AssociationRule:
    _check_keys(table, _ASSOCIATION, where)
    try:
        return AssociationRule(**{key: _ASSOCIATION[key](value) for key, value in table.items()})
    except CalibrationError as error:
        raise CalibrationError(f"{where}: {error}") from error


def _check_keys(table: Any, keys: dict[str, type], where: str, *, optional: Collection[str] = ()) -> None:
    """Check that a table has all keys, no unknown one, and finite values of the right type."""
    if not isinstance(table, dict):
        raise CalibrationError(f"{where} must be a table, got {table!r}; make the file again")
    unknown, missing = sorted(table.keys() - keys.keys()), sorted(keys.keys() - set(optional) - table.keys())
    if unknown or missing:
        raise CalibrationError(f"{where}: unknown keys {unknown}, missing keys {missing}; make the file again")
    for key, value in table.items():
        expected = keys[key]
        fits = type(value) is expected or (expected is float and type(value) is int)
        if not fits or (expected is float and not math.isfinite(value)):
            raise CalibrationError(f"{where}: {key} must be {expected.__name__}, got {value!r}; make the file again")


def _check_range(table: dict[str, Any], key: str, high: float, where: str) -> None:
    if not 0 <= table[key] <= high:
        limit = f"lie in 0 to {high:g}" if math.isfinite(high) else "not be negative"
        raise CalibrationError(f"{where}: {key} must {limit}, got {table[key]}; make the file again")
