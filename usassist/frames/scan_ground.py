"""The ground of a scanner's screen: what is flat there, how far every pixel differs from it, and what is text on it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError

__all__ = [
    "LIT_LEVELS",
    "MAX_FRAMES",
    "dense",
    "ground_distance",
    "is_noisy",
    "opened",
    "reduce_screens",
    "text_strokes",
    "thickness_px",
]

LIT_LEVELS = 4
"""Grey levels away from the background that count as something."""

MAX_FRAMES = 8
"""More frames than this are thinned out evenly."""

_UInt8Array = npt.NDArray[np.uint8]
_BoolArray = npt.NDArray[np.bool_]

_WORK_SIDE_PX = 640  # the search runs on a copy, whole steps smaller, whose longer side is at most this
_FLAT_SHARE = 0.02  # less flat background than this: the frame is all picture
_NOISY_FLAT_SHARES = ((3, 0.02), (7, 0.15))  # averaged over such a square, so much of a noisy screen is flat
_FLAT_LEVELS = 2  # range within a small square of the flat background, noise averaged
_SMOOTH_SIDE_PX, _SMOOTH_SHARE = 9, 0.9  # in such a square, so many pixels are the median of their neighbours
_EDGE_NOISE_SHARE = 0.05  # of the upper part of the frame's edge; more noise there is the ground's
_NEAR_LEVELS = 8  # flat pixels this close to the background's level show its noise
_ONE_LEVEL_SHARE = 0.5  # a background of one level has this share of the flat pixels
_TEXT_LEVELS = 48  # thin strokes at least this far from the bare background are text
_BARE_LEVELS = 12  # closer than this to the background is bare, traces of compression included
_FRAMES_TO_DOUBT = 4  # of so many and more, a single one that shows something else does not count:
_LONELY_LEVELS, _LONELY_SHARE = 40, 0.15  # so much brighter than all others, in such a share of the screen
_MOTION_LEVELS = 6  # range in time that counts as motion
_THICK = 0.036  # share of the longer side below which a structure is text, a ruler or a bar


def reduce_screens(frames: Sequence[_UInt8Array]) -> tuple[_UInt8Array, _BoolArray | None, int]:
    """Brightest value in time and where there is motion (None for a still), both `step_px` times smaller.

    Where a single one of four frames and more is much brighter than all others (a flash, another page of the scanner),
    it counts neither as bright nor as motion.
    """
    if not frames:
        raise ScanAreaError("no frames were given to find the scan area on; give at least one")
    shape = frames[0].shape[:2]
    if any(frame.shape[:2] != shape for frame in frames):
        raise ScanAreaError("the frames differ in size, so they have no common scan area; search in each on its own")
    step_px = -(-max(shape) // _WORK_SIDE_PX)
    rows, columns = max(1, shape[0] // step_px), max(1, shape[1] // step_px)
    chosen = frames[:: -(-len(frames) // MAX_FRAMES)]
    high: list[_UInt8Array] = []  # the brightest values, falling
    low: list[_UInt8Array] = []  # the darkest, rising
    kept = 2 if len(chosen) >= _FRAMES_TO_DOUBT else 1
    for frame in chosen:
        small = frame
        if step_px > 1:
            whole_steps = frame[: rows * step_px, : columns * step_px]
            small = np.asarray(cv2.resize(whole_steps, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
        if small.ndim == 3:
            small = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        high = _with(high, small, kept, np.maximum, np.minimum)
        low = _with(low, small, kept, np.minimum, np.maximum)
    lonely = kept == 2 and (cv2.subtract(high[0], high[1]) > _LONELY_LEVELS).mean() > _LONELY_SHARE
    brightest, darkest = (high[1], low[1]) if lonely else (high[0], low[0])
    moving = cv2.subtract(brightest, darkest) > _MOTION_LEVELS
    return brightest, moving if moving.any() else None, step_px


def _with(best: list[_UInt8Array], new: _UInt8Array, kept: int, first: np.ufunc, second: np.ufunc) -> list[_UInt8Array]:
    """The `kept` best values of every pixel, with those of one more frame."""
    out = []
    for values in best:
        out.append(first(values, new))
        new = second(values, new)
    return [*out, new][:kept]


def ground_distance(grey: _UInt8Array) -> _UInt8Array | None:
    """Levels above the noise by which a pixel differs from the background; None when no part of the screen is flat."""
    flat = local_range(grey) <= _FLAT_LEVELS
    clean = bool(flat.mean() >= _FLAT_SHARE)
    flat &= ~_dark_tissue(grey, flat)
    if not clean:  # an analogue grabber adds noise everywhere
        for side_px, share in _NOISY_FLAT_SHARES:
            flat = local_range(np.asarray(cv2.blur(grey, (side_px, side_px)), np.uint8)) <= _FLAT_LEVELS
            if flat.mean() >= share:
                break
        else:
            return None
    kernel = np.ones((5, 5), np.uint8)
    count = np.bincount(grey[flat], minlength=256).astype(np.float64)
    near_count = np.convolve(count, np.ones(3), "same")
    # Of the levels that are common, the darkest: an even patch of tissue must not pass for background.
    first = int(np.flatnonzero(near_count >= 0.25 * near_count.max())[0])
    level = first + int(np.argmax(count[first : first + 3]))
    distance = np.asarray(cv2.absdiff(grey, np.full_like(grey, level)), np.uint8)
    other_ground = _even_ground(grey, flat, count, level)
    near = flat & ((distance <= _NEAR_LEVELS) | (other_ground > 0))
    if near.sum() < _ONE_LEVEL_SHARE * flat.sum():  # a background that shades off: texture decides
        distance, near = local_range(grey), flat
    else:  # parts of the screen in other even colours
        panel = opened(flat & (distance > _NEAR_LEVELS), thickness_px(grey)) | other_ground
        distance[cv2.dilate(panel, kernel) > 0] = 0
    noise = 0 if clean else 3 * int(np.percentile(distance[near], 30))
    return np.asarray(cv2.subtract(distance, np.full_like(grey, noise)), np.uint8)


def _dark_tissue(grey: _UInt8Array, flat: _BoolArray) -> _BoolArray:
    """Flat parts with noise in them, on a screen whose own ground has none: the dark depth of a picture.

    A pixel of an even colour or of a shade is the median of its neighbours, one of noise often is not. Noise at the
    upper part of the frame's edge is that of the ground, and nothing is tissue then.
    """
    smooth = dense(grey == cv2.medianBlur(grey, 5), _SMOOTH_SIDE_PX, _SMOOTH_SHARE) > 0
    rough = flat & ~smooth
    upper = rough[: grey.shape[0] // 4]
    edge = np.concatenate([rough[:3].ravel(), upper[:, :3].ravel(), upper[:, -3:].ravel()])
    if (flat & smooth).mean() < _FLAT_SHARE or edge.mean() > _EDGE_NOISE_SHARE:
        return np.zeros(grey.shape, np.bool_)
    return opened(rough, thickness_px(grey) // 4 | 1) > 0  # thinner ones are the rims of marks


def _even_ground(grey: _UInt8Array, flat: _BoolArray, count: npt.NDArray[np.float64], level: int) -> _UInt8Array:
    """Where the screen has another even colour out to its edge, with the gaps between its marks."""
    ground = np.zeros(grey.shape, np.uint8)
    reach = np.ones((thickness_px(grey), thickness_px(grey)), np.uint8)
    for other in np.flatnonzero(count >= _FLAT_SHARE * grey.size):
        if other == level:
            continue
        _, labels, stats, _ = cv2.connectedComponentsWithStats((flat & (grey == other)).astype(np.uint8))
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        large = [part for part in edge[edge > 0] if stats[part, cv2.CC_STAT_AREA] >= _FLAT_SHARE / 2 * grey.size]
        if large:
            near = cv2.dilate(np.isin(labels, large).astype(np.uint8), reach)
            ground[(near > 0) & (np.abs(grey.astype(np.int16) - other) <= 1)] = 1
    return ground


def local_range(grey: _UInt8Array) -> _UInt8Array:
    """Brightest minus darkest in a small square."""
    return np.asarray(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)), np.uint8)


def thickness_px(grey: _UInt8Array) -> int:
    """The side below which a structure on the smaller copy is text, a ruler or a bar; odd."""
    longer_px: int = max(grey.shape[0], grey.shape[1])
    return max(5, round(_THICK * longer_px)) | 1


def text_strokes(distance: _UInt8Array, thick_px: int) -> _BoolArray:
    """Bright thin strokes on bare background, with a rim for the traces of compression."""
    side_px = thick_px // 2 | 1
    ground = cv2.morphologyEx(distance, cv2.MORPH_OPEN, np.ones((side_px, side_px), np.uint8))
    bare = dense(distance <= _BARE_LEVELS, thick_px, 0.5) > 0
    strokes = (distance >= _TEXT_LEVELS) & (ground <= LIT_LEVELS) & bare
    return np.asarray(cv2.dilate(strokes.astype(np.uint8), np.ones((5, 5), np.uint8)), np.uint8) > 0


def dense(mask: _BoolArray, side_px: int, share: float) -> _UInt8Array:
    """Where at least `share` of the pixels of a square neighbourhood are set."""
    density = cv2.boxFilter(mask.astype(np.float32), -1, (side_px, side_px), borderType=cv2.BORDER_REPLICATE)
    return (density >= share).astype(np.uint8)


def opened(mask: npt.NDArray[np.generic], side_px: int) -> _UInt8Array:
    """Remove what is thinner than `side_px`, keeping what touches the frame's edge."""
    pad = side_px
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((side_px, side_px), np.uint8))
    return np.asarray(opened[pad:-pad, pad:-pad], np.uint8).copy()


def is_noisy(grey: _UInt8Array) -> bool:
    """True when no part of the screen is flat by itself."""
    return bool((local_range(grey) <= _FLAT_LEVELS).mean() < _FLAT_SHARE)
