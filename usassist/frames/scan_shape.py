"""The shape of the image inside the scan area: its outline, and whether it is a dual view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError
from usassist.frames.geometry import to_grey

__all__ = ["ScanShape", "find_scan_shape"]

_UInt8Array = npt.NDArray[np.uint8]
_Float64Array = npt.NDArray[np.float64]

Outline = Literal["rectangle", "trapezoid", "fan"]

_SIDE_PX = 320  # maximum width of the reduced copy
_SEAM_AT = (0.35, 0.65)  # range of the seam, part of the width
_SEAM_TIMES = 2.2  # minimum step at the seam, times the steps beside it
_SEAM_ROWS = 0.5  # minimum share of lit rows with a distinct step
_SEAM_AT_SKIN = 0.55  # the same in the upper quarter
_SEAM_ALONG = 0.2  # the same in every quarter
_LIT_LEVELS = 10
_SLOPE = 0.06  # minimum lateral shift of a slanted edge, part of the width
_BOW = 0.035  # minimum sag of a fan's upper edge in its middle, part of the width


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanShape:
    """The shape of an ultrasound image.

    Attributes
    ----------
    outline : ``rectangle``, ``trapezoid`` or ``fan``; of a dual view, that of both together
    views : 1, or 2 for two views side by side
    seam_px : column where the two views meet, px of the image; None for one view
    """

    outline: Outline
    views: int
    seam_px: int | None


def find_scan_shape(frames: Sequence[_UInt8Array]) -> ScanShape:
    """Find the shape of the image.

    Parameters
    ----------
    frames : uint8 (H, W) grey or (H, W, 3) RGB, cropped to the scan area, all of one size

    Raises
    ------
    ScanAreaError
        If there are no frames, their sizes differ, or they are too dark.
    """
    if not frames or any(frame.shape != frames[0].shape for frame in frames):
        raise ScanAreaError("the shape of the image needs one or more frames of one size; give such frames")
    greys = [to_grey(frame) for frame in frames[:8]]
    height_px, width_px = greys[0].shape
    scale = min(1.0, _SIDE_PX / width_px)
    size = (max(16, round(scale * width_px)), max(16, round(scale * height_px)))
    small = [np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8) for grey in greys]
    brightest = np.asarray(np.stack(small).max(axis=0), np.uint8)
    lit = np.asarray(cv2.blur(brightest, (5, 5))) > _LIT_LEVELS
    if lit.mean() < 0.1:
        raise ScanAreaError("the image is too dark to find its shape; put the probe on and try again")
    seam = _find_seam(np.stack(small).astype(np.float64).mean(axis=0), lit)
    seam_px = None if seam is None else round((seam + 0.5) * width_px / size[0])
    return ScanShape(outline=_find_outline(lit), views=1 if seam is None else 2, seam_px=seam_px)


def _find_seam(mean: _Float64Array, lit: npt.NDArray[np.bool_]) -> int | None:
    """Column of a discontinuity over the whole height of the image; None when there is none."""
    width_px = mean.shape[1]
    rows = lit[:, width_px // 4 : 3 * width_px // 4].mean(axis=1) > 0.3
    if rows.sum() < 0.3 * mean.shape[0]:
        return None
    soft = np.asarray(cv2.blur(mean, (1, 5)), np.float64)[rows]
    step = np.abs(soft[:, 3:] - soft[:, :-3])  # over three columns: there may be a thin dark line between the views
    first, last = (round(share * width_px) - 1 for share in _SEAM_AT)
    strength = step.mean(axis=0)
    at = first + int(np.argmax(strength[first:last]))
    beside = np.r_[max(0, at - 24) : max(0, at - 5), at + 6 : min(step.shape[1], at + 25)]
    stands_out = step[:, max(0, at - 2) : at + 3].max(axis=1) > 1.5 * np.median(step[:, beside], axis=1) + 2
    quarters = np.array([part.mean() for part in np.array_split(stands_out, 4)])
    whole_height = quarters[0] >= _SEAM_AT_SKIN and quarters.min() >= _SEAM_ALONG  # a shadow starts below the skin
    if strength[at] < _SEAM_TIMES * np.median(strength[beside]) or stands_out.mean() < _SEAM_ROWS or not whole_height:
        return None
    return int(at + 1)


def _find_outline(lit: npt.NDArray[np.bool_]) -> Outline:
    """Classify by the slope of the left and right edges in the upper half and the sag of the upper edge."""
    height_px, width_px = lit.shape
    some = lit.any(axis=0)
    top = np.where(some, lit.argmax(axis=0), height_px)
    middle = float(np.median(top[round(0.45 * width_px) : round(0.55 * width_px)]))
    rows = np.flatnonzero(lit.sum(axis=1) > 0.2 * width_px)
    if not len(rows):
        return "rectangle"
    upper, lower = rows[len(rows) // 20], rows[len(rows) // 2]
    left = [int(lit[row].argmax()) for row in (upper, lower)]
    right = [width_px - 1 - int(lit[row, ::-1].argmax()) for row in (upper, lower)]
    slanted = min(left[0] - left[1], right[1] - right[0]) > _SLOPE * width_px
    highest = float(np.percentile(top[some], 2))
    if slanted and middle - highest > _BOW * width_px:
        return "fan"
    return "trapezoid" if slanted else "rectangle"
