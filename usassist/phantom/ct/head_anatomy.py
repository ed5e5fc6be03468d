"""Anatomy of the simulated head as formulas in mm: what tissue is at a point, in a plane of constant z.

Coordinates are DICOM's (x to the left of the patient, y to the back, z to the head), with their origin in the middle of
the brain. The surfaces are superellipsoids, the sulci are where a sum of random waves passes through zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

__all__ = ["SKULL_MM", "Grid", "HeadShape", "Tissue", "draw_shape", "label_plane"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]


class Tissue(IntEnum):
    """Values of the label map."""

    OUTSIDE = 0
    SCALP = 1
    BONE = 2
    BRAIN = 3
    CSF = 4
    FALX = 5
    AIR = 6
    INTRAPARENCHYMAL = 11
    INTRAVENTRICULAR = 12
    EXTRA_AXIAL = 13


SKULL_MM = 7.0
"""Thickness of the skull."""

_POWER = 2.3  # of the superellipsoids: a skull is a little squarer than an ellipsoid
_SCALP_MM = 6.0
_LOWEST_BRAIN_MM = -62.0  # the base of the skull
_WAVES = 14
_WAVE_MM = (13.0, 24.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Coordinates of a plane: float32 x (1, X) and y (Y, 1), mm, and its z."""

    x_mm: FloatArray
    y_mm: FloatArray
    z_mm: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeadShape:
    """One head.

    Attributes
    ----------
    semi_mm : half axes of the inner table along x, y and z
    waves : float64 (N, 3) wave vectors of the sulci, rad per mm
    phases : float64 (N,)
    sulcus : width of the sulci, 0 to 1
    ventricle : size of the ventricles, 1 = usual
    """

    semi_mm: tuple[float, float, float]
    waves: npt.NDArray[np.float64]
    phases: npt.NDArray[np.float64]
    sulcus: float
    ventricle: float


def draw_shape(seed: int) -> HeadShape:
    """A head; the same seed gives the same one."""
    rng = np.random.default_rng([0xC7, seed])
    directions = rng.normal(size=(_WAVES, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = rng.uniform(*_WAVE_MM, size=(_WAVES, 1))
    return HeadShape(
        semi_mm=(float(rng.uniform(62, 69)), float(rng.uniform(78, 87)), float(rng.uniform(66, 72))),
        waves=directions * 2 * np.pi / lengths,
        phases=rng.uniform(0, 2 * np.pi, _WAVES),
        sulcus=float(rng.uniform(0.25, 0.5)),
        ventricle=float(rng.uniform(0.8, 1.4)),
    )


def depth_mm(shape: HeadShape, grid: Grid) -> FloatArray:
    """About how far inside the inner table a point is; negative outside. Float32 (Y, X)."""
    a, b, c = shape.semi_mm
    radius = (np.abs(grid.x_mm / a) ** _POWER + np.abs(grid.y_mm / b) ** _POWER + abs(grid.z_mm / c) ** _POWER) ** (
        1 / _POWER
    )
    return np.asarray((1.0 - radius) * min(a, c), np.float32)


def label_plane(shape: HeadShape, grid: Grid) -> tuple[UInt8Array, FloatArray]:
    """Tissue of one plane, without blood.

    Returns
    -------
    labels : uint8 (Y, X), of :class:`Tissue`
    grey : float32 (Y, X), 0 = white matter, 1 = grey matter; only where there is brain
    """
    depth = depth_mm(shape, grid)
    labels = np.zeros(depth.shape, np.uint8)
    labels[depth > -(SKULL_MM + _SCALP_MM)] = Tissue.SCALP
    labels[depth > -SKULL_MM] = Tissue.BONE
    inside = depth > 0.0
    if grid.z_mm < _LOWEST_BRAIN_MM:  # below the base: neck and face
        labels[inside] = Tissue.SCALP
        labels[_ellipse(grid, (0, 25, -75), (26, 24, 30))] = Tissue.BONE
        labels[_ellipse(grid, (0, 25, -75), (12, 12, 40))] = Tissue.BRAIN
        return labels, np.full(depth.shape, 0.5, np.float32)
    labels[inside] = Tissue.BRAIN
    field = _waves(shape, grid)
    reach = np.exp(-np.clip(depth, 0, None) / np.float32(18.0))
    sulci = inside & ((np.abs(field) < shape.sulcus * reach) | (depth < 1.5))
    labels[sulci] = Tissue.CSF
    grey = np.clip(np.exp(-depth / np.float32(5.0)) + np.clip(0.9 - np.abs(field), 0, 1) * reach, 0, 1)
    size = shape.ventricle
    for side in (-1.0, 1.0):
        for centre, semi in (((side * 19, 3.0, 8.0), (9.0, 13.0, 10.0)), ((side * 24, 22.0, 4.0), (6.0, 12.0, 9.0))):
            grey[_ellipse(grid, centre, semi)] = 0.9  # deep nuclei
        for centre, semi in (
            ((side * 9, -18, 12), (5 * size, 16, 9 * size)),
            ((side * 12, 6, 18), (6 * size, 26, 8 * size)),
            ((side * 22, 34, 6), (6 * size, 13, 9 * size)),
        ):
            labels[_ellipse(grid, centre, semi) & inside] = Tissue.CSF
    labels[_ellipse(grid, (0, 4, 0), (2.5 * size, 14, 12)) & inside] = Tissue.CSF
    labels[_ellipse(grid, (0, 38, -38), (7 * size, 6, 9)) & inside] = Tissue.CSF
    labels[_ellipse(grid, (0, -12, -28), (14, 12, 6)) & inside] = Tissue.CSF  # cistern
    if grid.z_mm > -15.0:
        thick = np.abs(grid.x_mm - np.float32(1.2) * np.sin(grid.y_mm / np.float32(23.0)))
        outer = inside & (depth < 20.0 + 10.0 * (grid.z_mm > 25.0))
        labels[outer & (thick < 2.2) & (labels == Tissue.BRAIN)] = Tissue.CSF
        labels[outer & (thick < 0.9)] = Tissue.FALX
        labels[inside & (thick < 4.5 - 0.8 * depth) & (grid.y_mm > 0)] = Tissue.FALX  # sagittal sinus
    for side in (-1.0, 1.0):  # petrous bone
        turned = grid.x_mm * np.float32(0.8 * side) - grid.y_mm * np.float32(0.6)
        along = grid.x_mm * np.float32(0.6 * side) + grid.y_mm * np.float32(0.8)
        ridge = ((turned - 30) / 32) ** 2 + ((along - 36) / 9) ** 2 + ((grid.z_mm + 48) / 13) ** 2 < 1.0
        labels[ridge & inside] = Tissue.BONE
    frontal = _ellipse(grid, (0, -shape.semi_mm[1] + 2, -40), (24, 7, 24))
    labels[frontal & (depth > -SKULL_MM + 1.5) & (depth < 8)] = Tissue.BONE
    labels[_ellipse(grid, (0, -shape.semi_mm[1] + 1, -42), (18, 4, 18)) & (labels == Tissue.BONE)] = Tissue.AIR
    return labels, np.asarray(grey, np.float32)


def _waves(shape: HeadShape, grid: Grid) -> FloatArray:
    """The sum of the waves, standard deviation about 1: float32 (Y, X)."""
    total = np.zeros((grid.y_mm.shape[0], grid.x_mm.shape[1]), np.float32)
    for (kx, ky, kz), phase in zip(shape.waves, shape.phases, strict=True):
        across = np.exp(1j * kx * grid.x_mm)
        down = np.exp(1j * (ky * grid.y_mm + kz * grid.z_mm + phase))
        total += (down.real * across.real - down.imag * across.imag).astype(np.float32)
    return total * np.float32(np.sqrt(2 / len(shape.phases)))


def _ellipse(grid: Grid, centre_mm: tuple[float, float, float], semi_mm: tuple[float, float, float]) -> BoolArray:
    """Where the plane cuts an ellipsoid: bool (Y, X)."""
    (cx, cy, cz), (a, b, c) = centre_mm, semi_mm
    rest = 1.0 - ((grid.z_mm - cz) / c) ** 2
    return np.asarray(((grid.x_mm - cx) / a) ** 2 + ((grid.y_mm - cy) / b) ** 2 < rest)
