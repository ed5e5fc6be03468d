"""The marks of a ruler: where each is, how much it weighs, and what their weights say about the ruler.

The weight of a mark is its brightness summed over its pixels, as white pixels: a longer tick weighs more, and so does a
brighter one; scanners tell centimetres from finer ticks by either.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["LONGER", "TOUCHING", "are_alike", "centre_of", "extent_of", "has_finer", "major_of", "thickest_px"]

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

_LIT_SHARE = 0.6  # of the way from the surroundings to its middle, above which a pixel belongs to a mark
_ALIKE = 0.3  # ticks of one kind differ by less than this share of their weight
_FINER = (2, 4, 5, 10)  # parts of a tick's distance at which fainter marks may stand
_FINER_SHARE = 0.8  # of these places that have one
_LEAST_FINER_PX = 4.0
_FAINT = 10  # grey levels of such a mark
TOUCHING = 6.0  # a mark with so many times the weight of the others is no tick of another length
LONGER = 1.45  # a major tick has this many times the weight of the others


def thickest_px(length_px: int) -> int:
    """Height up to which a mark is a tick, on a screen that is so long along the ruler, px."""
    return max(4, round(0.009 * length_px))


def centre_of(profile: UInt8Array, row: int, half: int) -> float:
    """Centre of the mark at a row of a column of pixels, weighted by brightness, in continuous coordinates, px."""
    lit = profile >= 0.3 * profile[row]
    first = last = row
    while first > max(0, row - half) and lit[first - 1]:
        first -= 1
    while last < min(len(profile) - 1, row + half) and lit[last + 1]:
        last += 1
    weights = profile[first : last + 1].astype(np.float64)
    return first + 0.5 + float(weights @ np.arange(len(weights))) / float(weights.sum())


def extent_of(grey: UInt8Array, column: int, row: int, half: int) -> tuple[int, int, int, float]:
    """First and last (exclusive) column, height and weight of the mark at a place of the screen, px."""
    top, left = max(0, row - 2 * half), max(0, column - 6 * half)
    part = grey[top : row + 2 * half + 1, left : column + 6 * half + 1]
    peak = float(part[row - top, column - left])
    floor = float(min(part[0, column - left], part[-1, column - left]))
    lit = np.asarray(part > floor + _LIT_SHARE * (peak - floor), np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(lit, connectivity=8)
    number = labels[row - top, column - left]
    x, y, width, height, _ = (int(value) for value in stats[number])
    box = np.s_[y : y + height, x : x + width]
    weight = float(part[box][labels[box] == number].sum()) / 255.0
    return left + x, left + x + width, height, weight


def are_alike(index: npt.NDArray[np.int64], weights: FloatArray, every: int | None) -> bool:
    """True when no tick but the first is longer, but for one that touches another mark of the screen."""
    usual = np.sort(weights[1:])[(len(weights) - 2) // 2]
    odd = int(np.count_nonzero(np.abs(weights[1:] - usual) > _ALIKE * usual))
    touching = int(np.count_nonzero(weights[1:] > TOUCHING * usual))
    return every is None and odd - min(touching, 1) == 0


def has_finer(profile: UInt8Array, start: float, step: float, gaps: int) -> bool:
    """True when there are fainter marks between the ticks, at halves, quarters, fifths or tenths of their distance."""
    bright = np.asarray(cv2.dilate(profile[:, None], np.ones((3, 1), np.uint8)), np.uint8)[:, 0]
    ground = float(np.median(bright[max(0, int(start)) : int(start + step * gaps)]))
    for parts in _FINER:
        shares = np.arange(1, parts) / parts
        places = np.rint(start + step * (np.arange(gaps)[:, None] + shares) - 0.5).astype(int).clip(0, len(bright) - 1)
        if places.size < 3 or step / parts < _LEAST_FINER_PX:
            continue
        if np.mean(bright[places] >= max(_FAINT, 4.0 * ground)) >= _FINER_SHARE:
            return True
    return False


def major_of(index: npt.NDArray[np.int64], weights: FloatArray) -> tuple[int | None, int]:
    """How often a tick is longer, and the number of the first that is; None where there is no such order."""
    own = weights <= TOUCHING * np.median(weights)
    longer = index[own & (weights >= LONGER * np.median(weights))]
    if 2 * len(longer) >= len(index) or len(longer) < 2:
        longer = index[own & (weights >= LONGER * weights.min())]
    if len(longer) < 2:
        return None, 0
    gaps = np.diff(longer)
    every = int(gaps.min())
    if every < 2 or (gaps % every).any():
        return None, 0
    return every, int(longer[0] % every)
