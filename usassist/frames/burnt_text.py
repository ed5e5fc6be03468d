"""Burnt-in text and measuring marks: find them, mask them, and check what is left.

Letters and calipers are thin and much brighter than the speckle around them, and each has a part that is thin
*horizontally*; speckle and fascia are elongated horizontally. So a horizontal top-hat filter finds candidate spots. On
a single frame the criterion is strict: the contrast must exceed that of the neighbourhood, and a spot counts only in a
line with others (text) or with a very high contrast (a mark). On several frames fainter marks are found too: marks are
static while speckle moves. On a grey image, any colour is a mark.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import RecordError
from usassist.frames.geometry import to_grey

__all__ = ["Box", "count_suspected_text", "find_burnt_text", "find_text_boxes", "mask_text"]

Box = tuple[int, int, int, int]

_UInt8Array = npt.NDArray[np.uint8]
_BoolArray = npt.NDArray[np.bool_]
_Float32Array = npt.NDArray[np.float32]
_IntArray = npt.NDArray[np.int64]

_ROWS_PER_STROKE_PX = 220  # image rows per px of stroke width; a stroke is at most this wide, and at least 2 px
_MIN_CONTRAST = 58.0  # of the top-hat, grey levels
_TIMES_TEXTURE = 3.2  # and this many times the mean contrast of the neighbourhood
_STILL_CONTRAST = 38.0  # sufficient for a static mark in a moving neighbourhood
_STILL_LEVELS = 24  # maximum change of a static mark between frames, compression included
_MOVING_LEVELS = 10.0  # mean range in time of a moving neighbourhood
_COLOUR_LEVELS = 24  # difference between channels above which a pixel is coloured and not tinted
_COLOURED_SHARE = 0.03  # more colour than this is flow or a tinted map, and no evidence of marks
_LOW = 0.6  # hysteresis: a mark extends down to this part of its threshold
_LONE_CONTRAST = 1.75  # factor on the threshold for a spot without neighbours
_CAP_SHARE = 0.085  # maximum height of a letter, part of the image height
_WIDE_LOW = 0.9  # hysteresis for the horizontal strokes of a strong mark
_WIDEST = 5  # maximum width of touching letters, times their height; fascia is wider
_MAX_SPOTS = 4000
_MAX_FRAMES = 8
_PASSES = 3


def find_burnt_text(frames: Sequence[_UInt8Array], *, times_threshold: float = 1.0) -> _BoolArray:
    """Find text and measuring marks in an image that is cropped to the scan area.

    Parameters
    ----------
    frames : uint8 (H, W) grey or (H, W, 3) RGB, all of one size; one frame, or several of one clip
    times_threshold : factor on the contrast that a mark must have; below 1 fainter text is found, and more tissue

    Returns
    -------
    bool (H, W), set in the boxes around every line of text and every mark, with a margin of 2 px

    Raises
    ------
    RecordError
        If there are no frames or their sizes differ.
    """
    if not frames or any(frame.shape != frames[0].shape for frame in frames):
        raise RecordError("the search for burnt-in text needs frames, all of one size; give one or more such frames")
    chosen = frames[:: -(-len(frames) // _MAX_FRAMES)]
    greys = [to_grey(frame) for frame in chosen]
    stack = np.stack(greys)
    darkest = np.asarray(stack.min(axis=0), np.uint8)
    stroke_px = max(2, round(darkest.shape[0] / _ROWS_PER_STROKE_PX))
    side_px = 2 * stroke_px + 3
    still = gone = np.zeros(darkest.shape, np.bool_)
    if len(greys) > 1:
        ranged = np.asarray(stack.max(axis=0) - darkest, np.uint8)
        moving = np.asarray(cv2.blur(ranged, (31, 31))) >= _MOVING_LEVELS
        still, gone = moving & (ranged <= _STILL_LEVELS), moving & (ranged > _STILL_LEVELS)
    coloured = _coloured(chosen)
    marks = np.zeros(darkest.shape, np.bool_)
    for _ in range(_PASSES):  # again on the masked image: parts of letters may be left at the edge of a box
        across = _top_hat(darkest, (side_px, 1))
        texture = cv2.blur(np.minimum(across, 48), (31, 31)).astype(np.float32)
        needed = np.maximum(np.float32(_MIN_CONTRAST), np.float32(_TIMES_TEXTURE) * texture)
        needed[still] = _STILL_CONTRAST
        needed *= np.float32(times_threshold)
        needed[gone] = 255.0
        if not (across >= needed).any() and not coloured.any():
            break  # no seed for a mark: the fast path of most images without marks
        wide = _top_hat(darkest, (side_px, side_px))
        strength, reach = (np.maximum(np.asarray(hat / needed, np.float32), coloured) for hat in (across, wide))
        more = _marks(strength, reach)
        if not more[~marks].any():
            break
        marks |= more
        darkest, coloured = mask_text(darkest, marks), np.where(marks, np.float32(0), coloured)
    return marks


def find_text_boxes(frames: Sequence[_UInt8Array]) -> tuple[Box, ...]:
    """Find text and marks as boxes; as :func:`find_burnt_text`, but grey and RGB frames may be mixed.

    Returns
    -------
    boxes : x1, y1, x2, y2 of each line of text and each mark, px; x2 and y2 exclusive

    Raises
    ------
    RecordError
        If there are no frames or their sizes differ.
    """
    if len({frame.ndim for frame in frames}) > 1:
        frames = [frame if frame.ndim == 3 else np.dstack([frame] * 3) for frame in frames]
    marks = find_burnt_text(frames)
    if not marks.any():
        return ()
    _, _, stats, _ = cv2.connectedComponentsWithStats(marks.astype(np.uint8))
    return tuple((int(x), int(y), int(x + width), int(y + height)) for x, y, width, height, _ in stats[1:])


def mask_text(image: _UInt8Array, marks: _BoolArray) -> _UInt8Array:
    """Fill marks with the mean of their surroundings.

    Whole boxes are filled instead of strokes, so that the text cannot be read from the shape of the fill.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3)
    marks : bool (H, W), of :func:`find_burnt_text`

    Returns
    -------
    uint8, a copy of the same shape

    Raises
    ------
    RecordError
        If the sizes differ.
    """
    if marks.shape != image.shape[:2]:
        raise RecordError(f"marks of {marks.shape} do not fit an image of {image.shape[:2]}; find them on this image")
    out = image.copy()
    if not marks.any():
        return out
    known = (~marks).astype(np.float32)
    side_px = max(15, image.shape[0] // 12) | 1
    missing = marks
    while missing.any():
        weight = np.asarray(cv2.blur(known, (side_px, side_px)), np.float32)
        ready = missing & (weight > 1e-3)
        planes = image[:, :, None] if image.ndim == 2 else image
        for plane in range(planes.shape[2]):
            total = np.asarray(cv2.blur(planes[:, :, plane] * known, (side_px, side_px)), np.float32)
            target = out if out.ndim == 2 else out[:, :, plane]
            target[ready] = np.rint(total[ready] / weight[ready]).clip(0, 255).astype(np.uint8)
        missing = missing & ~ready
        if side_px >= 2 * max(image.shape[:2]):  # the whole image is marked
            out[missing] = 0
            break
        side_px = 2 * side_px + 1
    return out


def count_suspected_text(frames: Iterable[_UInt8Array], *, together: int = _MAX_FRAMES) -> tuple[int, int]:
    """Count recorded frames that may still contain text.

    Every frame is checked alone and together with its neighbours, which reveals fainter marks.

    Parameters
    ----------
    frames : uint8 (H, W) or (H, W, 3), of one size, in order
    together : size of a group of neighbouring frames

    Returns
    -------
    suspected, checked : number of frames with suspected text, and of all frames
    """
    suspected = checked = 0
    group: list[_UInt8Array] = []
    for frame in frames:
        group.append(frame)
        checked += 1
        if len(group) == together:
            suspected += _count_suspected(group)
            group = []
    return suspected + _count_suspected(group), checked


def _count_suspected(group: list[_UInt8Array]) -> int:
    if not group:
        return 0
    if len(group) > 1 and find_burnt_text(group).any():
        return len(group)
    return sum(bool(find_burnt_text([frame]).any()) for frame in group)


def _top_hat(grey: _UInt8Array, size_wh_px: tuple[int, int]) -> _UInt8Array:
    """Contrast of bright structures that are smaller than the box: uint8 (H, W)."""
    return np.asarray(cv2.morphologyEx(grey, cv2.MORPH_TOPHAT, np.ones(size_wh_px[::-1], np.uint8)), np.uint8)


def _coloured(frames: Sequence[_UInt8Array]) -> _Float32Array:
    """Strength of pixels that are coloured in all frames; zero if colour is common, and on grey frames."""
    shape = frames[0].shape[:2]
    if frames[0].ndim == 2:
        return np.zeros(shape, np.float32)
    min_spread = np.full(shape, 255, np.uint8)
    for frame in frames:
        red, green, blue = cv2.split(frame)
        spread = cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))
        min_spread = np.minimum(min_spread, np.asarray(spread, np.uint8))
    coloured = min_spread >= _COLOUR_LEVELS
    if coloured.mean() > _COLOURED_SHARE:
        return np.zeros(shape, np.float32)
    return np.asarray(np.where(coloured, 2.0 * _LONE_CONTRAST, 0.0), np.float32)


def _marks(strength: _Float32Array, reach: _Float32Array) -> _BoolArray:
    """Boxes around lines of text and lone marks.

    `strength` is the horizontal contrast relative to the threshold, `reach` that in both directions: a mark is seeded
    where the first is strong and extends as far as the second.
    """
    found = np.zeros(strength.shape, np.bool_)
    low = ((strength >= _LOW) | (reach >= _WIDE_LOW) & (cv2.dilate(strength, np.ones((5, 5), np.uint8)) >= 1.0)).astype(
        np.uint8
    )
    count, labels, stats, centres = cv2.connectedComponentsWithStats(low)
    if count < 2:
        return found
    peak = np.zeros(count, np.float32)
    strong = strength >= 1.0
    np.maximum.at(peak, np.asarray(labels, np.int64)[strong], strength[strong])
    height_px, width_px, area = (stats[:, kind] for kind in (cv2.CC_STAT_HEIGHT, cv2.CC_STAT_WIDTH, cv2.CC_STAT_AREA))
    cap_px = _CAP_SHARE * strength.shape[0]
    usable = (peak >= 1.0) & (area >= 3) & (height_px <= cap_px) & (width_px <= _WIDEST * height_px)
    usable[0] = False
    spots = np.flatnonzero(usable)
    if len(spots) > _MAX_SPOTS:
        spots = spots[np.argsort(-peak[spots])[:_MAX_SPOTS]]
    kept = _in_lines(spots, np.asarray(stats, np.int32), np.asarray(centres, np.float64)) | (
        peak[spots] >= _LONE_CONTRAST
    ) & (area[spots] >= 5)
    for left, top, wide, high, _ in stats[spots[kept]]:
        found[max(0, top - 2) : top + high + 2, max(0, left - 2) : left + wide + 2] = True
    # Letters of one line are joined, so that the text cannot be inferred from the gaps between them.
    bridge = np.ones((3, max(3, round(0.02 * strength.shape[0])) | 1), np.uint8)
    return np.asarray(cv2.morphologyEx(found.astype(np.uint8), cv2.MORPH_CLOSE, bridge), np.uint8) > 0


def _in_lines(spots: _IntArray, stats: npt.NDArray[np.int32], centres: npt.NDArray[np.float64]) -> _BoolArray:
    """Which spots have a neighbour of about their height on the same line, as letters have."""
    if not len(spots):
        return np.zeros(0, np.bool_)
    high = stats[spots, cv2.CC_STAT_HEIGHT].astype(np.float64)
    middle_y = centres[spots, 1]
    left = stats[spots, cv2.CC_STAT_LEFT].astype(np.float64)
    right = left + stats[spots, cv2.CC_STAT_WIDTH]
    kept = np.zeros(len(spots), np.bool_)
    order = np.argsort(left)
    for at in order:
        tall = high >= 5
        like = (
            tall
            & (np.abs(high - high[at]) <= 0.3 * high[at] + 1)
            & (np.abs(middle_y - middle_y[at]) <= 0.35 * high[at])
        )
        gap = np.maximum(left - right[at], left[at] - right)
        near = like & (gap <= 0.9 * high[at]) & (gap > -1)
        near[at] = False
        if tall[at] and near.sum() >= 1:
            kept[at] = True
    return kept
