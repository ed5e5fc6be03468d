"""What lies around the picture: was the frame cropped to it already, and does text stand at its edges?"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames.burnt_text import find_burnt_text
from usassist.frames.scan_ground import LIT_LEVELS, MAX_FRAMES, thickness_px

__all__ = ["has_bare_rest", "has_screen_marks", "spans_all_edges", "spans_upper_edges", "without_label"]

_UInt8Array = npt.NDArray[np.uint8]
_BoolArray = npt.NDArray[np.bool_]
_Int32Array = npt.NDArray[np.int32]
_Rectangle = tuple[int, int, int, int]

_MARK_LEVELS = 24  # away from the picture, so far from the background, it may be a letter
_MARK_SPECKS = 6  # this many pixels are no letter yet
_BARE_SHARE = 0.004  # a frame with at most this share lit outside the picture is bare around it
_MARKED_SHARE = 0.002  # more strokes than this share of the frame: a screen, not a picture that was cropped
_EDGE_REACH = 0.03  # a picture this close to the frame's edge, as a part of the longer side, touches it
_LINE_OF_TEXT = 3  # times as long as high
_TICK = 0.45  # a mark of the ruler is upright: at most this many times as wide as high
_RIM_PX = 2  # around every mark that is found
_EDGE_SHARE = 0.12  # a banner lies in this part of the frame at its edges
_LABEL_SHARE = 0.16  # a line at most this part of the width long is a label: a length, a depth; a name is longer
_CUT_SHARE = 0.15  # of the picture's area, at most so much is cut off for a label


def has_bare_rest(rectangle: _Rectangle, distance: _UInt8Array, text: _BoolArray) -> bool:
    """True when the frame is bare around the picture and the picture reaches its edges: no wide margin.

    Parameters
    ----------
    rectangle : x1, y1, x2, y2 around the picture, px
    distance : uint8 (H, W), levels away from the background
    text : bool (H, W), bright thin strokes on bare background
    """
    x1, y1, x2, y2 = rectangle
    height_px, width_px = distance.shape
    rest = distance > LIT_LEVELS
    rest[y1:y2, x1:x2] = False
    marks = distance >= _MARK_LEVELS
    away_px = thickness_px(distance) // 2
    marks[max(0, y1 - away_px) : y2 + away_px, max(0, x1 - away_px) : x2 + away_px] = False
    marks |= text & (distance >= _MARK_LEVELS)
    marks[y1:y2, x1:x2] = False
    if np.count_nonzero(marks) > _MARK_SPECKS:
        return False
    left, top, right, bottom = _touches(rectangle, (height_px, width_px))
    share = (x2 - x1) * (y2 - y1) / (height_px * width_px)
    return bool(rest.mean() <= _BARE_SHARE) and (
        (left and top and right) or (left + top + right + bottom >= 2 and share >= 0.8)
    )


def _touches(rectangle: _Rectangle, hw_px: tuple[int, int]) -> tuple[bool, bool, bool, bool]:
    """Whether the rectangle reaches the frame's left, upper, right and lower edge."""
    x1, y1, x2, y2 = rectangle
    height_px, width_px = hw_px
    edge_px = _EDGE_REACH * max(height_px, width_px)
    return x1 <= edge_px, y1 <= edge_px, x2 >= width_px - edge_px, y2 >= height_px - edge_px


def has_screen_marks(rectangle: _Rectangle, text: _BoolArray) -> bool:
    """True when ruler, logo, letters or a grey bar stand on bare ground inside the rectangle, beside a sector.

    Parameters
    ----------
    rectangle : x1, y1, x2, y2 around the picture, px
    text : bool (H, W), bright thin strokes on bare background
    """
    x1, y1, x2, y2 = rectangle
    return bool(np.count_nonzero(text[y1:y2, x1:x2]) > _MARKED_SHARE * text.size)


def spans_upper_edges(rectangle: _Rectangle, hw_px: tuple[int, int]) -> bool:
    """True when the rectangle reaches the left, upper and right edge of the frame, but not the lower one."""
    left, top, right, bottom = _touches(rectangle, hw_px)
    return left and top and right and not bottom


def spans_all_edges(rectangle: _Rectangle, hw_px: tuple[int, int]) -> bool:
    """True when the rectangle reaches every edge of the frame: as good as the whole of it."""
    return all(_touches(rectangle, hw_px))


def without_label(frames: Sequence[_UInt8Array], rectangle: _Rectangle) -> _Rectangle | None:
    """Cut off a short label at an edge of the rectangle; None when a line of text stands there, as in a banner.

    The marks of a ruler are no text, whatever logo they run into. A lone label (a length, a depth) is cut off with the
    whole strip that it stands in, and what is left is looked at again: nothing that may be a line of text passes. Two
    labels are too many: a screen has more of them.

    Parameters
    ----------
    frames : uint8 (H, W) or (H, W, 3), all of one size
    rectangle : x1, y1, x2, y2, px
    """
    x1, y1, x2, y2 = rectangle
    chosen = frames[:: -(-len(frames) // MAX_FRAMES)]
    lines = _lines_at_edges([frame[y1:y2, x1:x2] for frame in chosen])
    if not len(lines):
        return rectangle
    left, top, wide, high = lines[0, :4].tolist()
    if len(lines) > 1 or wide > _LABEL_SHARE * (x2 - x1):
        return None
    rim_px = max(3, high // 2)
    cuts = (
        (x1 + left + wide + rim_px, y1, x2, y2),
        (x1, y1 + top + high + rim_px, x2, y2),
        (x1, y1, x1 + left - rim_px, y2),
        (x1, y1, x2, y1 + top - rim_px),
    )
    kept = max(cuts, key=_area_px2)
    if _area_px2(kept) < (1 - _CUT_SHARE) * _area_px2(rectangle):
        return None
    return None if len(_lines_at_edges([frame[kept[1] : kept[3], kept[0] : kept[2]] for frame in chosen])) else kept


def _area_px2(rectangle: _Rectangle) -> int:
    x1, y1, x2, y2 = rectangle
    return max(0, x2 - x1) * max(0, y2 - y1)


def _lines_at_edges(pictures: Sequence[_UInt8Array]) -> _Int32Array:
    """Statistics of what is as long as a line of text and stands near an edge, the longest first: int32 (n, 5)."""
    marks = find_burnt_text(pictures).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(marks)
    wide_px, high_px = (stats[:, side] - 2 * _RIM_PX for side in (cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT))
    ticks = np.flatnonzero(wide_px <= _TICK * high_px)
    marks[np.isin(labels, ticks)] = 0
    gap_px = max(9, round(0.06 * marks.shape[0]))
    marks = np.asarray(cv2.morphologyEx(marks, cv2.MORPH_CLOSE, np.ones((1, gap_px), np.uint8)), np.uint8)
    _, _, stats, centres = cv2.connectedComponentsWithStats(marks)
    stats, centres = stats[1:], centres[1:]
    line = stats[:, cv2.CC_STAT_WIDTH] >= _LINE_OF_TEXT * stats[:, cv2.CC_STAT_HEIGHT]
    at = centres / np.array([marks.shape[1], marks.shape[0]])
    found = stats[line & (np.minimum(at, 1 - at).min(axis=1) < _EDGE_SHARE)]
    return np.asarray(found[np.argsort(-found[:, cv2.CC_STAT_WIDTH])], np.int32)
