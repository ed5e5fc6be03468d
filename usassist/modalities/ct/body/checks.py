"""Geometry as a check on the engine: is the body whole in the picture, and is what was found a wall around a cavity?

These do not correct anything. They say when areas are only bounds, or are better looked at before they are used.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.body.tissues import COMPARTMENT_OF, Compartment, Tissue

__all__ = ["PlaneChecks", "check_plane", "compartments_of"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

_EDGE_MM = 12.0  # of the body's outline on the edge of the picture
_EDGE_PX = 1.6  # from the edge of a round field of view
_ROUND_SHARE = 0.97  # of what lies outside a round field of view has one value
_OPEN_SHARE = 0.22  # of the border of the cavity without muscle or bone between it and the subcutaneous fat
_ASYMMETRY = 0.3
_CAVITY_SHARE = (0.08, 0.85)  # of the body
_MUSCLE_SHARE = 0.04  # of the body, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneChecks:
    """What geometry says about one plane.

    Attributes
    ----------
    edge_mm : length of the body's outline that lies on the edge of the field of view
    is_cut_off : the body is not whole in the picture, so areas are lower bounds
    open_share : of the border of the cavity, where no muscle or bone lies between it and the subcutaneous fat
    asymmetry : of the muscle left and right of the middle of the body, 0 to 1
    doubts : why the plane should be looked at, one clause each
    """

    edge_mm: float
    is_cut_off: bool
    open_share: float
    asymmetry: float
    doubts: tuple[str, ...]


def compartments_of(labels: UInt8Array) -> UInt8Array:
    """Compartments of a labelmap: each tissue lies in one."""
    table = np.zeros(256, np.uint8)
    for tissue, compartment in COMPARTMENT_OF.items():
        table[tissue + 1] = compartment
    return table[labels]


def check_plane(
    labels: UInt8Array, plane_hu: npt.NDArray[np.generic], spacing_yx_mm: tuple[float, float]
) -> PlaneChecks:
    """Check one plane.

    Parameters
    ----------
    labels : uint8 (Y, X), 0 or tissue + 1, rows to the back
    plane_hu : int16 or float32 (Y, X)
    spacing_yx_mm : of the plane
    """
    found = compartments_of(labels)
    body = found > 0
    edge_mm = _on_edge_mm(body, np.asarray(plane_hu), spacing_yx_mm)
    is_cut_off = edge_mm >= _EDGE_MM
    pixels = max(int(body.sum()), 1)
    muscle, cavity = labels == Tissue.SKELETAL_MUSCLE + 1, found == Compartment.CAVITY
    open_share = _open_share(found, spacing_yx_mm)
    asymmetry = _asymmetry(body, muscle)
    doubts = []
    if is_cut_off:
        doubts.append(f"the body reaches the edge of the picture over {edge_mm:.0f} mm: areas are lower bounds")
    if open_share > _OPEN_SHARE:
        doubts.append(f"no wall was found over {open_share:.0%} of the border of the cavity")
    if asymmetry > _ASYMMETRY:
        doubts.append(f"muscle differs by {asymmetry:.0%} between left and right")
    share = float(cavity.sum()) / pixels
    if not _CAVITY_SHARE[0] <= share <= _CAVITY_SHARE[1]:
        doubts.append(f"the cavity takes {share:.0%} of the body")
    if float(muscle.sum()) / pixels < _MUSCLE_SHARE:
        doubts.append(f"muscle takes {float(muscle.sum()) / pixels:.1%} of the body")
    if not (found == Compartment.BONE).any():
        doubts.append("no bone was found")
    return PlaneChecks(
        edge_mm=edge_mm, is_cut_off=is_cut_off, open_share=open_share, asymmetry=asymmetry, doubts=tuple(doubts)
    )


def _on_edge_mm(body: BoolArray, hu: npt.NDArray[np.generic], spacing_yx_mm: tuple[float, float]) -> float:
    """Length of the body's outline on the border of the plane, and on that of a round field of view."""
    dy, dx = spacing_yx_mm
    straight = float(body[[0, -1]].sum()) * dx + float(body[:, [0, -1]].sum()) * dy
    height, width = body.shape
    y, x = np.ogrid[:height, :width]
    radius = min(height, width) / 2.0
    distance = np.hypot(y - (height - 1) / 2.0, x - (width - 1) / 2.0)
    outside = distance > radius + 1.0
    padding = hu[0, 0]
    if not outside.any() or float((hu[outside] == padding).mean()) < _ROUND_SHARE or float(padding) > -900.0:
        return straight
    ring = body & (distance > radius - _EDGE_PX) & (distance <= radius + 1.0)
    return straight + float(ring.sum()) / (_EDGE_PX + 1.0) * float(np.sqrt(dy * dx))


def _open_share(found: UInt8Array, spacing_yx_mm: tuple[float, float]) -> float:
    """Share of the outer border of the cavity that lies within 3 mm of the subcutaneous compartment."""
    reach = 2 * max(1, round(3.0 / max(spacing_yx_mm))) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    outer = cv2.dilate((found == Compartment.SUBCUTANEOUS).astype(np.uint8), kernel) > 0
    cavity = (found == Compartment.CAVITY).astype(np.uint8)
    contours, _ = cv2.findContours(cavity, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return 0.0
    points = max(contours, key=len)[:, 0]
    return float(outer[points[:, 1], points[:, 0]].mean())


def _asymmetry(body: BoolArray, muscle: BoolArray) -> float:
    columns = np.flatnonzero(body.any(axis=0))
    if not len(columns) or not muscle.any():
        return 0.0
    counts = muscle.sum(axis=0)
    middle = (columns[0] + columns[-1] + 1) // 2
    one, other = float(counts[:middle].sum()), float(counts[middle:].sum())
    return abs(one - other) / max(one + other, 1.0)
