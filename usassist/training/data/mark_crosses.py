"""Crosses in a frame: the ends of a scanner's measurements.

A cross has arms of one level, about one pixel thin; the areas between the arms are darker, and so is what lies beyond
the ends of the arms.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["AXES", "DIAGONALS", "LONGEST_ARM_PX", "Cross", "find_crosses"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

AXES = ((1, 0), (0, 1), (-1, 0), (0, -1))
DIAGONALS = ((1, 1), (-1, 1), (-1, -1), (1, -1))
LONGEST_ARM_PX = 8

_PAD_PX = 12
_HALF_PX = (4, 3, 2)  # half lengths of the crosses that are looked for, the longer ones first
_LEAST_LEVEL = 120  # of the darkest pixel of a cross's arms
_LEAST_CONTRAST = {4: 42, 3: 48, 2: 70}  # of a cross's arms over the areas between them, per half length
_TILTED_CONTRAST = 1.3  # fibres and speckle look more often like a tilted cross
_LEAST_BORDER_PX = 4  # of the centre of a cross
_LEAST_OVER_MEAN = 12
_LEAST_END = 25  # how much darker a cross is beyond the ends of its arms
_LESS_EVIDENCE = 0.6  # of another cross beside a sure one
_WIDEST_PEAK_PX = 4
_LEVEL_SPREAD = 16  # between the crosses of one frame


class Cross(NamedTuple):
    """A cross: its centre, the lowest level of its arms, and whether it is tilted by 45 degrees."""

    x: int
    y: int
    level: int
    tilted: bool


def find_crosses(image: UInt8Array) -> list[Cross]:
    """Crosses of both orientations; where there is one, others of its level are taken on less evidence."""
    padded = np.asarray(cv2.copyMakeBorder(image, _PAD_PX, _PAD_PX, _PAD_PX, _PAD_PX, cv2.BORDER_REPLICATE), np.uint8)
    soft = np.asarray(cv2.blur(padded, (3, 3)), np.uint8)
    mean = cv2.blur(image, (11, 11))
    evidence = {tilted: _weigh_evidence(image, padded, soft, mean, tilted=tilted) for tilted in (False, True)}
    crosses = [cross for tilted in (False, True) for cross in _peaks(*evidence[tilted], 1.0, tilted=tilted)]
    levels = [cross.level for cross in crosses]
    for tilted in {cross.tilted for cross in crosses}:
        for cross in _peaks(*evidence[tilted], _LESS_EVIDENCE, tilted=tilted):
            if any(abs(cross.level - level) <= _LEVEL_SPREAD for level in levels):
                crosses.append(cross)
    apart: list[Cross] = []
    for cross in crosses:
        if all(max(abs(cross.x - other.x), abs(cross.y - other.y)) > 4 for other in apart):
            apart.append(cross)
    return apart


def _weigh_evidence(
    image: UInt8Array, padded: UInt8Array, soft: UInt8Array, mean: npt.ArrayLike, *, tilted: bool
) -> tuple[Float32Array, UInt8Array]:
    """Contrast of a cross at each pixel relative to the least that is asked for, and the level of its arms: (H, W)."""
    evidence = np.zeros(image.shape, np.float32)
    levels = np.zeros(image.shape, np.uint8)
    along, between = (DIAGONALS, AXES) if tilted else (AXES, DIAGONALS)
    for half in _HALF_PX:
        darkest = np.asarray(cv2.erode(image, _arms(half, tilted=tilted)), np.uint8)
        # only where the arms stand out from their surroundings as well: the tests below are slow
        y, x = np.nonzero((darkest >= _LEAST_LEVEL) & (cv2.subtract(darkest, np.asarray(mean)) >= _LEAST_OVER_MEAN))
        level = darkest[y, x].astype(np.int32)
        gap = (half + 1 if tilted else half) - (half == 4)
        far = LONGEST_ARM_PX + 1 if half == 4 else half + 4
        source = padded if half == 2 else soft
        gaps = [source[y + _PAD_PX + dy * gap, x + _PAD_PX + dx * gap] for dx, dy in between]
        ends = [padded[y + _PAD_PX + dy * far, x + _PAD_PX + dx * far] for dx, dy in along]
        least = _LEAST_CONTRAST[half] * (_TILTED_CONTRAST if tilted else 1.0)
        # a figure may stand in one of the four areas between the arms, and one arm may point to something bright
        contrast = (level - np.sort(np.stack(gaps), axis=0)[2]) / np.float32(least)
        better = (contrast > evidence[y, x]) & (level - np.sort(np.stack(ends), axis=0)[2] >= _LEAST_END)
        evidence[y[better], x[better]] = contrast[better]
        levels[y[better], x[better]] = level[better]
    inner = np.s_[_LEAST_BORDER_PX:-_LEAST_BORDER_PX, _LEAST_BORDER_PX:-_LEAST_BORDER_PX]
    kept = np.zeros_like(evidence)
    kept[inner] = evidence[inner]
    return kept, levels


def _arms(half: int, *, tilted: bool) -> UInt8Array:
    arms = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    reach = half - (half > 2) if tilted else half
    for dx, dy in DIAGONALS if tilted else AXES:
        for step in range(2 if half == 4 else 0, reach + 1):  # some long crosses are open in the middle
            arms[half + dy * step, half + dx * step] = 1
    return arms


def _peaks(evidence: Float32Array, levels: UInt8Array, least: float, *, tilted: bool) -> list[Cross]:
    """The place with the most evidence in each group of neighbouring pixels; wide groups are no crosses."""
    good = (evidence >= least).astype(np.uint8)
    if not good.any():
        return []
    found = []
    count, labels, stats, _ = cv2.connectedComponentsWithStats(good, connectivity=8)
    for index in range(1, count):
        left, top, width, height, _ = (int(v) for v in stats[index])
        if max(width, height) <= _WIDEST_PEAK_PX:
            box = np.s_[top : top + height, left : left + width]
            inside = np.where(labels[box] == index, evidence[box], 0)
            row, column = (int(v) for v in np.unravel_index(int(inside.argmax()), inside.shape))
            found.append(Cross(left + column, top + row, int(levels[top + row, left + column]), tilted))
    return found
