"""The scale of a frame by two points of known distance, as a person sets it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from usassist.errors import CalibrationError

__all__ = ["DISTANCE_MM", "LEAST_LENGTH_PX", "Points", "TwoPointScale", "scale_of_two_points"]

Points = tuple[tuple[float, float], tuple[float, float]]

LEAST_LENGTH_PX = 40.0
"""Least distance of the points: below it the two clicks alone are more than 5 % of it."""
DISTANCE_MM = (1.0, 300.0)
"""Least and greatest distance that may be stated."""

_CLICK_SD_PX = 1.5  # of a cursor along the line, Ultrasound Med Biol 2000, S0301-5629(00)00249-0
_ASPECT_SD = 0.01  # of the assumption that pixels are square, as for a ruler without a horizontal one
_SCREEN_SD = 0.001  # of marks as scanners draw them
_DEPTH_MM = (20.0, 300.0)  # of an image


@dataclass(frozen=True, slots=True, kw_only=True)
class TwoPointScale:
    """A scale by two points.

    Attributes
    ----------
    mm_per_px : of rows and columns alike: pixels are taken as square
    rel_sd : its relative standard uncertainty
    length_px : distance of the points
    """

    mm_per_px: float
    rel_sd: float
    length_px: float


def scale_of_two_points(points_xy_px: Points, distance_mm: float, image_hw_px: tuple[int, int]) -> TwoPointScale:
    """The scale of an image on which two points have a known distance.

    Each click has a standard uncertainty of 1.5 px along the line, so that of the line is sqrt(2) * 1.5 px. One line
    shows one direction; that pixels are square is assumed with 1 %, which also covers a line along neither axis.

    Parameters
    ----------
    points_xy_px : x, y of each in image coordinates, px
    distance_mm : between them
    image_hw_px : height and width of the image

    Raises
    ------
    CalibrationError
        If a point lies outside the image, they are less than 40 px apart, the distance is not 1 to 300 mm, or the depth
        of the image would not be 20 to 300 mm.
    """
    height_px, width_px = image_hw_px
    for x_px, y_px in points_xy_px:
        if not (0.0 <= x_px <= width_px and 0.0 <= y_px <= height_px):
            raise CalibrationError("a point lies outside the frame; click inside the image")
    (x1_px, y1_px), (x2_px, y2_px) = points_xy_px
    length_px = math.hypot(x2_px - x1_px, y2_px - y1_px)
    if not length_px >= LEAST_LENGTH_PX:
        raise CalibrationError(
            f"the points are {length_px:.0f} px apart; choose two that are {LEAST_LENGTH_PX:.0f} px apart or more"
        )
    if not DISTANCE_MM[0] <= distance_mm <= DISTANCE_MM[1]:
        raise CalibrationError(
            f"the distance must be {DISTANCE_MM[0]:.0f} to {DISTANCE_MM[1]:.0f} mm; state it in millimetres"
        )
    mm_per_px = distance_mm / length_px
    depth_mm = height_px * mm_per_px
    if not _DEPTH_MM[0] <= depth_mm <= _DEPTH_MM[1]:
        raise CalibrationError(
            f"the image would be {depth_mm:.0f} mm deep, and {_DEPTH_MM[0]:.0f} to {_DEPTH_MM[1]:.0f} mm are plausible;"
            " check points and distance"
        )
    clicks = math.sqrt(2.0) * _CLICK_SD_PX / length_px
    return TwoPointScale(
        mm_per_px=mm_per_px, rel_sd=math.sqrt(clicks**2 + _ASPECT_SD**2 + _SCREEN_SD**2), length_px=length_px
    )
