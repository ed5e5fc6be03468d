"""Figures of measured nodules against the truth, for ``tools.size_report``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist import FrameResult
from usassist.evaluation.metrics import iou
from usassist.evaluation.sizes import summarise_lengths
from usassist.evaluation.tally import MIN_IOU
from usassist.records import Measurements

__all__ = ["Comparison", "Truth", "compare", "lengths_of", "shape_of", "summarise"]

_SHAPE = ("solidity", "total_curvature")
_LENGTHS = ("major", "minor", "ap", "transverse", "equivalent")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """One nodule on one frame.

    Attributes
    ----------
    mask : bool (H, W), what is seen of it
    is_cut : the border of the scan cuts it
    lengths_mm : by name of the length
    shape : solidity and total curvature of `mask`
    """

    mask: npt.NDArray[np.bool_]
    is_cut: bool
    lengths_mm: dict[str, float]
    shape: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One nodule on one frame that was found.

    Attributes
    ----------
    frame : name of the frame
    is_cut, said_cut : whether the border of the scan cuts it, and whether the result states that
    truth_mm, measured_mm, u95_mm : by name of the length
    ap_t_low, ap_t_high, ap_t_state : as stated of the ratio
    truth_shape, measured_shape : solidity and total curvature
    """

    frame: str
    is_cut: bool
    said_cut: bool
    truth_mm: dict[str, float]
    measured_mm: dict[str, float]
    u95_mm: dict[str, float]
    ap_t_low: float
    ap_t_high: float
    ap_t_state: str | None
    truth_shape: dict[str, float]
    measured_shape: dict[str, float]

    @property
    def ap_t(self) -> float:
        """True ratio."""
        return self.truth_mm["ap"] / self.truth_mm["transverse"]

    @property
    def ap_t_error(self) -> float:
        """Error of the ratio, as the difference of logarithms."""
        return float(np.log(self.measured_mm["ap"] / self.measured_mm["transverse"] / self.ap_t))


def compare(frame: str, truth: list[Truth], result: FrameResult, factor: float = 1.0) -> list[Comparison]:
    """The nodules of a frame that were found.

    Parameters
    ----------
    frame : its name
    truth, result : of it; the result has sizes in mm
    factor : measured lengths are multiplied by it, to simulate an error of the scale
    """
    compared, masks = [], result.masks
    for nodule in truth:
        overlap = [iou(mask, nodule.mask) for mask in masks]
        if not overlap or max(overlap) < MIN_IOU:
            continue
        row = int(np.argmax(overlap))
        sizes = result.sizes
        state = sizes.ap_t_state(row)
        assert sizes.ap_t_low is not None  # the engine was given a scale
        assert sizes.ap_t_high is not None
        compared.append(
            Comparison(
                frame=frame,
                is_cut=nodule.is_cut,
                said_cut=sizes.is_cut(row),
                truth_mm=nodule.lengths_mm,
                measured_mm=lengths_of(sizes, row, "mm", factor),
                u95_mm=lengths_of(sizes, row, "u95_mm", factor),
                ap_t_low=float(sizes.ap_t_low[row]),
                ap_t_high=float(sizes.ap_t_high[row]),
                ap_t_state=None if state is None else str(state),
                truth_shape=nodule.shape,
                measured_shape=shape_of(sizes, row),
            )
        )
    return compared


def summarise(compared: list[Comparison]) -> dict[str, Any]:
    """Figures of the nodules that were found.

    Returns
    -------
    ``found`` : number of nodules
    ``whole`` : by name of the length what :func:`usassist.evaluation.sizes.summarise_lengths` gives, of nodules that
        are whole and shown as such; None without any
    ``thirds`` : of the same, the smallest, middle and largest third by true longest diameter: ``up_to``, ``bias`` and
        ``p90`` of its error
    ``ap_t`` : of the same: ``rel_sd``, root mean square of the error of its logarithm, ``coverage`` of the intervals,
        how many are stated as ``taller``, ``wider`` and ``uncertain``, and how many of the first two are ``right``
    ``shape`` : of the same: correlation of solidity and total curvature with those of the truth
    ``cut`` : ``seen``, ``missed`` and ``invented`` cuts, and ``bound_holds``, the share of the nodules shown as "at
        least" whose longest diameter is at least that
    """
    whole = [item for item in compared if not item.is_cut and not item.said_cut]
    lengths = {}
    for name in _LENGTHS:
        truth, measured, u95 = (
            np.array([getattr(item, field)[name] for item in whole]) for field in ("truth_mm", "measured_mm", "u95_mm")
        )
        found = summarise_lengths(truth, measured, u95)
        lengths[name] = {key: value if np.isfinite(value) else None for key, value in found.items()}
    states = [item.ap_t_state for item in whole]
    right = {"taller": lambda ratio: ratio > 1.0, "wider": lambda ratio: ratio < 1.0}
    mean_square = _mean(np.array([item.ap_t_error**2 for item in whole]))
    bounds = np.array([item.measured_mm["major"] <= item.truth_mm["major"] for item in compared if item.said_cut])
    return {
        "found": len(compared),
        "whole": lengths,
        "thirds": _thirds(whole),
        "ap_t": {
            "rel_sd": None if mean_square is None else round(float(np.sqrt(mean_square)), 4),
            "coverage": _mean(np.array([item.ap_t_low <= item.ap_t <= item.ap_t_high for item in whole])),
            **{state: states.count(state) for state in ("taller", "wider", "uncertain")},
            "right": sum(item.ap_t_state in right and right[item.ap_t_state](item.ap_t) for item in whole),
        },
        "shape": {name: _correlation(whole, name) for name in _SHAPE},
        "cut": {
            "seen": sum(item.is_cut and item.said_cut for item in compared),
            "missed": sum(item.is_cut and not item.said_cut for item in compared),
            "invented": sum(item.said_cut and not item.is_cut for item in compared),
            "bound_holds": _mean(bounds),
        },
    }


def lengths_of(sizes: Measurements, row: int, unit: str, factor: float = 1.0) -> dict[str, float]:
    """Lengths of one nodule by name, in a unit of the columns, times a factor."""
    return {name: factor * float(getattr(sizes, f"{name}_{unit}")[row]) for name in _LENGTHS}


def shape_of(sizes: Measurements, row: int) -> dict[str, float]:
    """Solidity and total curvature of one nodule."""
    return {name: float(getattr(sizes, name)[row]) for name in _SHAPE}


def _thirds(whole: list[Comparison]) -> list[dict[str, float | None]]:
    ordered = sorted((item.truth_mm["major"], item.measured_mm["major"]) for item in whole)
    thirds = []
    for part in np.array_split(np.array(ordered).reshape(-1, 2), 3):
        error = part[:, 1] / part[:, 0] - 1.0
        up_to = float(part[-1, 0]) if len(part) else None
        thirds.append({"up_to": up_to, "bias": _mean(error), "p90": _percentile(np.abs(error), 90)})
    return thirds


def _correlation(compared: list[Comparison], name: str) -> float | None:
    if len(compared) < 3:
        return None
    pairs = [(item.truth_shape[name], item.measured_shape[name]) for item in compared]
    return float(np.corrcoef(np.array(pairs).T)[0, 1])


def _mean(values: npt.NDArray[Any]) -> float | None:
    return float(values.mean()) if len(values) else None


def _percentile(values: npt.NDArray[Any], percent: float) -> float | None:
    return float(np.percentile(values, percent)) if len(values) else None
