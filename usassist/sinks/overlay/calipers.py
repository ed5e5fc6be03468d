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


def draw_axis(
    area: UInt8Array, ends_xy_px: Float32Array, color: Color, arm_px: float, line_px: int, *, turned: bool
) -> None:
    """Draw the marks of one diameter, and dots between them, which leave the image to be seen.

    Parameters
    ----------
    area : uint8 (H, W, 3), RGB
    ends_xy_px : float32 (2, 2), of the diameter, px of `area`
    color : RGB
    arm_px, line_px : length of an arm of a mark, and its thickness
    turned : marks are ×, else +
    """
    first, second = ends_xy_px
    length_px = float(np.hypot(*(second - first)))
    shares = np.linspace(0.0, 1.0, int(length_px / (_DOT_STEP * arm_px)) + 2)[1:-1, None]
    dots = first + (second - first) * shares
    half_dot = (second - first) * (0.8 * line_px / max(length_px, 1.0))
    _draw_lines(area, np.stack([dots - half_dot, dots + half_dot], axis=1), color, line_px)
    _draw_lines(area, np.concatenate([_arms(end, arm_px, turned=turned) for end in ends_xy_px]), color, line_px)


def draw_mark(
    area: UInt8Array, center_xy_px: Float32Array, color: Color, arm_px: float, line_px: int, *, turned: bool
) -> None:
    """Draw one mark, + or ×, with a dark edge."""
    _draw_lines(area, _arms(center_xy_px, arm_px, turned=turned), color, line_px)


def _arms(center_xy_px: Float32Array, arm_px: float, *, turned: bool) -> npt.NDArray[np.float64]:
    """The two lines of a mark, float64 (2, 2, 2): line, end, x and y."""
    reach = arm_px / np.sqrt(2.0)
    arms = np.array(((reach, reach), (reach, -reach)) if turned else ((arm_px, 0.0), (0.0, arm_px)))
    return np.asarray(center_xy_px + np.stack([-arms, arms], axis=1), np.float64)


def _draw_lines(area: UInt8Array, lines_xy_px: npt.NDArray[np.floating], color: Color, line_px: int) -> None:
    points = np.round((lines_xy_px - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    for shade, width_px in ((HALO, line_px + 2), (color, line_px)):
        cv2.polylines(area, list(points), False, shade, width_px, cv2.LINE_AA, SUBPIXEL_BITS)
