"""What tells a vertebra from its neighbours: wings of the sacrum, ribs, iliac crest, lung bases."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.spine.canal import BONE_HU
from usassist.modalities.ct.spine.discs import BODY_FRONT_MM
from usassist.modalities.ct.spine.grid import STEP_MM
from usassist.modalities.ct.spine.straight import Curve

__all__ = ["Landmarks", "find_landmarks"]

FloatArray = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

_THICK_MM = 17.0  # thicker than any rib or iliac wing: kidneys, vessels and bowel with contrast medium
_THICK_HU = 110
_POLE_MM = 6.0
_RIB_HU = 170
_RIB_RADII_MM = ((44.0, 48.0, 52.0, 56.0), (60.0, 64.0, 68.0, 72.0))
_RIB_ANGLES_DEG = np.arange(-25.0, 66.0, 3.0)  # from straight to the side, towards the back
_RIB_TALLEST_MM = 34.0
_ILIUM_MM2 = 400.0
_LUNG_HU = -600


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Evidence for each vertebra, from below upwards, NaN where its place is not in the volume.

    Attributes
    ----------
    wing : float64 (N,), 0 to 1: bone from the body to both iliac wings, as S1 has it; NaN where there are no wings
    lean_deg : float64 (N,), forward lean of the canal
    ribs : float64 (N,), sides with a rib, 0 to 2; NaN unless both sides are in the volume
    crest_along : position on the curve of the iliac crest, mean of the sides; None = not found
    crest_is_cut : an iliac wing is in the volume, but reaches its upper end
    lung_along : position on the curve of the lowest lung behind; None = not found
    """

    wing: Float64Array
    lean_deg: Float64Array
    ribs: Float64Array
    crest_along: float | None
    crest_is_cut: bool
    lung_along: float | None


def find_landmarks(curve: Curve, centres: Float64Array, pitch_mm: Float64Array) -> Landmarks:
    """Look for all landmarks.

    Parameters
    ----------
    curve : along the canal
    centres : float64 (N,), positions of the vertebrae on the curve, from below upwards
    pitch_mm : float64 (N,), height of each with half of both discs
    """
    thin = _thin_bone(curve)
    crest, is_cut = _crest(curve, thin)
    ribs = _ribs(curve, thin, centres, pitch_mm)
    if crest is not None:
        ribs[centres < crest] = np.nan  # the wings cross the cylinders too
    wing = np.array([_wing(curve, along) for along in centres])
    if crest is None and not is_cut:
        wing[:] = np.nan  # kidneys with contrast medium can look like it; iliac wings are too thin to be mistaken
    return Landmarks(
        wing=wing,
        lean_deg=np.array([_lean_deg(curve, along) for along in centres]),
        ribs=ribs,
        crest_along=crest,
        crest_is_cut=is_cut,
        lung_along=_lung(curve),
    )


def _wing(curve: Curve, along: float) -> float:
    """How much a vertebra has beside it what S1 has: bone from its body to an iliac wing, on the side with less of it.

    The transverse process of L5 may be as broad as the wing of the sacrum, but muscle lies between it and the ilium.
    """
    steps = along + np.arange(-6.0, 7.0, 3.0)[:, None, None]
    sides = []
    for side in (-1.0, 1.0):
        front, left = np.arange(0.0, 22.0, 3.0)[None, :, None], side * np.arange(28.0, 69.0, 3.0)[None, None, :]
        part = curve.sample(steps, front + 0 * left, left + 0 * front)
        if np.isfinite(part).mean() < 0.8:
            return float("nan")
        reaches = np.nan_to_num(part, nan=0.0).mean(axis=0).max(axis=0) > BONE_HU
        sides.append(0.25 * float(reaches[:5].mean()) + 0.75 * float(reaches[5:].mean()))
    return min(sides)


def _lean_deg(curve: Curve, along: float) -> float:
    up = curve.up[int(np.clip(round(along), 0, len(curve.up) - 1))]
    return float(np.degrees(np.arctan2(-up[1], up[2])))


def _thin_bone(curve: Curve) -> UInt8Array:
    """Bone of the grid without what is thick there or within 6 mm above or below."""
    hu = curve.grid.hu
    thick = np.empty(hu.shape, np.uint8)
    size = int(_THICK_MM / STEP_MM) | 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    for z in range(hu.shape[0]):
        calm = (cv2.blur(hu[z].astype(np.float32), (3, 3)) > _THICK_HU).astype(np.uint8)
        thick[z] = cv2.dilate(cv2.morphologyEx(calm, cv2.MORPH_OPEN, kernel), np.ones((5, 5), np.uint8))
    result = np.empty(hu.shape, np.uint8)
    reach = int(_POLE_MM / STEP_MM)
    for z in range(hu.shape[0]):
        result[z] = (hu[z] > _RIB_HU) & (thick[max(z - reach, 0) : z + reach + 1].max(axis=0) == 0)
    return result


def _nearest(mask: UInt8Array, cells: Float64Array) -> npt.NDArray[np.int16]:
    """Values of the nearest cells; -1 beyond the grid."""
    at = np.rint(cells).astype(np.int32)
    limits = np.array(mask.shape[::-1])
    inside = ((at >= 0) & (at < limits)).all(axis=-1)
    at = np.clip(at, 0, limits - 1)
    return np.where(inside, mask[at[..., 2], at[..., 1], at[..., 0]], -1).astype(np.int16)


def _ribs(curve: Curve, thin: UInt8Array, centres: Float64Array, pitch_mm: Float64Array) -> Float64Array:
    """Sides on which a rib passes through two cylinders around the canal, beside each vertebra or a little below it."""
    along = np.arange(len(curve.xyz), dtype=np.float64)[:, None, None]
    angle = np.deg2rad(_RIB_ANGLES_DEG)[None, :, None]
    found = np.zeros(len(centres))
    for side in (-1.0, 1.0):
        spots: list[list[float]] = []
        seen: list[npt.NDArray[np.bool_]] = []
        for radii in _RIB_RADII_MM:
            radius = np.array(radii)[None, None, :]
            cells = curve.points(along, -radius * np.sin(angle), side * radius * np.cos(angle))
            values = _nearest(thin, cells)
            spots.append(_spots(np.asarray((values > 0).any(axis=2), np.uint8)))
            seen.append((values >= 0).mean(axis=(1, 2)) > 0.7)
        ribs = [z for z in spots[0] if any(-26.0 < outer - z < 8.0 for outer in spots[1])]
        visible = seen[0] & seen[1]
        for index, centre in enumerate(centres):
            low, high = centre - 0.55 * pitch_mm[index], centre + 0.45 * pitch_mm[index]
            if any(low < z <= high for z in ribs):
                found[index] += 1
            elif not visible[int(max(low, 0)) : int(high)].all() or high > len(visible) or low < 0:
                found[index] = np.nan
    return found


def _spots(picture: UInt8Array) -> list[float]:
    """Positions along the spine of the spots on an unrolled cylinder that are as small as a rib's cross-section."""
    count, _, stats, centres = cv2.connectedComponentsWithStats(picture)
    spots = []
    for index in range(1, count):
        tall, area = stats[index, cv2.CC_STAT_HEIGHT], stats[index, cv2.CC_STAT_AREA]
        if tall * 1.0 <= _RIB_TALLEST_MM and area >= 6:
            spots.append(float(centres[index, 1]))
    return spots


def _crest(curve: Curve, thin: UInt8Array) -> tuple[float | None, bool]:
    """Where the iliac wings end above: followed upwards from a plane in which they are large."""
    ends, cut = [], False
    _, _, columns = thin.shape
    for side in (-1, 1):
        end = _wing_end(curve, thin, side, columns)
        if end is not None:
            cut |= end >= thin.shape[0] - 1
            ends.append(end)
    if not ends or cut:
        return None, cut
    z = float(np.mean(ends))
    body = curve.points(np.arange(len(curve.xyz), dtype=np.float64), np.array(BODY_FRONT_MM), np.array(0.0))[:, 2]
    return float(np.interp(z, body, np.arange(len(body)))), False


def _wing_end(curve: Curve, thin: UInt8Array, side: int, columns: int) -> int | None:
    area = STEP_MM * STEP_MM
    kernel = np.ones((3, 3), np.uint8)
    current: UInt8Array | None = None
    large = 0
    z_canal, x_canal, y_canal = curve.xyz[:, 2], curve.xyz[:, 0], curve.xyz[:, 1]
    end: int | None = None
    for z in range(thin.shape[0]):
        x, y = float(np.interp(z, z_canal, x_canal)), float(np.interp(z, z_canal, y_canal))
        plane = np.zeros(thin.shape[1:], np.uint8)
        edge = int(np.clip(x + side * 42.0 / STEP_MM, 0, columns))
        rows = slice(max(int(y - 130 / STEP_MM), 0), max(int(y + 60 / STEP_MM), 0))
        columns_here = slice(edge, None) if side > 0 else slice(0, edge)
        plane[rows, columns_here] = thin[z][rows, columns_here]
        closed = cv2.morphologyEx(plane, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        count, labels, stats, _ = cv2.connectedComponentsWithStats(closed)
        if current is None or large < 4:
            big = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] * area >= _ILIUM_MM2]
            if big:
                largest = max(big, key=lambda k: int(stats[k, cv2.CC_STAT_AREA]))
                current, large = (labels == largest).astype(np.uint8), large + 1
            else:
                current, large = None, 0
            continue
        touched = np.unique(labels[cv2.dilate(current, kernel) > 0])
        kept = [int(k) for k in touched if k and stats[k, cv2.CC_STAT_AREA] >= 3]
        if not kept:
            return end if end is not None else z - 1
        current = np.isin(labels, kept).astype(np.uint8)
        if stats[kept, cv2.CC_STAT_AREA].sum() * area < 40.0:  # the last of the crest; a rib may touch it further up
            return z
        end = z
    return end if current is not None and large >= 4 else None


def _lung(curve: Curve) -> float | None:
    """The lowest lung beside and behind the bodies."""
    along = np.arange(len(curve.xyz), dtype=np.float64)[:, None]
    shares = []
    for side in (-1.0, 1.0):
        front = np.arange(-45.0, 16.0, 6.0)[None, :, None]
        left = side * np.arange(36.0, 96.0, 6.0)[None, None, :]
        part = curve.sample(along[:, :, None], front + 0 * left, left + 0 * front)
        shares.append((np.nan_to_num(part, nan=0.0) < _LUNG_HU).mean(axis=(1, 2)))
    ends = []
    for share in shares:
        is_lung = share > 0.05
        if is_lung[len(is_lung) // 2 :].any() and not is_lung[: len(is_lung) // 4].all():
            above = np.flatnonzero(~is_lung)
            top = int(np.flatnonzero(is_lung)[-1])
            below = above[above < top]
            if len(below):
                ends.append(float(below[-1]) + 1)
    return min(ends) if ends else None
