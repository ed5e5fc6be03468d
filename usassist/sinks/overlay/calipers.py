"""Calipers: marks at the ends of the measured diameters, + at the longest and × across it, as scanners draw them."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.records import Measurements
from usassist.sinks.overlay.outline import SUBPIXEL_BITS
from usassist.sinks.overlay.text import HALO, Color

__all__ = ["caliper_ends", "draw_axis", "draw_mark"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

_DOT_STEP = 5.0  # between the dots of an axis, times the length of an arm of its marks
_ONE = 1 << SUBPIXEL_BITS


def caliper_ends(sizes: Measurements, row: int) -> tuple[Float32Array, ...]:
    """Ends of the longest diameter, and of the extent across it, of one section.

    Returns
    -------
    ends : float32 (2, 2) each, end and x, y, px of the frame; empty where the border of the scan cuts the section, and
        where the ends are not known
    """
    if sizes.major_ends_xy_px is None or sizes.minor_ends_xy_px is None or sizes.is_cut(row):
        return ()
    return sizes.major_ends_xy_px[row], sizes.minor_ends_xy_px[row]


def draw_axis(area: UInt8Array, ends_xy_px: Float32Array, color: Color, arm_px: float, line_px: int, *, turned: bool) -> None:
    """Draw the marks of one diameter, and dots between them, which leave the image to be seen.

    Parameters
    ----------
    area : uint8 (H, W, 3), RGB
    ends_xy_px : float32 (2, 2), of the diameter, px of `area`
    color : RGB
    arm_px, line_px : length of an arm of a mark, and its thickness
    turned : marks are ×, else +
    """
    first, second = ends_xy_px - np.float32(0.5)
    length_px = float(np.hypot(*(second - first)))
    count = int(length_px / (_DOT_STEP * arm_px))
    for share in np.linspace(0.0, 1.0, count + 2)[1:-1]:
        _dot(area, first + (second - first) * share, color, line_px)
    for end in (first, second):
        draw_mark(area, end, color, arm_px, line_px, turned=turned)


def draw_mark(area: UInt8Array, center: Float32Array, color: Color, arm_px: float, line_px: int, *, turned: bool) -> None:
    """Draw one mark, + or ×, with a dark edge."""
    reach = arm_px / np.sqrt(2.0)
    arms = ((reach, reach), (reach, -reach)) if turned else ((arm_px, 0.0), (0.0, arm_px))
    for shade, width_px in ((HALO, line_px + 2), (color, line_px)):
        for arm in arms:
            begin, end = (np.round((center + sign * np.array(arm)) * _ONE).astype(int) for sign in (-1.0, 1.0))
            cv2.line(area, begin.tolist(), end.tolist(), shade, width_px, cv2.LINE_AA, SUBPIXEL_BITS)


def _dot(area: UInt8Array, center: Float32Array, color: Color, line_px: int) -> None:
    place = np.round(center * _ONE).astype(int).tolist()
    for shade, radius_px in ((HALO, 0.5 * line_px + 1.0), (color, 0.5 * line_px)):
        cv2.circle(area, place, round(radius_px * _ONE), shade, -1, cv2.LINE_AA, SUBPIXEL_BITS)
