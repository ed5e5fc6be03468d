"""The inside of the skull in one plane of a head CT: what lies within the inner table.

Bone closes a ring around the brain in most planes. Small gaps, as foramina, sutures and burr holes, are closed; where a
piece of the skull is missing (craniotomy), the convex hull of the bone stands in for it, provided that bone lies around
most of the hull.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["find_inside"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
Float32Array = npt.NDArray[np.float32]

_BONE_HU = 300.0
_BODY_HU = -300.0
_AIR_HU = -200.0  # sinuses, and air after an operation
_GAP = 0.05  # of the side of the crop: the widest gap in the bone that is closed; about 12 mm of an adult head
_LEAST_SHARE = 0.3  # of the hull of the bone: with less, the ring is open
_SECTORS = 36
_LEAST_SECTORS = 0.6  # of the sectors in which there is bone near the hull, for a skull of which a piece is missing
_NEAR_HULL = 0.75  # of the distance from the centre to the hull
_LEAST_HULL = 0.05  # of the crop


def find_inside(crop: Float32Array) -> BoolArray:
    """What lies inside of the skull.

    Parameters
    ----------
    crop : float32 (Y, X), HU, around the head; square

    Returns
    -------
    inside : bool (Y, X); without bone, air and what is outside. Empty where there is no skull, as above the vertex and
        in the neck.
    """
    side = crop.shape[0]
    bone = (crop > _BONE_HU).astype(np.uint8)
    outline = _hull(bone)
    if outline is None:
        return np.zeros(crop.shape, np.bool_)
    hull = np.zeros(crop.shape, np.uint8)
    cv2.fillConvexPoly(hull, outline, 1)
    soft = (bone == 0) & (crop > _AIR_HU)
    enclosed: BoolArray = np.asarray(_enclosed(bone, max(round(_GAP * side), 3)) & soft, np.bool_)
    hull_px = int(hull.sum())
    if enclosed.sum() >= _LEAST_SHARE * hull_px:
        return enclosed
    if not _surrounds(bone, outline):
        return enclosed
    width = max(round(0.02 * side), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
    return np.asarray((cv2.erode(hull, kernel) > 0) & soft, np.bool_)


def _hull(bone: UInt8Array) -> npt.NDArray[np.int32] | None:
    """Corners of the convex hull of the bone, (N, 1, 2) x and y; None where there is next to no bone."""
    points = cv2.findNonZero(bone)
    if points is None:
        return None
    outline = np.asarray(cv2.convexHull(points), np.int32)
    return outline if cv2.contourArea(outline) >= _LEAST_HULL * bone.size else None


def _enclosed(bone: UInt8Array, gap_px: int) -> BoolArray:
    """What cannot be reached from the edge once gaps in the bone up to a width are closed."""
    margin = gap_px + 1
    padded = cv2.copyMakeBorder(bone, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=0)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap_px | 1, gap_px | 1))
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)
    cv2.floodFill(closed, None, (0, 0), (2,))
    inner = closed[margin:-margin, margin:-margin]
    return np.asarray(inner != 2, np.bool_)


def _surrounds(bone: UInt8Array, outline: npt.NDArray[np.int32]) -> bool:
    """Whether bone lies near the hull in most directions: it does in a skull, and not in a jaw and a neck."""
    points = outline[:, 0, :].astype(np.float64)
    moments = cv2.moments(outline)
    centre = np.array([moments["m10"], moments["m01"]]) / moments["m00"]
    rows, columns = np.nonzero(bone)
    reach = np.hypot(rows - centre[1], columns - centre[0])
    sector = _sector(columns - centre[0], rows - centre[1])
    steps = np.linspace(0.0, 1.0, 64, endpoint=False)[:, None]
    edge = np.concatenate([a + steps * (b - a) for a, b in zip(points, np.roll(points, -1, axis=0), strict=True)])
    limit = np.zeros(_SECTORS)
    np.maximum.at(limit, _sector(edge[:, 0] - centre[0], edge[:, 1] - centre[1]), np.hypot(*(edge - centre).T))
    near = reach >= _NEAR_HULL * limit[sector]
    return bool(len(np.unique(sector[near])) >= _LEAST_SECTORS * _SECTORS)


def _sector(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    turn = (np.arctan2(y, x) / (2.0 * np.pi)) % 1.0
    return np.minimum((turn * _SECTORS).astype(np.int64), _SECTORS - 1)
