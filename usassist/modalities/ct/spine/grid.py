"""A volume on a coarse grid along the patient's axes: what the level finder works on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import VolumeError
from usassist.volumes import Volume

__all__ = ["STEP_MM", "WorkGrid", "make_grid"]

FloatArray = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

STEP_MM = 2.0
"""Edge of a cell."""

_LOWEST_HU, _HIGHEST_HU = -1024, 3071
_MAX_CELLS = 60_000_000


@dataclass(frozen=True, slots=True, eq=False)
class WorkGrid:
    """HU on cells of 2 mm; z to the head, y to the back, x to the patient's left.

    Attributes
    ----------
    hu : int16 (Z, Y, X)
    to_lps_mm : float64 (4, 4), cell (x, y, z, 1) → mm
    to_voxel : float64 (4, 4), cell (x, y, z, 1) → voxel (i, j, k, 1) of the volume
    """

    hu: npt.NDArray[np.int16]
    to_lps_mm: Float64Array
    to_voxel: Float64Array

    def sample(self, points_xyz: Float64Array) -> FloatArray:
        """HU at points (..., 3) in cells, linear between cells; beyond the grid NaN."""
        depth, rows, columns = self.hu.shape
        x, y, z = points_xyz[..., 0], points_xyz[..., 1], points_xyz[..., 2]
        inside = (x >= 0) & (x <= columns - 1) & (y >= 0) & (y <= rows - 1) & (z >= 0) & (z <= depth - 1)
        x0 = np.clip(x.astype(np.int32), 0, max(columns - 2, 0))
        y0 = np.clip(y.astype(np.int32), 0, max(rows - 2, 0))
        z0 = np.clip(z.astype(np.int32), 0, max(depth - 2, 0))
        fx, fy, fz = (np.clip(value - low, 0, 1).astype(np.float32) for value, low in ((x, x0), (y, y0), (z, z0)))
        result = np.zeros(x.shape, np.float32)
        for dz, wz in ((0, 1 - fz), (1, fz)):
            for dy, wy in ((0, 1 - fy), (1, fy)):
                for dx, wx in ((0, 1 - fx), (1, fx)):
                    at = np.minimum(z0 + dz, depth - 1), np.minimum(y0 + dy, rows - 1), np.minimum(x0 + dx, columns - 1)
                    result += wz * wy * wx * self.hu[at]
        result[~inside] = np.nan
        return result


def make_grid(volume: Volume) -> WorkGrid:
    """Resample a volume plane by plane. Axes are permuted and turned round, not rotated.

    Raises
    ------
    VolumeError : where the volume is no CT in HU, or its extent makes no sense
    """
    if volume.unit != "HU":
        raise VolumeError(f"vertebral levels need a CT in HU, got the unit {volume.unit}")
    affine = volume.affine_ijk_to_lps_mm
    axes = _axes_of(affine)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    voxels: npt.NDArray[np.generic] = volume.voxels.transpose(2, 1, 0)  # (i, j, k)
    turn = np.zeros((4, 4))  # (x, y, z) in voxels of the permuted volume → (i, j, k)
    turn[3, 3] = 1
    order = [0, 0, 0]
    for lps, ijk in enumerate(axes):
        order[lps] = ijk
        forward = affine[lps, ijk] > 0
        turn[ijk, lps] = 1 if forward else -1
        turn[ijk, 3] = 0 if forward else voxels.shape[ijk] - 1
    voxels = voxels.transpose(order)
    flips = tuple(slice(None) if affine[lps, axes[lps]] > 0 else slice(None, None, -1) for lps in range(3))
    voxels = voxels[flips].transpose(2, 1, 0)  # (z, y, x)
    sizes = spacing[list(axes)]  # x, y, z
    shape = tuple(max(round(n * mm / STEP_MM), 1) for n, mm in zip(voxels.shape[1:], (sizes[1], sizes[0]), strict=True))
    depth = int((voxels.shape[0] - 1) * sizes[2] / STEP_MM) + 1
    if depth * shape[0] * shape[1] > _MAX_CELLS:
        extent = " x ".join(f"{n * mm:.0f}" for n, mm in zip(voxels.shape[::-1], sizes, strict=True))
        raise VolumeError(f"the volume is {extent} mm, larger than a person; check its spacing")
    hu = np.empty((depth, *shape), np.int16)
    for k, plane in enumerate(_planes(voxels, depth, float(sizes[2]), (shape[0], shape[1]))):
        hu[k] = plane
    scale = np.eye(4)
    for axis, cells in ((0, shape[1]), (1, shape[0])):
        scale[axis, axis] = voxels.shape[2 - axis] / cells
        scale[axis, 3] = scale[axis, axis] / 2 - 0.5  # edges of the grids agree, as in cv2.resize
    scale[2, 2] = STEP_MM / sizes[2]
    to_voxel = turn @ scale
    return WorkGrid(hu, affine @ to_voxel, to_voxel)


def _axes_of(affine: Float64Array) -> tuple[int, int, int]:
    """Which voxel axis runs along x, y and z of the patient."""
    direction = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0))
    axes: list[int] = []
    for lps in (2, 0, 1):
        free = [ijk for ijk in range(3) if ijk not in axes]
        axes.append(max(free, key=lambda ijk: float(direction[lps, ijk])))
    return axes[1], axes[2], axes[0]


def _planes(
    voxels: npt.NDArray[np.generic], depth: int, spacing_mm: float, shape_yx: tuple[int, int]
) -> Iterator[npt.NDArray[np.int16]]:
    """Planes of the coarse grid, each between two planes of the volume; no more than two are held."""
    shrinks = voxels.shape[1] >= shape_yx[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    held: dict[int, FloatArray] = {}
    for k in range(depth):
        position = k * STEP_MM / spacing_mm
        low = min(int(position), voxels.shape[0] - 1)
        high = min(low + 1, voxels.shape[0] - 1)
        for index in (low, high):
            if index not in held:
                plane = np.clip(np.nan_to_num(np.asarray(voxels[index], np.float32)), _LOWEST_HU, _HIGHEST_HU)
                held[index] = np.asarray(cv2.resize(plane, (shape_yx[1], shape_yx[0]), interpolation=how), np.float32)
        held = {index: held[index] for index in (low, high)}
        share = position - low
        yield np.rint((1 - share) * held[low] + share * held[high]).astype(np.int16)
