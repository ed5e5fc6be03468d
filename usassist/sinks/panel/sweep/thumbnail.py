"""Small pictures of a frame, or of one nodule on it, with its own outlines in its own pixels. Kept in memory only."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["SIDE_PX", "draw_frame", "draw_nodule"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

SIDE_PX = 160
"""Longest side."""

_AROUND = 0.35  # shown around a nodule, of its longer side
_LEAST_SIDE_PX = 48  # of the part of the frame that is shown
_QUALITY = 80
_BLACK = (0, 0, 0)
_SHIFT = 4  # of sub-pixel coordinates


def draw_nodule(
    image: UInt8Array, contour_xy_px: Float32Array, xyxy_px: Float32Array, color_rgb: tuple[int, int, int]
) -> bytes:
    """A JPEG of one nodule with its outline.

    Parameters
    ----------
    image : of the frame, text covered; uint8 (H, W) or (H, W, 3)
    contour_xy_px : float32 (K, 2), image coordinates of the frame
    xyxy_px : float32 (4,), its box
    color_rgb : of the outline
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = (float(value) for value in xyxy_px)
    side = max((1.0 + 2.0 * _AROUND) * max(x2 - x1, y2 - y1), _LEAST_SIDE_PX)
    left, right = _span((x1 + x2) / 2.0, side, width)
    top, bottom = _span((y1 + y2) / 2.0, side, height)
    return _draw(image[top:bottom, left:right], [contour_xy_px - np.array([left, top], np.float32)], [color_rgb])


def draw_frame(
    image: UInt8Array, contours_xy_px: Sequence[Float32Array], colors_rgb: Sequence[tuple[int, int, int]]
) -> bytes:
    """A JPEG of a whole frame with its outlines; parameters as of :func:`draw_nodule`."""
    return _draw(image, contours_xy_px, colors_rgb)


def _span(middle: float, side: float, limit: int) -> tuple[int, int]:
    side_px = min(round(side), limit)
    first = min(max(round(middle - side_px / 2.0), 0), limit - side_px)
    return first, first + side_px


def _draw(part: UInt8Array, contours: Sequence[Float32Array], colors_rgb: Sequence[tuple[int, int, int]]) -> bytes:
    """Scaled first and drawn then, so that the line is as thin on a large nodule as on a small one."""
    height, width = part.shape[:2]
    scale = SIDE_PX / max(height, width)
    size_wh = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(part, size_wh, interpolation=cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR)
    small = cv2.cvtColor(small, cv2.COLOR_GRAY2BGR if small.ndim == 2 else cv2.COLOR_RGB2BGR)
    for contour, (red, green, blue) in zip(contours, colors_rgb, strict=True):
        points = np.round((contour * scale - 0.5) * (1 << _SHIFT)).astype(np.int32)
        cv2.polylines(small, [points], True, _BLACK, 3, cv2.LINE_AA, _SHIFT)
        cv2.polylines(small, [points], True, (blue, green, red), 1, cv2.LINE_AA, _SHIFT)
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return bytes(data)
