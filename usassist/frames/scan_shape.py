"""The shape of the picture inside the scan area: how many views it holds, and whether they are a fan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError

__all__ = ["ScanShape", "find_scan_shape"]

_UInt8Array = npt.NDArray[np.uint8]
_Float64Array = npt.NDArray[np.float64]

Outline = Literal["rectangle", "trapezoid", "fan"]

_SIDE_PX = 320  # the picture is looked at this wide
_SEAM_AT = (0.35, 0.65)  # two views meet in this part of the width
_SEAM_TIMES = 2.2  # the step at the seam is so many times the steps beside it
_SEAM_ROWS = 0.5  # and stands out in this share of the rows that are lit
_SEAM_AT_SKIN = 0.55  # of the rows of the upper quarter
_SEAM_ALONG = 0.2  # of the rows of every other quarter
_LIT_LEVELS = 10
_SLOPE = 0.06  # an edge that moves sideways by less than this part of the width stands upright
_BOW = 0.035  # the upper edge of a fan sags by this part of the width in its middle


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanShape:
    """What the picture looks like.

    Attributes
    ----------
    outline : ``rectangle``, ``trapezoid`` or ``fan``; of a dual view that of the whole
    views : 1, or 2 where two pictures stand side by side
    seam_px : column where the two meet, px of the picture; None for one view
    """

    outline: Outline
    views: int
    seam_px: int | None


def find_scan_shape(frames: Sequence[_UInt8Array]) -> ScanShape:
    """Tell the shape of the picture.

    Parameters
    ----------
    frames : uint8 (H, W) grey or (H, W, 3) RGB, cropped to the scan area, all of one size

    Raises
    ------
    ScanAreaError
        If there are no frames, their sizes differ, or they are dark.
    """
    if not frames or any(frame.shape != frames[0].shape for frame in frames):
        raise ScanAreaError("the shape of the picture needs one or more frames of one size; give such frames")
    greys = [f if f.ndim == 2 else np.asarray(cv2.cvtColor(f, cv2.COLOR_RGB2GRAY), np.uint8) for f in frames[:8]]
    height_px, width_px = greys[0].shape
    scale = min(1.0, _SIDE_PX / width_px)
    size = (max(16, round(scale * width_px)), max(16, round(scale * height_px)))
    small = [np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8) for grey in greys]
    brightest = np.asarray(np.stack(small).max(axis=0), np.uint8)
    lit = np.asarray(cv2.blur(brightest, (5, 5))) > _LIT_LEVELS
    if lit.mean() < 0.1:
        raise ScanAreaError("the picture is too dark to tell its shape; put the probe on and look again")
    seam = _seam(np.stack(small).astype(np.float64).mean(axis=0), lit)
    seam_px = None if seam is None else round((seam + 0.5) * width_px / size[0])
    return ScanShape(outline=_outline(lit), views=1 if seam is None else 2, seam_px=seam_px)


def _seam(mean: _Float64Array, lit: npt.NDArray[np.bool_]) -> int | None:
    """Column of an upright line across the whole picture, where what is left and right of it does not fit together."""
    width_px = mean.shape[1]
    rows = lit[:, width_px // 4 : 3 * width_px // 4].mean(axis=1) > 0.3
    if rows.sum() < 0.3 * mean.shape[0]:
        return None
    soft = np.asarray(cv2.blur(mean, (1, 5)), np.float64)[rows]
    step = np.abs(soft[:, 3:] - soft[:, :-3])  # over three columns: a thin dark line lies between
    first, last = (round(share * width_px) - 1 for share in _SEAM_AT)
    strength = step.mean(axis=0)
    at = first + int(np.argmax(strength[first:last]))
    beside = np.r_[max(0, at - 24) : max(0, at - 5), at + 6 : min(step.shape[1], at + 25)]
    stands_out = step[:, max(0, at - 2) : at + 3].max(axis=1) > 1.5 * np.median(step[:, beside], axis=1) + 2
    quarters = np.array([part.mean() for part in np.array_split(stands_out, 4)])
    whole_height = quarters[0] >= _SEAM_AT_SKIN and quarters.min() >= _SEAM_ALONG  # a shadow begins below the skin
    if strength[at] < _SEAM_TIMES * np.median(strength[beside]) or stands_out.mean() < _SEAM_ROWS or not whole_height:
        return None
    return int(at + 1)


def _outline(lit: npt.NDArray[np.bool_]) -> Outline:
    """From how the left and right edge run in the upper part, and whether the upper edge sags."""
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
