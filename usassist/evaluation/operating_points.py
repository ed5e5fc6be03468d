"""Choose the operating points of an engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from usassist.calibrate import OperatingPoint
from usassist.errors import CalibrationError
from usassist.evaluation.detection import froc
from usassist.evaluation.tally import FrameTally

__all__ = ["SENSITIVE", "choose_points"]

Float64Array = npt.NDArray[np.float64]

SENSITIVE = 0.97
"""Target sensitivity of the point ``sensitive``."""
LIMITS = {"balanced": (0.10, 0.02), "quiet": (0.03, 0.005)}
"""Name → maximum false positives per frame with nodules, maximum alarms per frame without."""
_STEPS = 10**4


def choose_points(frames: Sequence[FrameTally], negatives: Sequence[FrameTally] | None) -> list[OperatingPoint]:
    """Choose ``sensitive``, ``balanced`` and ``quiet``, each with its measured performance.

    ``sensitive`` is the highest threshold that finds 97 % of the nodules, or as many as can be found. The other two
    find as many nodules as possible within their :data:`LIMITS`; of equals the highest threshold is chosen. A threshold
    is rounded down to four digits if that admits no further detection, so that small differences between back ends do
    not change results.

    Parameters
    ----------
    frames : with nodules; calibrated scores
    negatives : without nodules; None = the second limit is not applied

    Raises
    ------
    CalibrationError
        If there is nothing to choose from, or no threshold is within the limits.
    """
    alarms = np.concatenate([frame.score for frame in negatives or ()] or [np.zeros(0)])
    curve = froc(frames)
    if not len(curve.threshold) or not curve.nodules.sum():
        raise CalibrationError(
            "choosing a threshold needs detections and nodules, and one is missing; give more frames"
        )
    threshold = np.unique(np.concatenate([curve.threshold, alarms]))[::-1]
    # Between two scores of the frames the figures are constant: each threshold has those of the next higher score.
    place = np.searchsorted(-curve.threshold, -threshold, side="right")
    sensitivity = np.concatenate([[0.0], curve.sensitivity])[place]
    rate = np.concatenate([[0.0], curve.false_positives_per_frame])[place]
    per_negative = (
        None if negatives is None else (alarms[None, :] >= threshold[:, None]).sum(1) / max(1, len(negatives))
    )

    def point(name: str, index: int) -> OperatingPoint:
        return OperatingPoint(
            name=name,
            score=_round_down(threshold, index),
            sensitivity=round(float(sensitivity[index]), 4),
            false_positives_per_frame=round(float(rate[index]), 4),
            alarms_per_negative_frame=None if per_negative is None else round(float(per_negative[index]), 4),
        )

    target = min(SENSITIVE, float(sensitivity.max()))
    points = [point("sensitive", int(np.argmax(sensitivity >= target)))]
    for name, (max_false, max_alarms) in LIMITS.items():
        allowed = rate <= max_false
        if per_negative is not None:
            allowed &= per_negative <= max_alarms
        reached = np.where(allowed, sensitivity, -1.0)
        best = int(np.argmax(reached))  # the first of equals is the highest threshold
        if reached[best] <= 0:
            raise CalibrationError(
                f"no threshold finds a nodule with at most {max_false:g} false positives per frame"
                + (f" and {max_alarms:g} alarms per frame without nodules" if per_negative is not None else "")
                + f", so the point {name} cannot be chosen; train the engine again"
            )
        points.append(point(name, best))
    return points


def _round_down(threshold: Float64Array, index: int) -> float:
    score = float(threshold[index])
    lower = float(threshold[index + 1]) if index + 1 < len(threshold) else -1.0
    rounded = float(np.floor(score * _STEPS) / _STEPS)
    return rounded if rounded > lower else score
