"""Boxes as planes. They are ``xyxy`` in px, continuous: a mask that fills the frame has (0, 0, width, height)."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["box_of_mask", "box_plane", "ellipse_mask", "ellipse_plane"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]


def box_of_mask(mask: UInt8Array) -> Float64Array:
    """The box around a mask that is not empty: float64 (4,), xyxy."""
    x, y, width, height = cv2.boundingRect(mask)
    return np.array([x, y, x + width, y + height], np.float64)


def box_plane(box_xyxy_px: Float64Array, size_hw_px: tuple[int, int]) -> Float32Array:
    """Share of each pixel inside a box: float32 (H, W), 0 to 1."""
    spans = []
    for low, high, count in zip(box_xyxy_px[:2], box_xyxy_px[2:], size_hw_px[::-1], strict=True):
        start = np.arange(count)
        spans.append(np.clip(np.minimum(start + 1, high) - np.maximum(start, low), 0.0, 1.0))
    return np.asarray(np.outer(spans[1], spans[0]), np.float32)


def ellipse_mask(box_xyxy_px: Float64Array, size_hw_px: tuple[int, int]) -> UInt8Array:
    """The ellipse that touches the four sides of a box: uint8 (H, W), 1 inside."""
    return (_distance_squared(box_xyxy_px, size_hw_px) <= 1.0).astype(np.uint8)


def ellipse_plane(box_xyxy_px: Float64Array, size_hw_px: tuple[int, int]) -> Float32Array:
    """How a box is shown to the teacher: 1 at its centre, 0.5 on the ellipse that fills it, 0 far outside.

    Returns
    -------
    float32 (H, W), (1 + max(-1, 1 - r^2)) / 2, where r is the distance from the centre in units of half the box
    """
    return np.asarray(np.maximum(0.0, 1.0 - _distance_squared(box_xyxy_px, size_hw_px) / 2), np.float32)


def _distance_squared(box_xyxy_px: Float64Array, size_hw_px: tuple[int, int]) -> Float64Array:
    """Squared distance of the pixels' centres from that of a box, in units of half its sides: float64 (H, W)."""
    center, half = (box_xyxy_px[:2] + box_xyxy_px[2:]) / 2, (box_xyxy_px[2:] - box_xyxy_px[:2]) / 2
    x, y = (((np.arange(size_hw_px[1 - axis]) + 0.5 - center[axis]) / half[axis]) ** 2 for axis in (0, 1))
    return np.asarray(y[:, None] + x[None, :], np.float64)
