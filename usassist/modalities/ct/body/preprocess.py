"""From a transverse plane in HU to the input of the engine, and the way back: where the picture lies in the plane.

The engine sees three windows of the plane at 2.2 mm a pixel, centred on the body. A body that is larger than the
picture is made to fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["SIZE_YX_PX", "SPACING_MM", "WINDOWS_HU", "Placement", "place", "to_picture", "window_planes"]

Float32Array = npt.NDArray[np.float32]

SIZE_YX_PX = (192, 224)
SPACING_MM = 2.2
WINDOWS_HU = ((-190.0, 210.0), (-30.0, 130.0), (-1024.0, 1000.0))
"""Lower and upper end of each channel's window: fat and muscle, soft tissue, everything."""

AIR_HU = -1024.0
_FILL = 0.96  # of the picture that the body may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the engine's picture lies in the planes of a volume.

    Attributes
    ----------
    top_px, left_px : of the picture in the plane; may be negative
    height_px, width_px : of the picture in the plane, px of the plane
    """

    top_px: int
    left_px: int
    height_px: int
    width_px: int


def place(box_yxyx_px: tuple[int, int, int, int], spacing_yx_mm: tuple[float, float]) -> Placement:
    """Centre the picture on the body.

    Parameters
    ----------
    box_yxyx_px : of the body in all planes: top, left, bottom, right
    spacing_yx_mm : of the plane
    """
    top, left, bottom, right = box_yxyx_px
    height_mm, width_mm = (bottom - top) * spacing_yx_mm[0], (right - left) * spacing_yx_mm[1]
    spacing_mm = max(SPACING_MM, height_mm / (_FILL * SIZE_YX_PX[0]), width_mm / (_FILL * SIZE_YX_PX[1]))
    height = max(1, round(SIZE_YX_PX[0] * spacing_mm / spacing_yx_mm[0]))
    width = max(1, round(SIZE_YX_PX[1] * spacing_mm / spacing_yx_mm[1]))
    return Placement(
        top_px=(top + bottom - height) // 2, left_px=(left + right - width) // 2, height_px=height, width_px=width
    )


def to_picture(plane_hu: npt.NDArray[np.generic], placement: Placement) -> Float32Array:
    """HU of the picture, float32 of ``SIZE_YX_PX``: means where the plane is finer, interpolated where it is coarser.

    Parameters
    ----------
    plane_hu : int16 or float32 (Y, X), rows to the patient's back, columns to the left
    placement : of :func:`place`; what lies outside the plane is air
    """
    p = placement
    cut = np.full((p.height_px, p.width_px), AIR_HU, np.float32)
    rows = slice(max(p.top_px, 0), max(min(p.top_px + p.height_px, plane_hu.shape[0]), 0))
    columns = slice(max(p.left_px, 0), max(min(p.left_px + p.width_px, plane_hu.shape[1]), 0))
    inside = (
        slice(rows.start - p.top_px, rows.stop - p.top_px),
        slice(columns.start - p.left_px, columns.stop - p.left_px),
    )
    cut[inside] = plane_hu[rows, columns]
    finer = p.height_px > SIZE_YX_PX[0]
    size = SIZE_YX_PX[::-1]
    return np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA if finer else cv2.INTER_LINEAR), np.float32)


def window_planes(picture_hu: Float32Array, out: Float32Array) -> None:
    """Write the windows of ``WINDOWS_HU``, each clipped and scaled to 0 to 1, into float32 (3, H, W)."""
    for channel, (low, high) in zip(out, WINDOWS_HU, strict=True):
        np.clip((picture_hu - low) * (1.0 / (high - low)), 0.0, 1.0, out=channel)
