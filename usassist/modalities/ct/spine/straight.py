"""The spine laid out along its canal: axes that follow its curves, and pictures in those axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.spine.canal import CanalTrack
from usassist.modalities.ct.spine.grid import WorkGrid

__all__ = ["ALONG_MM", "Curve", "make_curve"]

FloatArray = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

ALONG_MM = 1.0
"""Distance of neighbouring positions on the curve."""

_BEYOND_MM = 28.0  # the canal is followed further than it was found, straight on
_STIFF_MM = 10.0  # directions are smoothed over about this length


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The middle of the canal every mm, from below upwards, with three unit vectors at each place.

    Attributes
    ----------
    grid : in whose cells points are given
    xyz : float64 (N, 3), cells
    up, front, left : float64 (N, 3), unit vectors in mm
    mm_per_cell : float64 (3,), x, y, z
    """

    grid: WorkGrid
    xyz: Float64Array
    up: Float64Array
    front: Float64Array
    left: Float64Array
    mm_per_cell: Float64Array

    def points(self, along: Float64Array, front_mm: Float64Array, left_mm: Float64Array) -> Float64Array:
        """Cells (..., 3) of points given along the curve (index, may be a fraction) and beside it; arrays broadcast."""
        at = np.asarray(along, np.float64)
        index = np.arange(len(self.xyz))
        base, front, left = (
            np.stack([np.interp(at, index, table[:, axis]) for axis in range(3)], axis=-1)
            for table in (self.xyz, self.front, self.left)
        )
        beside = front * np.asarray(front_mm)[..., None] + left * np.asarray(left_mm)[..., None]
        return np.asarray(base + beside / self.mm_per_cell)

    def sample(self, along: Float64Array, front_mm: Float64Array, left_mm: Float64Array) -> FloatArray:
        """HU at such points, NaN beyond the volume."""
        return self.grid.sample(self.points(along, front_mm, left_mm))

    def to_lps_mm(self, along: float, front_mm: float, left_mm: float = 0.0) -> tuple[float, float, float]:
        """Millimetres in the patient of one such point."""
        cell = self.points(np.array(along), np.array(front_mm), np.array(left_mm))
        x, y, z = (self.grid.to_lps_mm @ np.append(cell, 1.0))[:3].tolist()
        return x, y, z


def make_curve(grid: WorkGrid, track: CanalTrack) -> Curve:
    """Axes along a canal."""
    mm = np.linalg.norm(grid.to_lps_mm[:3, :3], axis=0)
    points = track.xyz * mm
    first, last = _direction(points[:16]), _direction(points[-16:])
    beyond = np.arange(1, int(_BEYOND_MM / ALONG_MM) + 1)[:, None] * ALONG_MM
    points = np.concatenate([points[0] - beyond[::-1] * first, points, points[-1] + beyond * last])
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    even = np.arange(0.0, length[-1], ALONG_MM)
    xyz = np.stack([np.interp(even, length, points[:, axis]) for axis in range(3)], axis=-1)
    up = _unit(np.stack([_blurred(np.gradient(xyz[:, axis]), _STIFF_MM / ALONG_MM) for axis in range(3)], axis=-1))
    back = np.array([0.0, 1.0, 0.0])
    front = _unit(-(back - (up @ back)[:, None] * up))
    return Curve(grid, xyz / mm, up, front, _unit(np.cross(up, front)), mm)


def _direction(points: Float64Array) -> Float64Array:
    step = points[-1] - points[0]
    return np.asarray(step / max(float(np.linalg.norm(step)), 1e-9))


def _unit(vectors: Float64Array) -> Float64Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _blurred(values: Float64Array, sigma: float) -> Float64Array:
    reach = int(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
