"""Lengths of nodules against their truth: how large the errors are, and how often the stated interval holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.evaluation.figures import figure_by_case
from usassist.evaluation.metrics import Figure

__all__ = ["SizeError", "draw_scale_error", "size_figures", "summarise_lengths"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeError:
    """A nodule on one frame that was found and measured, and is whole and shown as such.

    Attributes
    ----------
    truth_mm, measured_mm : longest diameter
    u95_mm : half-width of the stated 95 % interval
    """

    truth_mm: float
    measured_mm: float
    u95_mm: float

    @property
    def is_covered(self) -> bool:
        """Whether the stated interval holds the truth."""
        return abs(self.measured_mm - self.truth_mm) <= self.u95_mm


def draw_scale_error(rel_sd: float, seed: int) -> float:
    """A factor by which the scale of simulated frames is wrong, normally distributed with the stated uncertainty.

    With a scale that is exactly right, the intervals would hold too often.
    """
    return 1.0 + rel_sd * float(np.random.default_rng(seed).standard_normal())


def summarise_lengths(truth: Array, measured: Array, u95: Array) -> dict[str, float]:
    """Errors of lengths.

    Parameters
    ----------
    truth, measured, u95 : float (N,), in one unit

    Returns
    -------
    ``count``; ``bias``, mean of the relative error; ``p50`` and ``p90`` of its amount; ``abs_p50`` and ``abs_p90`` of
    the error's amount in the unit; ``coverage``, the share of the intervals that hold; ``half_width``, median of the
    relative half-width. NaN without lengths
    """
    if not len(truth):
        return {"count": 0} | dict.fromkeys(_STATISTICS, float("nan"))
    values = {name: float(statistic(truth, measured, u95)) for name, statistic in _STATISTICS.items()}
    return {"count": len(truth)} | values


def size_figures(errors: Sequence[tuple[str, SizeError]]) -> dict[str, Figure]:
    """Figures of the longest diameter, each with its interval by case.

    Parameters
    ----------
    errors : (case, error), of all nodules on all frames

    Returns
    -------
    ``diameter_error_mm_p50``, ``diameter_error_mm_p90`` : of the amount of the error
    ``diameter_error_rel_p50``, ``diameter_error_rel_p90`` : of the same relative to the truth
    ``diameter_mm_rel_bias`` : mean relative error
    ``diameter_u95_coverage`` : share of the stated 95 % intervals that hold
    ``diameter_u95_rel`` : median half-width of the intervals, relative to what was measured
    """
    by_case: dict[str, list[SizeError]] = {}
    for case, error in errors:
        by_case.setdefault(case, []).append(error)
    # Whole cases are resampled, so a case travels as one item with its arrays.
    items = [(case, _arrays(members)) for case, members in by_case.items()]

    def figure(name: str) -> Figure:
        def statistic(drawn: Sequence[Any]) -> float:
            if not len(drawn):
                return float("nan")
            return float(_STATISTICS[name](*np.concatenate(list(drawn), axis=1)))

        found = figure_by_case(items, statistic)
        return Figure(value=found.value, low=found.low, high=found.high, count=len(errors))

    return {key: figure(name) for key, name in _FIGURES.items()}


_STATISTICS: dict[str, Callable[[Array, Array, Array], Any]] = {
    "bias": lambda truth, measured, u95: np.mean(measured / truth - 1.0),
    "p50": lambda truth, measured, u95: np.percentile(np.abs(measured / truth - 1.0), 50),
    "p90": lambda truth, measured, u95: np.percentile(np.abs(measured / truth - 1.0), 90),
    "abs_p50": lambda truth, measured, u95: np.percentile(np.abs(measured - truth), 50),
    "abs_p90": lambda truth, measured, u95: np.percentile(np.abs(measured - truth), 90),
    "coverage": lambda truth, measured, u95: np.mean(np.abs(measured - truth) <= u95),
    "half_width": lambda truth, measured, u95: np.percentile(u95 / measured, 50),
}
_FIGURES = {
    "diameter_error_mm_p50": "abs_p50",
    "diameter_error_mm_p90": "abs_p90",
    "diameter_error_rel_p50": "p50",
    "diameter_error_rel_p90": "p90",
    "diameter_mm_rel_bias": "bias",
    "diameter_u95_coverage": "coverage",
    "diameter_u95_rel": "half_width",
}


def _arrays(errors: Sequence[SizeError]) -> Array:
    """Truth, measured and half-width, float64 (3, N)."""
    return np.array([(error.truth_mm, error.measured_mm, error.u95_mm) for error in errors], np.float64).T
