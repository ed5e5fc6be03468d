"""Sizes of outlines, in pixels and, on a calibrated image, in millimetres with their uncertainty."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.records import Measurements, Segmentation

__all__ = ["measure"]

Float32Array = npt.NDArray[np.float32]

# Standard uncertainty of one end of a diameter on a pixel grid: a rectangular distribution one pixel wide
# (JCGM 100:2008, 4.3.7).
_END_SD_PX = 1.0 / np.sqrt(12.0)


def measure(
    segmentation: Segmentation,
    spacing_rc_mm: tuple[float, float] | None = None,
    spacing_rel_sd: float | None = None,
    diameter_rel_sd: float | None = None,
) -> Measurements:
    """Measure every outline.

    The longest diameter is the greatest distance between two points of the outline's convex hull; the width is the
    extent at right angles to it, as a caliper is placed on the image. Both include the half pixel on either side of
    the outermost pixel centres. The area is the pixel count of the filled outline.

    The standard uncertainty of a length is the root of the sum of squares of three components: the scale
    (`spacing_rel_sd`), the engine's outline (`diameter_rel_sd`, measured on labelled frames), and the pixel grid at
    both ends. The relative uncertainty of an area is the sum of those of the two diameters, as both derive from one
    outline and one scale. The expanded uncertainty has coverage factor 2 (JCGM 100:2008, 5.1.2 and 6.2).

    Parameters
    ----------
    segmentation : outlines in image coordinates, px
    spacing_rc_mm : mm per px, row step first; None = not calibrated
    spacing_rel_sd : relative standard uncertainty of the spacing
    diameter_rel_sd : relative standard uncertainty of a diameter of the engine's outlines; None = not known

    Returns
    -------
    measurements : one row per outline; millimetres only if the spacing, its uncertainty and the engine's are all known
    """
    count = len(segmentation)
    if count == 0:
        return Measurements.empty()
    major_px, minor_px, area_px2 = (np.empty(count, np.float32) for _ in range(3))
    for index, contour in enumerate(segmentation):
        major_px[index], minor_px[index] = _diameters(contour, (1.0, 1.0))
        area_px2[index] = _area_px2(contour)
    if spacing_rc_mm is None or spacing_rel_sd is None or diameter_rel_sd is None:
        return Measurements(major_px=major_px, minor_px=minor_px, area_px2=area_px2)

    major_mm, minor_mm = np.empty(count, np.float32), np.empty(count, np.float32)
    for index, contour in enumerate(segmentation):
        major_mm[index], minor_mm[index] = _diameters(contour, spacing_rc_mm)
    area_mm2 = (area_px2 * (spacing_rc_mm[0] * spacing_rc_mm[1])).astype(np.float32)
    relative_sd = float(np.hypot(spacing_rel_sd, diameter_rel_sd))
    grid_sd_mm = float(np.sqrt(2.0) * _END_SD_PX * max(spacing_rc_mm))
    major_u95 = 2.0 * np.hypot(major_mm * relative_sd, grid_sd_mm)
    minor_u95 = 2.0 * np.hypot(minor_mm * relative_sd, grid_sd_mm)
    area_u95 = area_mm2 * (major_u95 / major_mm + minor_u95 / minor_mm)
    return Measurements(
        major_px=major_px,
        minor_px=minor_px,
        area_px2=area_px2,
        major_mm=major_mm,
        minor_mm=minor_mm,
        area_mm2=area_mm2,
        major_u95_mm=major_u95.astype(np.float32),
        minor_u95_mm=minor_u95.astype(np.float32),
        area_u95_mm2=area_u95.astype(np.float32),
    )


def _diameters(contour: Float32Array, spacing_rc: tuple[float, float]) -> tuple[float, float]:
    """Longest diameter and the extent across it, in the unit of the spacing."""
    step_xy = np.array([spacing_rc[1], spacing_rc[0]], np.float64)
    hull = cv2.convexHull(contour).reshape(-1, 2).astype(np.float64) * step_xy
    offsets = hull[:, None, :] - hull[None, :, :]
    squared = np.einsum("ijk,ijk->ij", offsets, offsets)
    first, second = np.unravel_index(int(np.argmax(squared)), squared.shape)
    length = float(np.sqrt(squared[first, second]))
    along = offsets[first, second] / length if length > 0 else np.array([1.0, 0.0])
    across = np.array([-along[1], along[0]])
    extent = hull @ across
    pixel_along = float(np.abs(along) @ step_xy)
    pixel_across = float(np.abs(across) @ step_xy)
    return length + pixel_along, float(extent.max() - extent.min()) + pixel_across


def _area_px2(contour: Float32Array) -> float:
    """Count of pixels inside and on an outline through pixel centres (Pick's theorem: A + B / 2 + 1)."""
    inner = float(cv2.contourArea(contour))
    steps = np.abs(np.diff(contour, axis=0, append=contour[:1]))
    boundary = float(np.maximum(steps[:, 0], steps[:, 1]).sum())
    return inner + boundary / 2.0 + 1.0
