"""The margins of the image: was the frame already cropped to the image, and is there text at its edges?"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames.burnt_text import find_burnt_text
from usassist.frames.scan_background import LIT_LEVELS, MAX_FRAMES, mark_thickness_px

__all__ = ["cut_off_label", "has_bare_rest", "has_screen_marks", "spans_all_edges", "spans_upper_edges"]

_UInt8Array = npt.NDArray[np.uint8]
_BoolArray = npt.NDArray[np.bool_]
_Int32Array = npt.NDArray[np.int32]
_Rectangle = tuple[int, int, int, int]

_MARK_LEVELS = 24  # minimum distance of a possible letter outside the image from the background
_MARK_SPECKS = 6  # up to this many pixels are not a letter
_BARE_SHARE = 0.004  # maximum share of lit pixels around the image in a bare frame
_MARKED_SHARE = 0.002  # with more strokes than this share, the frame is a screen and not a cropped image
_EDGE_REACH = 0.03  # maximum distance from the frame's edge at which the image touches it, part of the longer side
_LINE_OF_TEXT = 3  # minimum width of a line of text, times its height
_TICK = 0.45  # maximum width of a ruler's tick, times its height
_RIM_PX = 2  # margin that find_burnt_text adds around a mark
_EDGE_SHARE = 0.12  # maximum distance of a banner from an edge, part of the frame
_LABEL_SHARE = 0.16  # maximum length of a label (a length, a depth), part of the width; a name is longer
_CUT_SHARE = 0.15  # maximum part of the image's area that is cut off with a label


def has_bare_rest(rectangle: _Rectangle, distance: _UInt8Array, text: _BoolArray) -> bool:
    """True when the frame is bare around the image and the image reaches the frame's edges.

    Parameters
    ----------
    rectangle : x1, y1, x2, y2 around the image, px
    distance : uint8 (H, W), distance from the background, grey levels
    text : bool (H, W), bright thin strokes on bare background
    """
    x1, y1, x2, y2 = rectangle
    height_px, width_px = distance.shape
    rest = distance > LIT_LEVELS
    rest[y1:y2, x1:x2] = False
    marks = distance >= _MARK_LEVELS
    away_px = mark_thickness_px(distance) // 2
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
    """True when there is a ruler, logo, text or grey bar on bare background inside the rectangle, beside a sector.

    Parameters
    ----------
    rectangle : x1, y1, x2, y2 around the image, px
    text : bool (H, W), bright thin strokes on bare background
    """
    x1, y1, x2, y2 = rectangle
    return bool(np.count_nonzero(text[y1:y2, x1:x2]) > _MARKED_SHARE * text.size)


def spans_upper_edges(rectangle: _Rectangle, hw_px: tuple[int, int]) -> bool:
    """True when the rectangle reaches the left, upper and right edge of the frame, but not the lower one."""
    left, top, right, bottom = _touches(rectangle, hw_px)
    return left and top and right and not bottom


def spans_all_edges(rectangle: _Rectangle, hw_px: tuple[int, int]) -> bool:
    """True when the rectangle reaches every edge of the frame, so that it is practically the whole frame."""
    return all(_touches(rectangle, hw_px))


def cut_off_label(frames: Sequence[_UInt8Array], rectangle: _Rectangle) -> _Rectangle | None:
    """Cut off a short label at an edge of the rectangle; None when there is a line of text, as in a banner.

    A single label (a length, a depth) is cut off with the whole strip around it, and the rest is searched again. Two
    labels are refused, because they indicate a screen, which has more. Ruler ticks are not text, even if they touch a
    logo.

    Parameters
    ----------
    frames : uint8 (H, W) or (H, W, 3), all of one size
    rectangle : x1, y1, x2, y2, px

    Returns
    -------
    kept : x1, y1, x2, y2 without the label; `rectangle` if there is none; None if text remains
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


def _lines_at_edges(images: Sequence[_UInt8Array]) -> _Int32Array:
    """Component statistics of lines of text near an edge, the longest first: int32 (n, 5)."""
    marks = find_burnt_text(images).astype(np.uint8)
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
