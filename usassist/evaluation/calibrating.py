"""``usassist eval calibrate``: from frames with raw scores to the text of a file of calibration."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np

from usassist.calibrate import LabelScale, OperatingPoint, ScoreCalibration
from usassist.engine import EngineSpec
from usassist.evaluation.opening import LOWEST_SCORE
from usassist.evaluation.operating_points import LIMITS, SENSITIVE, choose_points
from usassist.evaluation.score_calibration import FOLDS, calibration_toml, fit_label
from usassist.evaluation.tally import MIN_IOU, FrameTally

__all__ = ["Fitted", "calibrate_scores"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What was fitted and chosen, and the file that says so."""

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
) -> Fitted:
    """Fit the score on the frames with nodules, then choose thresholds on all frames.

    Parameters
    ----------
    frames, negatives : with and without nodules, counted with raw scores; the second may be None
    calibration_id : name of the measurement
    spec : of the engine
    command : what is run
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
            f"platt scaling on the logit of the centre score, of detections with a raw score of {LOWEST_SCORE:g} or "
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
    return Fitted(label=label, points=tuple(points), text=text)
