"""Sizes of a nodule on one frame, over the frames near it, and of three diameters from two planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from usassist.clinical import Quantity as Measured
from usassist.clinical import volume_ml
from usassist.records import FrameLine
from usassist.session.summary.parts import ApT, Dimensions, NearBest, PlaneScore, Quantity, Section, Size, Spread
from usassist.session.summary.planes import PlaneAt
from usassist.sinks.plane_quality import NEAR_S

__all__ = ["SIZES", "describe_near", "describe_section", "find_dimensions"]

SIZES = {
    "longest_diameter": "major",
    "across": "minor",
    "ap": "ap",
    "transverse": "transverse",
    "equivalent_diameter": "equivalent",
    "area": "area",
}
"""Name in the document → name in the recording."""

_SPREAD = ("longest_diameter", "across", "ap", "transverse")


def describe_section(nodule: Mapping[str, Any], line: FrameLine, t_s: float, at: PlaneAt, score: PlaneScore) -> Section:
    """What was recorded of a nodule on one frame.

    Parameters
    ----------
    nodule : its object in a line of ``results.jsonl``
    line : of the frame
    t_s : when the frame was
    at : plane and side that were marked
    score : how good the plane is
    """
    return Section(
        frame_id=line.frame_id,
        t_s=round(t_s, 3),
        score=nodule["score"],
        box_xyxy_px=tuple(nodule["xyxy_px"]),
        cut=nodule.get("cut"),
        plane=at.plane,
        side=at.side,
        spacing_rc_mm=line.spacing_rc_mm,
        calibration_id=line.calibration_id if line.spacing_rc_mm is not None else None,
        sizes={name: _size(nodule, stem, 2 * (name == "area")) for name, stem in SIZES.items()},
        ap_t=_ap_t(nodule, at.plane),
        plane_score=score,
    )


def _size(nodule: Mapping[str, Any], stem: str, power: int) -> Size | None:
    unit = "" if not power else "2"
    px = nodule.get(f"{stem}_px{unit}")
    if px is None:
        return None
    return Size(px=px, mm=nodule.get(f"{stem}_mm{unit}"), u95_mm=nodule.get(f"{stem}_u95_mm{unit}"))


def _ap_t(nodule: Mapping[str, Any], plane: str | None) -> ApT | None:
    """None where it was not measured: in old recordings, and where the border cuts the nodule."""
    if nodule.get("ap_t") is None:
        return None
    state = nodule.get("ap_t_state")
    verdict: Any
    verdict = (
        "plane_not_marked" if plane is None else "not_transverse" if plane != "transverse" else state or "no_scale"
    )
    return ApT(value=nodule["ap_t"], low=nodule.get("ap_t_low"), high=nodule.get("ap_t_high"), verdict=verdict)


def describe_near(nodules: Sequence[Mapping[str, Any]]) -> NearBest:
    """Median and quartiles over the frames near the best plane.

    Parameters
    ----------
    nodules : what was recorded on the frames within :data:`NEAR_S` of it on which the nodule is not cut
    """
    unit = "mm" if nodules and all(item.get("major_mm") is not None for item in nodules) else "px"
    spreads = {}
    for name in _SPREAD:
        values = [item.get(f"{SIZES[name]}_{unit}") for item in nodules]
        known = np.array([value for value in values if value is not None], np.float64)
        if known.size:
            p25, median, p75 = (round(float(value), 3) for value in np.percentile(known, (25.0, 50.0, 75.0)))
            spreads[name] = Spread(unit=unit, median=median, p25=p25, p75=p75)  # type: ignore[arg-type]
    return NearBest(window_s=NEAR_S, frames=len(nodules), sizes=spreads)


def find_dimensions(longitudinal: Section | None, transverse: Section | None) -> Dimensions | None:
    """Three diameters, and the volume of the ellipsoid: the longest diameter in the longitudinal plane, transverse and
    AP extent in the transverse one. None where a plane is missing, cut, or has no scale.
    """
    if longitudinal is None or transverse is None:
        return None
    sizes = (
        longitudinal.sizes["longest_diameter"],
        transverse.sizes["transverse"],
        transverse.sizes["ap"],
    )
    diameters = [
        Measured(value=size.mm, u95=size.u95_mm)
        for size in sizes
        if size is not None and size.mm is not None and size.u95_mm is not None
    ]
    if longitudinal.cut or transverse.cut or len(diameters) < len(sizes):
        return None
    length, width, depth = diameters
    return Dimensions(
        length_mm=_rounded(length),
        width_mm=_rounded(width),
        depth_mm=_rounded(depth),
        volume_ml=_rounded(volume_ml(length, width, depth)),
        longitudinal_frame_id=longitudinal.frame_id,
        transverse_frame_id=transverse.frame_id,
    )


def _rounded(quantity: Measured) -> Quantity:
    return Quantity(value=round(quantity.value, 3), u95=round(quantity.u95, 3))
