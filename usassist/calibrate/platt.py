"""Score calibration: Platt scaling per label, and the operating points of an engine.

The raw score of a detection is mapped to the share of such detections that are correct, by a logistic regression on its
logit (Platt 1999, "Probabilistic outputs for support vector machines", there on the raw output)::

    calibrated = sigmoid(slope * logit(raw) + intercept)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from usassist.calibrate.association import AssociationRule
from usassist.errors import CalibrationError, UsageError

__all__ = ["CalibrationSet", "LabelScale", "OperatingPoint", "PointFigures", "ScoreCalibration", "at_least"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def at_least(score: float) -> np.float32:
    """The smallest float32 that is not below `score`: a score of 0.08 as float32 lies a little below 0.08."""
    nearest = np.float32(score)
    return nearest if float(nearest) >= score else np.nextafter(nearest, np.float32(2.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class PointFigures:
    """The performance at an operating point on one of the sets of frames.

    Attributes
    ----------
    name : of the set
    sensitivity, false_positives_per_frame : as of :class:`OperatingPoint`; None for a set without nodules
    alarms_per_negative_frame : None for a set with nodules
    """

    name: str
    sensitivity: float | None = None
    false_positives_per_frame: float | None = None
    alarms_per_negative_frame: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """A named threshold, and the performance measured at it; on several sets, the mean of the sets.

    Attributes
    ----------
    name : ``sensitive``, ``balanced`` or ``quiet``, or another name in the file
    score : threshold on the calibrated score, 0 to 1
    sensitivity : share of the nodules that are found, 0 to 1
    false_positives_per_frame : detections that match no nodule, per frame
    alarms_per_negative_frame : the same on frames without a nodule; None = not measured
    sets : the same on every set; empty in a file of schema 1
    association : over the frames of a stream; None = each frame alone, which is what the figures were measured with
    """

    name: str
    score: float
    sensitivity: float
    false_positives_per_frame: float
    alarms_per_negative_frame: float | None = None
    sets: tuple[PointFigures, ...] = ()
    association: AssociationRule | None = None

    @property
    def min_score(self) -> np.float32:
        """`score` as the least score that reaches it, see ``at_least``."""
        return at_least(self.score)


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelScale:
    """The Platt scaling of one label.

    Attributes
    ----------
    name : of the label
    slope, intercept : of the logistic regression on the logit; the slope is positive
    ece, ece_cross_validated : expected calibration error, on the frames of the fit and on held-out frames
    detections, nodules : number of each in the fit
    """

    name: str
    slope: float
    intercept: float
    ece: float
    ece_cross_validated: float
    detections: int
    nodules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSet:
    """One of the sets of frames that a calibration was fitted on.

    Attributes
    ----------
    name : of the set
    truth : ``masks``, ``boxes``, or ``negative``: no frame shows a nodule
    frames, cases, nodules, detections : number of each
    abstained : frames on which the engine abstained; they have no detections, and their nodules are missed
    ece : expected calibration error on this set; None without detections
    ece_left_out : the same, fitted on all other sets; None where these allow no fit
    """

    name: str
    truth: str
    frames: int
    cases: int
    nodules: int
    detections: int
    abstained: int = 0
    ece: float | None = None
    ece_left_out: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCalibration:
    """The contents of one score file.

    Attributes
    ----------
    calibration_id : name of the measurement
    engine_id : the engine that it belongs to, weights included
    labels : one per label of the engine, in the order of its label ids
    points : name → operating point, in the order of the file; always contains ``balanced``
    measured_on, measured_by : date, and the role of the person
    method, command : how it was fitted, and the command that printed it
    valid_for : images for which the figures are valid
    sets : that it was fitted on; empty in a file of schema 1
    """

    calibration_id: str
    engine_id: str
    labels: tuple[LabelScale, ...]
    points: dict[str, OperatingPoint]
    measured_on: date
    measured_by: str
    method: str
    command: str
    valid_for: str
    sets: tuple[CalibrationSet, ...] = ()

    def point(self, name: str) -> OperatingPoint:
        """The operating point of that name.

        Raises
        ------
        UsageError
            If there is none; the message lists the known ones.
        """
        if name not in self.points:
            raise UsageError(f"no operating point {name} for {self.engine_id}; known: {', '.join(self.points)}")
        return self.points[name]

    def calibrated(self, score: npt.ArrayLike, label_id: int) -> Float32Array:
        """Convert raw scores to calibrated ones. Increasing; 0 stays 0 (a suppressed cell), and 1 stays 1.

        Parameters
        ----------
        score : float (N,), raw scores, 0 to 1
        label_id : of all of them

        Returns
        -------
        calibrated : float32 (N,), 0 to 1

        Raises
        ------
        CalibrationError
            If a score lies outside 0 to 1.
        """
        raw = np.asarray(score, np.float64)
        if not ((raw >= 0.0) & (raw <= 1.0)).all():
            raise CalibrationError("a raw score must lie in 0 to 1; fix the engine")
        scale = self.labels[label_id]
        return _sigmoid(scale.slope * _logit(raw) + scale.intercept).astype(np.float32)

    def raw_threshold(self, point_name: str, label_id: int) -> float:
        """The lowest raw score whose calibrated score reaches an operating point, see :meth:`raw_score`.

        Raises
        ------
        UsageError
            If there is no such point.
        """
        return self.raw_score(self.point(point_name).score, label_id)

    def raw_score(self, score: float, label_id: int) -> float:
        """The lowest raw score whose calibrated score reaches `score`: the inverse of `calibrated`.

        It is a float32, found by bisection instead of the formula, so that thresholding raw scores selects exactly the
        same detections as thresholding calibrated scores.
        """
        min_score = at_least(score)
        low, high = 0, int(np.float32(1.0).view(np.int32))  # the bits of a positive float32 increase with its value
        while low < high:
            middle = (low + high) // 2
            if self.calibrated(np.int32(middle).view(np.float32), label_id) >= min_score:
                high = middle
            else:
                low = middle + 1
        return float(np.int32(low).view(np.float32))

    def check_labels(self, names: Sequence[str]) -> None:
        """Check that the file has the engine's labels, in the same order.

        Parameters
        ----------
        names : of the engine's labels, by label id

        Raises
        ------
        CalibrationError
            If it has not.
        """
        own_names = [label.name for label in self.labels]
        if own_names != list(names):
            raise CalibrationError(
                f"score calibration {self.calibration_id} has the labels {own_names}, {self.engine_id} has "
                f"{list(names)}; calibrate the engine again"
            )


def _logit(share: Float64Array) -> Float64Array:
    """log(p / (1 - p)); minus infinity at 0 and infinity at 1."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(share) - np.log1p(-share), np.float64)


def _sigmoid(logit: Float64Array) -> Float64Array:
    """1 / (1 + exp(-z)), without overflow at either end."""
    small = np.exp(-np.abs(logit))
    return np.asarray(np.where(logit >= 0, 1.0, small) / (1.0 + small), np.float64)
