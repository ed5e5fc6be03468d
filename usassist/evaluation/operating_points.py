"""Choose the operating points of an engine."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt

from usassist.calibrate import OperatingPoint, PointFigures
from usassist.errors import CalibrationError
from usassist.evaluation.detection import froc
from usassist.evaluation.score_scale import TalliedSet

__all__ = ["LIMITS", "choose_points", "describe_limits", "same_points"]

Float64Array = npt.NDArray[np.float64]

LIMITS = {"sensitive": (0.30, 0.10), "balanced": (0.12, 0.05), "quiet": (0.03, 0.005)}
"""Name → maximum false positives per frame with nodules, maximum alarms per frame without; means over the sets."""
_STEPS = 10**4


def choose_points(sets: Sequence[TalliedSet]) -> list[OperatingPoint]:
    """Choose ``sensitive``, ``balanced`` and ``quiet``, each with its measured performance.

    Each finds as many nodules as possible within its :data:`LIMITS`; of equals the highest threshold is chosen. With
    several sets, the share of nodules found and the false positives per frame are means over the sets with nodules, and
    the alarms per frame are the mean over the sets without: every set counts as much as any other. A threshold is
    rounded down to four digits if that admits no further detection, so that small differences between back ends do not
    change results.

    Parameters
    ----------
    sets : with calibrated scores; without a negative one the second limit is not applied

    Raises
    ------
    CalibrationError
        If there is nothing to choose from, or no threshold is within the limits.
    """
    curves = [_Curve(item) for item in sets]
    marked, negative = ([curve for curve in curves if curve.is_negative == kind] for kind in (False, True))
    if not marked or any(not curve.has_nodules for curve in marked) or not any(len(curve.score) for curve in marked):
        raise CalibrationError(
            "choosing a threshold needs detections and nodules, and one is missing; give more frames"
        )
    threshold = np.unique(np.concatenate([curve.score for curve in curves]))[::-1]
    found = np.mean([curve.found(threshold) for curve in marked], axis=0)
    wrong = np.mean([curve.wrong(threshold) for curve in marked], axis=0)
    alarms = np.mean([curve.wrong(threshold) for curve in negative], axis=0) if negative else np.zeros(len(threshold))
    points = []
    for name, (max_wrong, max_alarms) in LIMITS.items():
        # Means of floats: a limit that is met exactly must not fail by a rounding error.
        within = (wrong <= max_wrong + 1e-12) & (alarms <= max_alarms + 1e-12)
        reached = np.round(np.where(within, found, -1.0), 12)
        best = int(np.argmax(reached))  # the first of equals is the highest threshold
        if reached[best] <= 0:
            raise CalibrationError(
                f"no threshold finds a nodule with at most {max_wrong:g} false positives per frame"
                + (f" and {max_alarms:g} alarms per frame without nodules" if negative else "")
                + f", so the point {name} cannot be chosen; train the engine again"
            )
        points.append(
            OperatingPoint(
                name=name,
                score=_round_down(threshold, best),
                sensitivity=round(float(found[best]), 4),
                false_positives_per_frame=round(float(wrong[best]), 4),
                alarms_per_negative_frame=round(float(alarms[best]), 4) if negative else None,
                sets=tuple(curve.figures(float(threshold[best])) for curve in curves),
            )
        )
    return points


def describe_limits(*, with_negatives: bool) -> str:
    """The rules of :data:`LIMITS` in words."""
    return "; ".join(
        f"{name}: most nodules with at most {wrong:g} false positives per frame"
        + (f" and {alarms:g} alarms per frame without nodules" if with_negatives else "")
        for name, (wrong, alarms) in LIMITS.items()
    )


def same_points(points: Sequence[OperatingPoint]) -> list[str]:
    """A line for every two points that have the same threshold."""
    return [
        f"{first.name} and {second.name} have the same threshold: more false positives find no more nodules"
        for first, second in combinations(points, 2)
        if first.score == second.score
    ]


class _Curve:
    """What one set gives at every threshold."""

    def __init__(self, tallied: TalliedSet) -> None:
        curve = froc(tallied.frames)
        self.name = tallied.name
        self.is_negative = tallied.is_negative
        self.has_nodules = bool(curve.nodules.sum())
        self.score = curve.threshold
        self._found = np.concatenate([[0.0], curve.sensitivity])
        self._wrong = np.concatenate([[0.0], curve.false_positives_per_frame])

    def found(self, threshold: npt.ArrayLike) -> Float64Array:
        """Share of the nodules found: between two scores of the set it is that of the higher one."""
        return np.asarray(self._found[np.searchsorted(-self.score, -np.asarray(threshold), side="right")])

    def wrong(self, threshold: npt.ArrayLike) -> Float64Array:
        """Detections that match no nodule, per frame."""
        return np.asarray(self._wrong[np.searchsorted(-self.score, -np.asarray(threshold), side="right")])

    def figures(self, threshold: float) -> PointFigures:
        """The figures at one threshold."""
        wrong = round(float(self.wrong(threshold)), 4)
        if self.is_negative:
            return PointFigures(name=self.name, alarms_per_negative_frame=wrong)
        found = round(float(self.found(threshold)), 4)
        return PointFigures(name=self.name, sensitivity=found, false_positives_per_frame=wrong)


def _round_down(threshold: Float64Array, index: int) -> float:
    score = float(threshold[index])
    lower = float(threshold[index + 1]) if index + 1 < len(threshold) else -1.0
    rounded = float(np.floor(score * _STEPS) / _STEPS)
    return rounded if rounded > lower else score
