"""Painting on a plane in mm, and the spine of a simulated abdomen at one z."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.phantom.ct.abdomen_shapes import AbdomenPlan

__all__ = ["Canvas", "paint_spine"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
_BONE = 4


class Canvas:
    """A plane that is painted on.

    Parameters
    ----------
    x, y : float32 (Y, X), mm, ascending along columns and rows
    hu, labels : float32 and uint8 (Y, X), changed in place
    """

    def __init__(self, x: FloatArray, y: FloatArray, hu: FloatArray, labels: npt.NDArray[np.uint8]) -> None:
        self.x, self.y, self.hu, self.labels = x, y, hu, labels
        self._columns, self._rows = x[0], y[:, 0]

    def window(self, x: float, y: float, radius: float) -> tuple[slice, slice]:
        """Rows and columns within `radius` of a point."""
        rows = np.searchsorted(self._rows, (y - radius, y + radius))
        columns = np.searchsorted(self._columns, (x - radius, x + radius))
        return slice(int(rows[0]), int(rows[1])), slice(int(columns[0]), int(columns[1]))

    def ellipse(self, x: float, y: float, a: float, b: float, turn: float = 0.0) -> BoolArray:
        """Points in an ellipse with semi-axes `a` and `b`, the first turned by `turn` rad from x."""
        inside = np.zeros(self.x.shape, np.bool_)
        part = self.window(x, y, max(a, b))
        dx, dy = self.x[part] - x, self.y[part] - y
        cos, sin = np.cos(turn), np.sin(turn)
        inside[part] = ((dx * cos + dy * sin) / a) ** 2 + ((dy * cos - dx * sin) / b) ** 2 < 1
        return inside

    def paint(self, where: BoolArray, hu: Any, label: int) -> None:
        """Set HU (a number or an array as large as the plane) and label."""
        np.copyto(self.hu, hu, where=where, casting="same_kind")
        self.labels[where] = label


def paint_spine(plan: AbdomenPlan, z_mm: float, canvas: Canvas, fine: FloatArray) -> None:
    """Body or disc, canal, arch and processes of the vertebra that this plane cuts.

    Parameters
    ----------
    plan : of the abdomen
    z_mm : of the plane
    canvas : painted on
    fine : texture, (Y, X)
    """
    scale, step = plan.scale, plan.spacing_vertebra
    centres = np.array(list(plan.level_centres_z_mm().values()))
    offset = float((z_mm - centres)[np.abs(z_mm - centres).argmin()]) / step  # -0.5 to 0.5, 0 = middle of the body
    a, b = (22.5 - 0.03 * z_mm) * scale, (16.5 - 0.01 * z_mm) * scale
    canal_y, arch_y = b + 8 * scale, b + 17 * scale
    spongy, cortex = plan.bone_hu, plan.bone_hu + 350
    is_disc = abs(offset) > 0.38
    if is_disc:
        canvas.paint(canvas.ellipse(0, 0, a * 1.05, b * 1.05), 80 + 5 * fine, _BONE)
    else:
        flare = 1 + 0.1 * (abs(offset) / 0.38) ** 2
        canvas.paint(canvas.ellipse(0, 0, a * flare, b * flare), cortex, _BONE)
        canvas.paint(canvas.ellipse(0, 0, a * flare - 1.6, b * flare - 1.6), spongy + 25 * fine, _BONE)
    near = canvas.window(0, arch_y, 70 * scale)
    x, y = np.abs(canvas.x[near]), canvas.y[near]
    bone = np.zeros(canvas.x.shape, np.bool_)
    if 0.0 < offset < 0.3:  # pedicles
        bone[near] |= (np.abs(x - 15 * scale) < 4.5 * scale) & (y > b * 0.6) & (y < arch_y + 2)
    lamina = canal_y + 4 * scale + 0.35 * (18 * scale - x) + 4
    bone[near] |= (np.abs(y - lamina - 2) < 3.2 * scale) & (x < 20 * scale)
    if offset < 0.2 or z_mm > 2.5 * step:  # spinous process, and the joints
        length = (34 - 8 * abs(offset)) * scale
        bone[near] |= (x < 3.2 * scale) & (y > arch_y) & (y < arch_y + length)
        bone[near] |= (x - 19 * scale) ** 2 + (y - arch_y) ** 2 < (7 * scale) ** 2
    if -0.02 < offset < 0.22:  # transverse processes
        bone[near] |= (np.abs(y - arch_y + 5 * scale - 0.1 * x) < 3.2 * scale) & (x > 12 * scale) & (x < 40 * scale)
    canvas.paint(bone, cortex, _BONE)
    canvas.paint(canvas.ellipse(0, canal_y, 11 * scale, 8 * scale), plan.visceral_hu * 0.5, _BONE)
    canvas.paint(canvas.ellipse(0, canal_y, 8.5 * scale, 6.5 * scale), 25 + 4 * fine, _BONE)
