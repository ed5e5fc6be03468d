"""Beam geometry of a probe, and scan conversion from beam samples to pixels.

A sample has a row (range along the beam) and a column (beam). ``linear``: parallel beams. ``trapezoid``: beams from a
flat face that all pass through one point behind it. ``convex``: beams from a curved face, through its centre.
"""

from __future__ import annotations

import math

import numpy as np

from usassist.phantom.config import FloatArray, PhantomConfig

__all__ = ["BeamGrid"]

_TRAPEZOID_HALF_ANGLE_DEG = 14.0
_CONVEX_HALF_ANGLE_DEG = 24.0


class BeamGrid:
    """Sample positions of one probe, and the maps from pixels to samples.

    Parameters
    ----------
    config : geometry, depth, width
    box_hw_px : the box that the image is fitted into, keeping its aspect ratio

    Attributes
    ----------
    rows, lines : samples per beam, number of beams
    range_step_mm : spacing of samples along a beam
    line_step_mm : float32 (rows,), spacing of beams at each range
    x_mm, z_mm : float32 (rows, lines), position of each sample
    image_hw_px : height and width of the image
    mm_per_px : pixel size, in both directions
    map_line, map_row : float32 (H, W), sample indices at each pixel centre, for ``cv2.remap``
    inside : bool (H, W), pixels that a beam reaches
    """

    def __init__(self, config: PhantomConfig, box_hw_px: tuple[int, int]) -> None:
        depth, half = config.depth_mm, 0.5 * config.width_mm
        self.kind = config.geometry
        if self.kind == "linear":
            self._apex_mm, self._half_angle = math.inf, 0.0
            left, top, right, bottom = -half, 0.0, half, depth
        elif self.kind == "trapezoid":
            self._half_angle = math.radians(_TRAPEZOID_HALF_ANGLE_DEG)
            self._apex_mm = half / math.tan(self._half_angle)
            right = half + depth * math.sin(self._half_angle)
            left, top, bottom = -right, 0.0, depth
        else:
            self._half_angle = math.radians(_CONVEX_HALF_ANGLE_DEG)
            self._apex_mm = half / math.sin(self._half_angle)
            right = (self._apex_mm + depth) * math.sin(self._half_angle)
            left, top, bottom = -right, self._apex_mm * (math.cos(self._half_angle) - 1.0), depth
        self.extent_xzxz_mm = (left, top, right, bottom)
        self.mm_per_px = max((bottom - top) / box_hw_px[0], (right - left) / box_hw_px[1])
        height = min(int((bottom - top) / self.mm_per_px + 1e-6), box_hw_px[0])
        width = min(int((right - left) / self.mm_per_px + 1e-6), box_hw_px[1])
        self.image_hw_px = (height, width)

        self.rows = 2 * int(np.clip(round(0.65 * height), 160, 320))
        self.lines = 2 * int(np.clip(round(0.25 * self.rows), 96, 160))
        self.range_step_mm = depth / self.rows
        ranges = (np.arange(self.rows, dtype=np.float32) + 0.5) * self.range_step_mm
        across = ((np.arange(self.lines, dtype=np.float32) + 0.5) / self.lines * 2.0 - 1.0)[None, :]
        if self.kind == "linear":
            self.x_mm = np.broadcast_to(half * across, (self.rows, self.lines)).astype(np.float32)
            self.z_mm = np.broadcast_to(ranges[:, None], (self.rows, self.lines)).astype(np.float32)
            self.line_step_mm = np.full(self.rows, 2.0 * half / self.lines, np.float32)
        elif self.kind == "trapezoid":
            face = half * across
            angle = np.arctan(face / self._apex_mm)
            self.x_mm = (face + ranges[:, None] * np.sin(angle)).astype(np.float32)
            self.z_mm = (ranges[:, None] * np.cos(angle)).astype(np.float32)
            self.line_step_mm = ((1.0 + ranges / self._apex_mm) * 2.0 * half / self.lines).astype(np.float32)
        else:
            angle = self._half_angle * across
            self.x_mm = ((self._apex_mm + ranges[:, None]) * np.sin(angle)).astype(np.float32)
            self.z_mm = ((self._apex_mm + ranges[:, None]) * np.cos(angle) - self._apex_mm).astype(np.float32)
            self.line_step_mm = ((self._apex_mm + ranges) * 2.0 * self._half_angle / self.lines).astype(np.float32)

        self.pixel_x_mm, self.pixel_z_mm = self.pixel_positions_mm()
        row, line = self._samples_at(self.pixel_x_mm[None, :], self.pixel_z_mm[:, None])
        self.map_row = np.ascontiguousarray(np.broadcast_to(row, self.image_hw_px), dtype=np.float32)
        self.map_line = np.ascontiguousarray(np.broadcast_to(line, self.image_hw_px), dtype=np.float32)
        self.inside = (
            (self.map_row >= -0.5)
            & (self.map_row < self.rows - 0.5)
            & (self.map_line >= -0.5)
            & (self.map_line < self.lines - 0.5)
        )

    def pixel_positions_mm(self) -> tuple[FloatArray, FloatArray]:
        """Lateral position of each column (W,) and depth of each row (H,), at pixel centres, float32, mm."""
        left, top, _, _ = self.extent_xzxz_mm
        height, width = self.image_hw_px
        x = left + (np.arange(width, dtype=np.float32) + 0.5) * np.float32(self.mm_per_px)
        z = top + (np.arange(height, dtype=np.float32) + 0.5) * np.float32(self.mm_per_px)
        if self.kind == "linear":  # the grid is truncated to whole pixels; keep it centred
            x += np.float32(0.5 * (-2.0 * left - width * self.mm_per_px))
        return x.astype(np.float32), z.astype(np.float32)

    def _samples_at(self, x: FloatArray, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Row and line indices (continuous, 0 at the first sample) of points in mm."""
        if self.kind == "linear":
            along, across = z, x / np.float32(-self.extent_xzxz_mm[0])
        elif self.kind == "trapezoid":
            tangent = x / (z + self._apex_mm)
            along = z * np.sqrt(1.0 + tangent**2)
            across = tangent / math.tan(self._half_angle)
        else:
            along = np.hypot(x, z + self._apex_mm) - self._apex_mm
            across = np.arctan2(x, z + self._apex_mm) / self._half_angle
        row = along / self.range_step_mm - 0.5
        line = (across + 1.0) * 0.5 * self.lines - 0.5
        return row.astype(np.float32), line.astype(np.float32)
