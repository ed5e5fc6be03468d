"""Calipers and the figures beside them, found and painted out, so that they do not tell where a nodule is.

Found are crosses (upright and tilted), the figure or letter beside a cross, dotted lines between two crosses, and rows
of equally spaced dots (dotted outlines). A mark is one level bright, about one pixel thin, and darker on all sides; a
calcification is not a cross, and a single bright spot is left as it is. Frames are expected at about the size that they
have after cropping, 250 to 600 px wide; marks are 5 to 17 px there.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.training.data.mark_crosses import AXES, DIAGONALS, LONGEST_ARM_PX, Cross, find_crosses

__all__ = ["fill_marks", "find_marks", "remove_marks"]

UInt8Array = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int_]

_FIGURE_REACH_PX = 22  # how far a figure reaches from the centre of its cross
_LEAST_SIDE_PX = 48  # a smaller frame is left as it is
_DOT_CONTRAST = 32
_DOT_SPREAD = 32  # between the levels of the dots of a row
_MOST_DOTS = 400  # with more bright spots than this, a row of dots is chance
_TEXTURE_SHIFTS = ((0, 11), (0, -11), (9, 0), (-9, 0))


def find_marks(image: UInt8Array) -> UInt8Array:
    """Find the pixels of calipers, of the figures beside them and of dotted lines.

    Parameters
    ----------
    image : uint8 (H, W), grey

    Returns
    -------
    uint8 (H, W), 1 on a mark, 0 elsewhere
    """
    mask = np.zeros(image.shape, np.uint8)
    if min(image.shape) < _LEAST_SIDE_PX:
        return mask
    crosses = find_crosses(image)
    for cross in crosses:
        _mark_arms(mask, image, cross)
    arms = mask.copy()
    for cross in crosses:
        _mark_figure(mask, arms, image, cross)
    dots = _find_dots(image)
    _mark_lines(mask, dots, crosses)
    _mark_rows(mask, dots, image)
    return mask


def fill_marks(image: UInt8Array, mask: UInt8Array) -> UInt8Array:
    """Replace the marked pixels and one pixel around them by their surroundings, with texture.

    The level comes from the surroundings (Telea, An image inpainting technique based on the fast marching method, J.
    Graphics Tools 2004), the texture from pixels about ten pixels away, because a smooth patch would be a cue as well.

    Parameters
    ----------
    image : uint8 (H, W), grey
    mask : uint8 (H, W), not 0 where pixels are to be replaced

    Returns
    -------
    uint8 (H, W), a copy
    """
    out = image.copy()
    wide = np.asarray(cv2.dilate((mask > 0).astype(np.uint8), np.ones((3, 3), np.uint8)), np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(wide, np.ones((5, 5), np.uint8)), connectivity=8)
    for left, top, width, height, _ in stats[1:count]:
        y1, y2 = max(0, top - 14), min(image.shape[0], top + height + 14)
        x1, x2 = max(0, left - 14), min(image.shape[1], left + width + 14)
        area = np.s_[y1:y2, x1:x2]
        out[area] = _fill(out[area], np.ascontiguousarray(wide[area]))
    return out


def remove_marks(image: UInt8Array) -> UInt8Array:
    """Paint out what :func:`find_marks` finds.

    Parameters
    ----------
    image : uint8 (H, W), grey

    Returns
    -------
    uint8 (H, W), a copy; equal to the image if it has no marks
    """
    return fill_marks(image, find_marks(image))


def _fill(patch: UInt8Array, mask: UInt8Array) -> UInt8Array:
    level = np.asarray(cv2.inpaint(patch, mask, 2.0, cv2.INPAINT_TELEA), np.float32)
    grain = level - cv2.GaussianBlur(level, (0, 0), 1.5)
    missing = mask > 0
    texture = np.zeros_like(grain)
    for shift in _TEXTURE_SHIFTS:
        usable = missing & (np.roll(mask, shift, (0, 1)) == 0)
        texture[usable] = np.roll(grain, shift, (0, 1))[usable]
        missing &= ~usable
    soft = cv2.GaussianBlur(level, (0, 0), 1.0)
    out = np.where(mask > 0, soft + texture, patch.astype(np.float32))
    return np.asarray(np.clip(np.round(out), 0, 255), np.uint8)


def _mark_arms(mask: UInt8Array, image: UInt8Array, cross: Cross) -> None:
    """Follow the arms of a cross outwards, as long as they stay bright."""
    x, y = cross.x, cross.y
    around = image[max(0, y - 8) : y + 9, max(0, x - 8) : x + 9]
    dark = float(np.median(around))
    least = dark + 0.45 * (cross.level - dark)
    for dx, dy in DIAGONALS if cross.tilted else AXES:
        for step in range(LONGEST_ARM_PX + 1):
            bright = False
            for side in (0,) if cross.tilted else (0, 1, -1):
                px, py = x + dx * step + side * abs(dy), y + dy * step + side * abs(dx)
                if 0 <= px < image.shape[1] and 0 <= py < image.shape[0] and image[py, px] >= least:
                    mask[py, px], bright = 1, True
            if not bright and step > 2:
                break


def _mark_figure(mask: UInt8Array, arms: UInt8Array, image: UInt8Array, cross: Cross) -> None:
    """Mark what is as bright and thin as the cross, small, and beside it."""
    x, y, reach = cross.x, cross.y, _FIGURE_REACH_PX
    box = np.s_[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
    patch = image[box]
    thin = cv2.morphologyEx(patch, cv2.MORPH_TOPHAT, np.ones((5, 5), np.uint8))
    taken = cv2.dilate(arms[box], np.ones((3, 3), np.uint8)) > 0
    bright = (thin >= 0.4 * max(cross.level - float(np.median(patch)), 40.0)) & (patch >= 0.6 * cross.level) & ~taken
    count, labels, stats, _ = cv2.connectedComponentsWithStats(bright.astype(np.uint8), connectivity=8)
    for index in range(1, count):
        left, top, width, height, area = stats[index]
        inside = left > 0 and top > 0 and left + width < patch.shape[1] and top + height < patch.shape[0]
        if inside and 4 <= height <= 12 and width <= 10 and 5 <= area <= 50:
            mask[box][labels == index] = 1


def _find_dots(image: UInt8Array) -> IntArray:
    """Bright spots of one or two pixels that are darker all around: int (N, 2), x and y; none if there are many."""
    around = cv2.blur(image, (7, 7))
    brightest = cv2.dilate(image, np.ones((3, 3), np.uint8))
    spot = (image == brightest) & (cv2.subtract(image, around) >= _DOT_CONTRAST)
    # thin in every direction: along each of the four lines through the spot, it falls off on both sides
    padded = cv2.copyMakeBorder(image, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    height_px, width_px = image.shape
    fall = np.uint8(2 * _DOT_CONTRAST // 3)
    limit = np.maximum(image, fall) - fall
    for dx, dy in ((1, 0), (0, 1), (1, 1), (1, -1)):
        sides = [padded[2 + s * dy : 2 + s * dy + height_px, 2 + s * dx : 2 + s * dx + width_px] for s in (2, -2)]
        spot &= (sides[0] <= limit) & (sides[1] <= limit)
    y, x = np.nonzero(spot)
    return np.stack([x, y], axis=1)


def _mark_lines(mask: UInt8Array, dots: IntArray, crosses: list[Cross]) -> None:
    """Mark the dots on the straight line between two crosses, where there are enough of them."""
    for index, first in enumerate(crosses):
        for second in crosses[:index]:
            start = np.array([first.x, first.y], np.float64)
            along = np.array([second.x, second.y], np.float64) - start
            length = float(np.hypot(*along))
            if length < 12 or not len(dots):
                continue
            offset = (dots - start) @ np.array([-along[1], along[0]]) / length
            place = (dots - start) @ along / length
            on = (np.abs(offset) <= 1.6) & (place > 3) & (place < length - 3)
            if np.count_nonzero(on) < max(3.0, 0.08 * length):
                on &= np.abs(place - 0.5 * length) < 2.5  # some scanners mark the middle alone
            _mark_dots(mask, dots[on])


def _mark_rows(mask: UInt8Array, dots: IntArray, image: UInt8Array) -> None:
    """Mark rows of at least six dots, of one level, each but the first and last about midway between its neighbours."""
    if not 6 <= len(dots) <= _MOST_DOTS:
        return
    points = dots.astype(np.float32)
    step = points[None] - points[:, None]
    distance = np.hypot(step[..., 0], step[..., 1])
    level = image[dots[:, 1], dots[:, 0]].astype(np.int32)
    near = (distance >= 2.5) & (distance <= 11.0) & (np.abs(level[:, None] - level) <= _DOT_SPREAD)
    neighbours: list[set[int]] = [set() for _ in dots]
    for index in range(len(dots)):
        others = np.flatnonzero(near[index])
        for n, a in enumerate(others):
            bend = np.hypot(*(step[index, a] + step[index, others[:n]]).T)
            for b in others[:n][bend <= np.maximum(2.3, 0.35 * distance[index, a])]:
                neighbours[index] |= {int(a), int(b)}
    left = {index for index in range(len(dots)) if neighbours[index]}
    while left:
        row, edge = set(), [left.pop()]
        while edge:
            index = edge.pop()
            row.add(index)
            new = neighbours[index] & left
            left -= new
            edge += new
        if len(row) >= 6:
            _mark_dots(mask, dots[sorted(row | set().union(*(neighbours[i] for i in row)))])


def _mark_dots(mask: UInt8Array, dots: IntArray) -> None:
    for x, y in dots:
        mask[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2] = 1
