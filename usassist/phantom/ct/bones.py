"""Bones of simple shape on a plane: capsules and iliac wings, with a compact shell and partial volume at the edge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Bone", "Capsule", "Frame", "Grid", "Wing", "blend", "make_frame", "window"]

FloatArray = npt.NDArray[np.float32]
Vector = npt.NDArray[np.float64]
Grid = tuple[FloatArray, FloatArray, float]
"""x of the columns, y of the rows (ascending), z of the plane, mm."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A centre, mm, and three unit vectors: to the patient's left, to the front, to the head of the bone."""

    centre: Vector
    lateral: Vector
    anterior: Vector
    up: Vector

    def at(self, lateral: float, anterior: float, up: float) -> Vector:
        """A point given in this frame, in x, y, z."""
        return self.centre + lateral * self.lateral + anterior * self.anterior + up * self.up


def make_frame(centre: Vector, forward_rad: float, lateral_rad: float) -> Frame:
    """A frame whose upward axis leans forwards and to the patient's left by these angles."""
    up = np.array(
        [np.sin(lateral_rad), -np.sin(forward_rad) * np.cos(lateral_rad), np.cos(forward_rad) * np.cos(lateral_rad)]
    )
    lateral = np.array([1.0, 0.0, 0.0]) - up[0] * up
    lateral /= float(np.linalg.norm(lateral))
    return Frame(centre, lateral, np.cross(lateral, up), up)


class Bone(Protocol):
    """Something that is painted on a plane."""

    def paint(self, hu: FloatArray, grid: Grid, labels: npt.NDArray[np.uint8] | None, label: int) -> None:
        """Paint on `hu`, float32 (Y, X), and on `labels`, uint8 (Y, X), in place."""


def window(grid: Grid, low: Vector, high: Vector) -> tuple[slice, slice]:
    """Rows and columns between two corners (x, y)."""
    columns = np.searchsorted(grid[0], (low[0], high[0]))
    rows = np.searchsorted(grid[1], (low[1], high[1]))
    return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))


def blend(
    hu: FloatArray, labels: npt.NDArray[np.uint8] | None, part: tuple[slice, slice],
    distance: FloatArray, inside: FloatArray | float, pixel_mm: float, label: int,
) -> None:  # fmt: skip
    """Paint where `distance` (mm to the surface) is below 0; pixels that the surface cuts are mixed."""
    cover = np.clip(0.5 - distance / pixel_mm, 0.0, 1.0).astype(np.float32)
    hu[part] += cover * (inside - hu[part])
    if labels is not None:
        labels[part][cover >= 0.5] = label


def _shell(distance: FloatArray, thick_mm: float, spongy_hu: float, cortex_hu: float, pixel_mm: float) -> FloatArray:
    share = np.clip(0.5 + (distance + thick_mm) / pixel_mm, 0.0, 1.0)
    return np.asarray(spongy_hu + share * (cortex_hu - spongy_hu), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Capsule:
    """A cylinder with rounded ends between two points, mm."""

    start: Vector
    end: Vector
    radius: float
    spongy_hu: float
    cortex_hu: float
    thick_mm: float

    def paint(self, hu: FloatArray, grid: Grid, labels: npt.NDArray[np.uint8] | None, label: int) -> None:
        """See :class:`Bone`."""
        z, r = grid[2], self.radius + 1.5
        if not min(self.start[2], self.end[2]) - r < z < max(self.start[2], self.end[2]) + r:
            return
        part = window(grid, np.minimum(self.start, self.end) - r, np.maximum(self.start, self.end) + r)
        x, y = grid[0][part[1]][None, :] - self.start[0], grid[1][part[0]][:, None] - self.start[1]
        if not x.size or not y.size:
            return
        axis = self.end - self.start
        share = np.clip(
            (x * axis[0] + y * axis[1] + (z - self.start[2]) * axis[2]) / max(float(axis @ axis), 1e-6), 0, 1
        )
        squared = (x - share * axis[0]) ** 2 + (y - share * axis[1]) ** 2 + (z - self.start[2] - share * axis[2]) ** 2
        distance = np.asarray(np.sqrt(squared) - self.radius, np.float32)
        pixel = float(grid[0][1] - grid[0][0])
        blend(
            hu,
            labels,
            part,
            distance,
            _shell(distance, self.thick_mm, self.spongy_hu, self.cortex_hu, pixel),
            pixel,
            label,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Wing:
    """An iliac wing: a curved plate from beside the sacrum to the front, under a rounded crest."""

    side: float
    centre_x: float
    back_x: float
    back_y: float
    front_x: float
    front_y: float
    crest_z: float
    foot_z: float
    scale: float
    spongy_hu: float
    cortex_hu: float

    def paint(self, hu: FloatArray, grid: Grid, labels: npt.NDArray[np.uint8] | None, label: int) -> None:
        """See :class:`Bone`."""
        z, s = grid[2], self.scale
        if z > self.crest_z or z < self.foot_z:
            return
        t = np.linspace(0.0, 1.0, 60)
        crest = self.crest_z - np.where(t < 0.55, 52.0, 60.0) * s * np.abs((t - 0.55) / 0.55) ** 1.8
        foot = self.foot_z + 40 * s * np.abs(t - 0.45) / 0.5
        here = (crest > z) & (foot < z)
        if here.sum() < 2:
            return
        lower = (self.crest_z - z) / (self.crest_z - self.foot_z)  # 0 at the crest, 1 at the foot
        bow = 16 * s * np.sin(np.pi * t)
        x = self.centre_x + self.side * (self.back_x + (self.front_x - self.back_x) * t * (1 - 0.3 * lower) + 0.6 * bow)
        y = self.back_y + (self.front_y - self.back_y) * t + bow
        thick = (4.5 + 3.5 * np.abs(t - 0.4)) * s
        corners = np.array([x[here].min(), y[here].min()]) - 12, np.array([x[here].max(), y[here].max()]) + 12
        part = window(grid, *corners)
        gx, gy = grid[0][part[1]][None, :, None], grid[1][part[0]][:, None, None]
        if not gx.size or not gy.size:
            return
        distance = (np.hypot(gx - x[here], gy - y[here]) - thick[here]).min(axis=-1).astype(np.float32)
        pixel = float(grid[0][1] - grid[0][0])
        blend(hu, labels, part, distance, _shell(distance, 1.8, self.spongy_hu, self.cortex_hu, pixel), pixel, label)
