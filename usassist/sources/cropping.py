"""Choose which part of a grabbed screen becomes the frame, and cut it out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import CalibrationError, ScanAreaError, UsageError
from usassist.frames import find_scan_area
from usassist.sources.base import SourceOptions

__all__ = ["Roi", "choose_roi", "common_area", "cut", "cut_plain", "is_automatic"]

Roi = tuple[int, int, int, int]
UInt8Array = npt.NDArray[np.uint8]


_SAME_AREA = 0.9  # overlap over union from which on two scan areas are the same
_SAME_EDGE = 0.03  # edges are the same when they differ by less than this share of the longer side


def is_automatic(options: SourceOptions) -> bool:
    """True when the scan area has to be found on the screens themselves."""
    return options.crop == "auto" and (options.geometry is None or options.geometry.crop_xyxy_px is None)


def choose_roi(
    options: SourceOptions,
    grab_hw_px: tuple[int, int],
    windows: Callable[[], Iterable[Sequence[UInt8Array]]],
    *,
    may_be_whole: bool = True,
) -> Roi:
    """The crop on a screen of this size: the requested one, the calibration's, or the scan area that is found.

    Parameters
    ----------
    options : of the source
    grab_hw_px : height and width of the screen, px
    windows : yields sampled screens of the stream, a few at a time, in order; called only when the scan area has to be
        found
    may_be_whole : False where the input is certainly a scanner's screen: then the whole screen is no valid result

    Returns
    -------
    roi_xyxy_px : x1, y1, x2, y2, px of the screen

    Raises
    ------
    CalibrationError
        If the calibration was made on a screen of another size.
    UsageError
        If the requested crop does not lie on the screen.
    ScanAreaError
        If the scan area has to be found and no sample shows one.
    """
    height_px, width_px = grab_hw_px
    geometry = options.geometry
    if geometry is not None and geometry.grab_hw_px is not None and geometry.grab_hw_px != grab_hw_px:
        raise CalibrationError(
            f"calibration {geometry.calibration_id} was made on a screen of {geometry.grab_hw_px[1]} x "
            f"{geometry.grab_hw_px[0]} px, but this one has {width_px} x {height_px} px; "
            "choose the calibration of this scanner, or calibrate again"
        )
    if isinstance(options.crop, tuple):
        if not _fits(options.crop, grab_hw_px):
            raise UsageError(
                f"crop {options.crop} does not lie on the screen of {width_px} x {height_px} px; "
                "give x1,y1,x2,y2 with 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height"
            )
        return options.crop
    if options.crop == "none":
        return 0, 0, width_px, height_px
    if geometry is not None and geometry.crop_xyxy_px is not None:
        if not _fits(geometry.crop_xyxy_px, grab_hw_px):
            raise CalibrationError(
                f"calibration {geometry.calibration_id}: crop {geometry.crop_xyxy_px} does not lie on this screen of "
                f"{width_px} x {height_px} px; choose the calibration of this scanner, or calibrate again"
            )
        return geometry.crop_xyxy_px
    failure: ScanAreaError | None = None
    for window in windows():
        try:
            return find_scan_area(window, may_be_whole=may_be_whole).xyxy_px
        except ScanAreaError as error:
            failure = error
    raise failure or ScanAreaError("there are no frames to find the scan area on; give it with --crop X1,Y1,X2,Y2")


def common_area(areas: Sequence[Roi]) -> Roi | None:
    """The common scan area of the images of one sequence, or None when they are not one sequence.

    Most of the images must show the same area. An image that shows less of it, because its depth or one side is dark,
    must share the upper edge and the left or right one.

    Parameters
    ----------
    areas : x1, y1, x2, y2 as found on single images of one size, px
    """
    if not areas:
        return None
    edges = np.array(areas)
    whole: Roi = (*edges[:, :2].min(axis=0).tolist(), *edges[:, 2:].max(axis=0).tolist())
    if all(_overlap(areas[0], area) >= _SAME_AREA for area in areas):
        return whole
    same = np.array([_overlap(area, whole) >= _SAME_AREA for area in areas])
    slack_px = _SAME_EDGE * max(whole[2] - whole[0], whole[3] - whole[1])
    left, top, right, _ = (np.abs(edges - whole) <= slack_px).T
    return whole if same.mean() > 0.5 and bool((same | (top & (left | right))).all()) else None


def _overlap(one: Roi, other: Roi) -> float:
    """Area of the overlap over the area of the union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0, width) * max(0, height)
    total = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return both / (total - both)


def cut(image: UInt8Array, roi_xyxy_px: Roi) -> UInt8Array:
    """The part of a screen inside the rectangle, in C order; copied only where necessary."""
    x1, y1, x2, y2 = roi_xyxy_px
    return np.ascontiguousarray(image[y1:y2, x1:x2])


def cut_plain(image: UInt8Array, roi_xyxy_px: Roi) -> UInt8Array:
    """As :func:`cut`, but one grey plane where R, G and B are equal, as in B-mode: a third of the bytes."""
    part = cut(image, roi_xyxy_px)
    if part.ndim == 3:
        red, green, blue = cv2.split(part)
        if not cv2.norm(red, green, cv2.NORM_INF) and not cv2.norm(green, blue, cv2.NORM_INF):
            return np.asarray(green, np.uint8)
    return part


def _fits(crop: Roi, grab_hw_px: tuple[int, int]) -> bool:
    x1, y1, x2, y2 = crop
    return 0 <= x1 < x2 <= grab_hw_px[1] and 0 <= y1 < y2 <= grab_hw_px[0]
