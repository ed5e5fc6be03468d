"""The muscular ring of a simulated abdomen at one z: its outer surface and the thickness of its wall, by angle."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.phantom.ct.abdomen_shapes import ANGLES, AbdomenPlan

__all__ = ["Ring"]

FloatArray = npt.NDArray[np.float32]
_FASCIA_MM = 0.8


class Ring:
    """The muscular ring at one z: its outer surface as a radius of the angle, and the thickness of its wall.

    Attributes
    ----------
    centre_y : of the polar functions, mm
    back : angle from the midline of the back, 0 to pi, per sample
    wall : thickness of muscle, mm; where it is open, 0
    is_rectus : per sample
    openings : index, half width, depth and kind of those that this plane cuts
    """

    def __init__(self, plan: AbdomenPlan, z_mm: float) -> None:
        up = z_mm / 100.0
        front = plan.anterior * (1 - 0.06 * up)
        side = plan.half_width * (1 + plan.waist * abs(up) - 0.05 * max(up - 0.6, 0.0))
        back = plan.posterior * (1 - 0.08 * max(up, 0.0))
        self.plan, self.half_width, self.posterior = plan, side, back
        self.centre_y = -0.25 * plan.anterior
        angle = (np.arange(ANGLES) + 0.5) * (2 * np.pi / ANGLES)
        cos, sin = np.cos(angle), np.sin(angle)
        reach = np.where(sin < 0, front + plan.rectus_mm + self.centre_y, back - self.centre_y)
        power = np.where(sin < 0, plan.power_anterior, plan.power_posterior)
        radius = (np.abs(cos / side) ** power + np.abs(sin / reach) ** power) ** (-1 / power)
        radius *= 1 + plan.outline_waves
        radius -= plan.groove * np.exp(-0.5 * ((angle - np.pi / 2) / 0.13) ** 2)
        self.radius = radius.astype(np.float32)
        slope = (np.roll(radius, -1) - np.roll(radius, 1)) / (4 * np.pi / ANGLES)
        self.cosine = (radius / np.hypot(radius, slope)).astype(np.float32)
        self.x, self.y = radius * cos, radius * sin + self.centre_y
        self.back = np.abs((angle - np.pi / 2 + np.pi) % (2 * np.pi) - np.pi)
        self.angle = angle
        self._thickness(plan, z_mm, sin)

    def _thickness(self, plan: AbdomenPlan, z_mm: float, sin: npt.NDArray[Any]) -> None:
        across = np.abs(self.x)
        rectus_edge = plan.linea_alba_mm / 2 + plan.rectus_half_width
        u = (across - plan.linea_alba_mm / 2) / plan.rectus_half_width
        rectus = plan.rectus_mm * np.sqrt(np.clip(1 - (2 * u - 1) ** 4, 0, 1))
        ramp = np.clip((across - rectus_edge - plan.semilunar_mm) / 18.0, 0, 1)
        lateral = plan.wall_mm * (1 + plan.wall_waves) * np.sqrt(ramp)
        front = (sin < 0) & (self.y < 0.4 * self.y.min())
        self.is_rectus = front & (across < rectus_edge)
        thin = 1 - plan.back_thinning * np.exp(-(((self.back - 0.95) / 0.3) ** 2))
        sides = plan.wall_mm * (1 + plan.wall_waves) * thin
        wall = np.where(front, np.where(self.is_rectus, rectus, lateral), sides)
        chest = plan.chest_mm * (1 + 1.5 * plan.wall_waves)
        share = 1 / (1 + np.exp(-(z_mm - self._margin_z_mm(plan)) / 6.0))
        wall = np.maximum(wall + share * (chest - wall), _FASCIA_MM)
        self.openings: list[tuple[int, float, float, float]] = []
        for angle, half_width, half_height, depth, kind in plan.openings:
            z_share = (z_mm - 45 * np.sin(7 * angle)) / half_height
            if abs(z_share) < 1:
                at = int((angle % (2 * np.pi)) / (2 * np.pi) * ANGLES) % ANGLES
                half = half_width * np.sqrt(1 - z_share**2)
                distance = np.hypot(self.x - self.x[at], self.y - self.y[at])
                wall = np.where(distance < half, 0.0, wall)
                self.openings.append((at, float(half), depth, kind))
        self.wall = wall.astype(np.float32)

    def _margin_z_mm(self, plan: AbdomenPlan) -> npt.NDArray[Any]:
        """About the lower border of the chest, per sample: above it the wall is that between the ribs."""
        lowest = plan.level_centres_z_mm()["T12"] + 8
        rise = np.where(self.back > 2.2, (self.back - 2.2) * 130.0, 0.0)
        return np.asarray(lowest - plan.rib_drop * (1 - np.cos(0.72 * self.back)) + rise)

    def depth(self, x: FloatArray, y: FloatArray) -> tuple[npt.NDArray[np.int32], FloatArray]:
        """Sample of each point's angle, and about its distance inwards from the outer surface, mm."""
        below = y - np.float32(self.centre_y)
        turn = np.arctan2(below, x) * np.float32(ANGLES / (2 * np.pi))
        index = turn.astype(np.int32) % ANGLES
        return index, (self.radius[index] - np.hypot(x, below)) * self.cosine[index]
