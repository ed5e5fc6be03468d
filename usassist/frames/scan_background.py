"""The background of a scanner's screen: each pixel's distance from it, and the text on it.

1. Reduce the frames to one image of the brightest values in time and a map of motion (:func:`reduce_screens`).
2. Find pixels with a small local range: the flat background. Smooth first if noise leaves none.
3. Exclude the dark depth of the image, which is flat too but noisier than the screen around it.
4. The background level is the darkest of the common grey levels of the flat pixels; other even-coloured panels count as
   background too. Where the background is a gradient, the local range is used instead of the level.
5. Each pixel's distance from the background, less the noise, is what ``scan_area`` searches in.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError
from usassist.frames.geometry import to_grey

__all__ = [
    "LIT_LEVELS",
    "MAX_FRAMES",
    "find_dense",
    "find_text_strokes",
    "is_noisy",
    "mark_thickness_px",
    "measure_background_distance",
    "reduce_screens",
    "remove_thin",
]

LIT_LEVELS = 4
"""Minimum distance of a lit pixel from the background, grey levels."""

MAX_FRAMES = 8
"""If there are more frames, they are subsampled evenly."""

_UInt8Array = npt.NDArray[np.uint8]
_BoolArray = npt.NDArray[np.bool_]

_WORK_SIDE_PX = 640  # maximum longer side of the reduced copy; the reduction factor is a whole number
_FLAT_SHARE = 0.02  # with less flat background than this, the frame is all image
_NOISY_FLAT_SHARES = ((3, 0.02), (7, 0.15))  # side of the averaging square, required flat share of a noisy screen
_FLAT_LEVELS = 2  # maximum local range of the flat background
_SMOOTH_SIDE_PX, _SMOOTH_SHARE = 9, 0.9  # share of pixels of a square that equal the median of their neighbours
_EDGE_NOISE_SHARE = 0.05  # of the upper part of the frame's edge; with more noise there, the background is noisy
_NEAR_LEVELS = 8  # flat pixels this close to the background level are used to estimate its noise
_ONE_LEVEL_SHARE = 0.5  # minimum share of the flat pixels that belong to a background of one level
_TEXT_LEVELS = 48  # minimum distance of text strokes from the bare background
_BARE_LEVELS = 12  # maximum distance of a bare pixel from the background, compression artefacts included
_MIN_FRAMES_FOR_OUTLIER = 4  # from this many frames on, a single outlier is ignored:
_OUTLIER_LEVELS, _OUTLIER_SHARE = 40, 0.15  # this much brighter than all others, in this share of the screen
_MOTION_LEVELS = 6  # range in time that counts as motion
_THICK = 0.036  # share of the longer side below which a structure is text, a ruler or a bar


def reduce_screens(frames: Sequence[_UInt8Array]) -> tuple[_UInt8Array, _BoolArray | None, int]:
    """Reduce frames to the maximum in time and a motion map.

    If a single one of four or more frames is much brighter than all others (a flash, another page of the scanner), it
    is ignored.

    Parameters
    ----------
    frames : uint8 (H, W) grey or (H, W, 3) RGB, all of one size

    Returns
    -------
    brightest : uint8 (H // step_px, W // step_px), maximum in time
    moving : bool, same shape, where there is motion; None for a still
    step_px : reduction factor

    Raises
    ------
    ScanAreaError
        If there are no frames or their sizes differ.
    """
    if not frames:
        raise ScanAreaError("no frames were given to find the scan area on; give at least one")
    shape = frames[0].shape[:2]
    if any(frame.shape[:2] != shape for frame in frames):
        raise ScanAreaError("the frames differ in size, so they have no common scan area; search each one separately")
    step_px = -(-max(shape) // _WORK_SIDE_PX)
    rows, columns = max(1, shape[0] // step_px), max(1, shape[1] // step_px)
    chosen = frames[:: -(-len(frames) // MAX_FRAMES)]
    high: list[_UInt8Array] = []  # the brightest values, descending
    low: list[_UInt8Array] = []  # the darkest, ascending
    kept = 2 if len(chosen) >= _MIN_FRAMES_FOR_OUTLIER else 1
    for frame in chosen:
        small = frame
        if step_px > 1:
            whole_steps = frame[: rows * step_px, : columns * step_px]
            small = np.asarray(cv2.resize(whole_steps, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
        small = to_grey(small)
        high = _insert(high, small, kept, np.maximum, np.minimum)
        low = _insert(low, small, kept, np.minimum, np.maximum)
    has_outlier = kept == 2 and (cv2.subtract(high[0], high[1]) > _OUTLIER_LEVELS).mean() > _OUTLIER_SHARE
    brightest, darkest = (high[1], low[1]) if has_outlier else (high[0], low[0])
    moving = cv2.subtract(brightest, darkest) > _MOTION_LEVELS
    return brightest, moving if moving.any() else None, step_px


def _insert(
    best: list[_UInt8Array], new: _UInt8Array, kept: int, first: np.ufunc, second: np.ufunc
) -> list[_UInt8Array]:
    """Update the `kept` best values of every pixel with those of a new frame."""
    out = []
    for values in best:
        out.append(first(values, new))
        new = second(values, new)
    return [*out, new][:kept]


def measure_background_distance(grey: _UInt8Array) -> _UInt8Array | None:
    """Each pixel's distance from the background, less the noise, in grey levels: uint8 (H, W).

    None when no part of the screen is flat.
    """
    flat = local_range(grey) <= _FLAT_LEVELS
    clean = bool(flat.mean() >= _FLAT_SHARE)
    flat &= ~_find_dark_tissue(grey, flat)
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
    # The darkest of the common levels: a uniform patch of tissue must not be taken for background.
    first = int(np.flatnonzero(near_count >= 0.25 * near_count.max())[0])
    level = first + int(np.argmax(count[first : first + 3]))
    distance = np.asarray(cv2.absdiff(grey, np.full_like(grey, level)), np.uint8)
    other_background = _find_other_background(grey, flat, count, level)
    near = flat & ((distance <= _NEAR_LEVELS) | (other_background > 0))
    if near.sum() < _ONE_LEVEL_SHARE * flat.sum():  # the background is a gradient: use the texture
        distance, near = local_range(grey), flat
    else:  # panels in other uniform colours
        panel = remove_thin(flat & (distance > _NEAR_LEVELS), mark_thickness_px(grey)) | other_background
        distance[cv2.dilate(panel, kernel) > 0] = 0
    noise = 0 if clean else 3 * int(np.percentile(distance[near], 30))
    return np.asarray(cv2.subtract(distance, np.full_like(grey, noise)), np.uint8)


def _find_dark_tissue(grey: _UInt8Array, flat: _BoolArray) -> _BoolArray:
    """Flat regions with noise, on a screen whose background has none: the dark depth of an image.

    A pixel of a uniform colour or a gradient equals the median of its neighbours, a noisy pixel often does not. If
    there is noise at the upper part of the frame's edge, the background itself is noisy and nothing is tissue.
    """
    smooth = find_dense(grey == cv2.medianBlur(grey, 5), _SMOOTH_SIDE_PX, _SMOOTH_SHARE) > 0
    rough = flat & ~smooth
    upper = rough[: grey.shape[0] // 4]
    edge = np.concatenate([rough[:3].ravel(), upper[:, :3].ravel(), upper[:, -3:].ravel()])
    if (flat & smooth).mean() < _FLAT_SHARE or edge.mean() > _EDGE_NOISE_SHARE:
        return np.zeros(grey.shape, np.bool_)
    return remove_thin(rough, mark_thickness_px(grey) // 4 | 1) > 0  # thinner regions are the rims of marks


def _find_other_background(
    grey: _UInt8Array, flat: _BoolArray, count: npt.NDArray[np.float64], level: int
) -> _UInt8Array:
    """Regions of another uniform colour that reach the edge of the screen, with the gaps between their marks."""
    background = np.zeros(grey.shape, np.uint8)
    reach = np.ones((mark_thickness_px(grey), mark_thickness_px(grey)), np.uint8)
    for other in np.flatnonzero(count >= _FLAT_SHARE * grey.size):
        if other == level:
            continue
        _, labels, stats, _ = cv2.connectedComponentsWithStats((flat & (grey == other)).astype(np.uint8))
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        large = [part for part in edge[edge > 0] if stats[part, cv2.CC_STAT_AREA] >= _FLAT_SHARE / 2 * grey.size]
        if large:
            near = cv2.dilate(np.isin(labels, large).astype(np.uint8), reach)
            background[(near > 0) & (np.abs(grey.astype(np.int16) - other) <= 1)] = 1
    return background


def local_range(grey: _UInt8Array) -> _UInt8Array:
    """Maximum minus minimum in a 5 x 5 neighbourhood."""
    return np.asarray(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)), np.uint8)


def mark_thickness_px(grey: _UInt8Array) -> int:
    """Thickness below which a structure on the reduced copy is text, a ruler or a bar; odd."""
    longer_px: int = max(grey.shape[0], grey.shape[1])
    return max(5, round(_THICK * longer_px)) | 1


def find_text_strokes(distance: _UInt8Array, thick_px: int) -> _BoolArray:
    """Find bright thin strokes on bare background, with a margin for compression artefacts: bool (H, W)."""
    side_px = thick_px // 2 | 1
    without_strokes = cv2.morphologyEx(distance, cv2.MORPH_OPEN, np.ones((side_px, side_px), np.uint8))
    bare = find_dense(distance <= _BARE_LEVELS, thick_px, 0.5) > 0
    strokes = (distance >= _TEXT_LEVELS) & (without_strokes <= LIT_LEVELS) & bare
    return np.asarray(cv2.dilate(strokes.astype(np.uint8), np.ones((5, 5), np.uint8)), np.uint8) > 0


def find_dense(mask: _BoolArray, side_px: int, share: float) -> _UInt8Array:
    """Mark pixels with at least `share` of their square neighbourhood set: uint8 (H, W), 0 or 1."""
    density = cv2.boxFilter(mask.astype(np.float32), -1, (side_px, side_px), borderType=cv2.BORDER_REPLICATE)
    return (density >= share).astype(np.uint8)


def remove_thin(mask: npt.NDArray[np.generic], side_px: int) -> _UInt8Array:
    """Remove structures thinner than `side_px`, except at the frame's edge: uint8 (H, W), 0 or 1."""
    pad = side_px
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((side_px, side_px), np.uint8))
    return np.asarray(opened[pad:-pad, pad:-pad], np.uint8).copy()


def is_noisy(grey: _UInt8Array) -> bool:
    """True when no part of the screen is flat without smoothing."""
    return bool((local_range(grey) <= _FLAT_LEVELS).mean() < _FLAT_SHARE)
