"""Find the ultrasound image on a scanner's screen, so that everything else can be cropped away.

The algorithm works on a reduced copy of the screen:

1. Estimate the flat background and compute each pixel's distance from it (``scan_background``).
2. Remove what is thin: text, rulers, grey bars and calipers.
3. Take the largest component that is left; in a clip, components that do not move are excluded. A second one of
   similar height beside it is the other half of a dual view.
4. Grow over faint pixels, thin fan tips, bands above and below, and the sparse noise of a dark depth.
5. Decide whether the frame was already cropped to the image, and cut off or refuse text at its edges
   (``scan_margins``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError
from usassist.frames.scan_background import (
    LIT_LEVELS,
    find_dense,
    find_text_strokes,
    is_noisy,
    mark_thickness_px,
    measure_background_distance,
    reduce_screens,
    remove_thin,
)
from usassist.frames.scan_margins import (
    cut_off_label,
    has_bare_rest,
    has_screen_marks,
    spans_all_edges,
    spans_upper_edges,
)

__all__ = ["ScanArea", "find_scan_area"]

_UInt8Array = npt.NDArray[np.uint8]
_BoolArray = npt.NDArray[np.bool_]
_Rectangle = tuple[int, int, int, int]

_FAINT_LEVELS = 2  # as LIT_LEVELS, for growing into the dark field
_FAINT_LIMIT = 48  # brighter pixels are either found already or screen marks
_MIN_SHARE = 0.02  # minimum area of the image, share of the screen
_TIP_REACH = 5  # maximum distance of a fan's thin tips from its body, in mark thicknesses
_SPARSE_LEVELS = 0.35  # mean level of the noise of an empty depth
_SOLID_SHARE = 0.85  # share of noisy pixels in a row above which it is more than compression artefacts
_SOLID_ROWS = 0.95  # share of such rows below the image
_SPILL_PX = 8  # reach of compression artefacts
_TRACE_SHARE = 0.02  # share of pixels a few levels off the background above which the image was compressed
_SECOND_SHARE = 0.2  # minimum area of a second view, share of the first
_REMEDY = "give it with --crop X1,Y1,X2,Y2, or --crop none where the frame holds nothing but the image"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanArea:
    """The position of the ultrasound image on the screen.

    Attributes
    ----------
    xyxy_px : x1, y1, x2, y2 of its bounding box, px of the screen, x2 and y2 exclusive
    grab_hw_px : height and width of the screen, px
    """

    xyxy_px: tuple[int, int, int, int]
    grab_hw_px: tuple[int, int]

    @property
    def fraction(self) -> float:
        """Share of the screen's area that the rectangle covers, 0 to 1."""
        x1, y1, x2, y2 = self.xyxy_px
        return (x2 - x1) * (y2 - y1) / (self.grab_hw_px[0] * self.grab_hw_px[1])

    @property
    def is_whole(self) -> bool:
        """True when the rectangle is the whole screen."""
        return self.xyxy_px == (0, 0, self.grab_hw_px[1], self.grab_hw_px[0])


def find_scan_area(frames: Sequence[_UInt8Array], *, may_be_whole: bool = True) -> ScanArea:
    """Find the bounding box of the ultrasound image on a scanner's screen.

    One still is enough; several frames spread over a clip make the result more reliable. The box contains the whole
    image (linear, trapezoid, fan, or both halves of a dual view) and excludes text, ruler, grey bar and body mark as
    far as they lie beside it. A frame whose image reaches the edges, with a bare rest and no screen marks, was cropped
    to the image already and is returned whole. A line of text near an edge of an image that fills the frame may be a
    name and is refused; a single short label is cut off.

    Parameters
    ----------
    frames : uint8 (H, W) grey or (H, W, 3) RGB, all of one size
    may_be_whole : the frames may have been cropped to the image already. False for a live screen, for which the whole
        frame is never returned

    Returns
    -------
    area : the rectangle, px of the frames given

    Raises
    ------
    ScanAreaError
        If there are no frames, their sizes differ, no ultrasound image is found, or only the whole frame is left
        where `may_be_whole` is False or the frame contains text.
    """
    brightest, moving, step_px = reduce_screens(frames)
    height_px, width_px = frames[0].shape[:2]
    candidates = _candidates(brightest, moving, may_be_whole=may_be_whole)
    if not candidates:
        raise ScanAreaError(f"no ultrasound image was found on the screen of {width_px} x {height_px} px; {_REMEDY}")
    for rectangle, sure in candidates:
        x1, y1, x2, y2 = (step_px * edge for edge in rectangle)
        x2 = width_px if x2 > width_px - 2 * step_px else x2
        y2 = height_px if y2 > height_px - 2 * step_px else y2
        area = ScanArea(xyxy_px=(x1, y1, x2, y2), grab_hw_px=(height_px, width_px))
        if area.is_whole and not may_be_whole:
            continue
        if sure and not area.is_whole:
            return area
        kept = cut_off_label(frames, area.xyxy_px)
        if kept == area.xyxy_px or (kept is not None and may_be_whole):
            return replace(area, xyxy_px=kept)
    raise ScanAreaError(
        f"the image cannot be separated from the rest of the screen of {width_px} x {height_px} px; {_REMEDY}"
    )


def _candidates(
    brightest: _UInt8Array, moving: _BoolArray | None, *, may_be_whole: bool
) -> list[tuple[_Rectangle, bool]]:
    """Rectangles on the reduced copy, the best first, and whether each may be used without a search for text."""
    height_px, width_px = brightest.shape
    whole = (0, 0, width_px, height_px)
    distance = measure_background_distance(brightest)
    if distance is None:
        return [(whole, False)]
    text = find_text_strokes(distance, mark_thickness_px(distance))
    rectangle = _image_rectangle(distance, moving, text)
    if rectangle is None:
        return []
    noisy = is_noisy(brightest)
    x1, y1, x2, _ = rectangle
    if may_be_whole and (
        spans_upper_edges(rectangle, brightest.shape) if noisy else _is_noise_below(rectangle, distance, text)
    ):
        return [((x1, y1, x2, height_px), False), (rectangle, not noisy)]  # noise down to the lower edge is image depth
    if noisy or not has_bare_rest(rectangle, distance, text):
        return [(rectangle, not noisy)]
    if may_be_whole and not has_screen_marks(rectangle, text):
        return [(whole, False), (rectangle, False)]
    if not may_be_whole and spans_all_edges(rectangle, brightest.shape):
        return [(whole, False)]
    return [(rectangle, False)]


def _image_rectangle(distance: _UInt8Array, moving: _BoolArray | None, text: _BoolArray) -> _Rectangle | None:
    """Bounding box of the image on the reduced copy (steps 2 to 4)."""
    thick_px = mark_thickness_px(distance)
    lit = find_dense((distance > LIT_LEVELS) & ~text, 5, 0.5)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(remove_thin(lit, thick_px))
    if count < 2:
        return None
    area = stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
    if moving is not None:
        motion = np.bincount(labels[moving], minlength=count)[1:]
        if motion.max() >= 0.1 * area[int(np.argmax(motion))]:
            area[motion < 0.02 * area] = 0  # static while another component moves: a screen mark
    main = int(np.argmax(area))
    if area[main] < _MIN_SHARE * distance.size:
        return None
    keep = [main]
    for other in range(len(area)):
        if other != main and area[other] >= _SECOND_SHARE * area[main] and _beside(stats[1 + main], stats[1 + other]):
            keep.append(other)
    certain = np.isin(labels, [1 + index for index in keep])
    tips = remove_thin(find_dense((distance > _FAINT_LEVELS) & ~text, 5, 0.5), thick_px // 3 | 1)
    faint = (distance > _FAINT_LEVELS) & (distance < _FAINT_LIMIT) & ~text
    field = remove_thin(find_dense(faint, 5, 0.4) | certain, thick_px)
    reach_px = _TIP_REACH * thick_px | 1
    field |= tips & np.asarray(cv2.dilate(field, np.ones((reach_px, reach_px), np.uint8)), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(field)
    chosen = np.unique(labels[certain & (field > 0)])
    rectangle = _around(stats[chosen[chosen > 0]])
    rectangle = _with_strips(rectangle, distance > LIT_LEVELS)
    return _with_sparse_depth(rectangle, distance, text)


def _around(boxes: npt.NDArray[np.int32]) -> _Rectangle:
    """Bounding box of connected components, given their statistics."""
    left, top = boxes[:, cv2.CC_STAT_LEFT], boxes[:, cv2.CC_STAT_TOP]
    right, bottom = left + boxes[:, cv2.CC_STAT_WIDTH], top + boxes[:, cv2.CC_STAT_HEIGHT]
    return int(left.min()), int(top.min()), int(right.max()), int(bottom.max())


def _with_strips(rectangle: _Rectangle, lit: _BoolArray) -> _Rectangle:
    """Add bands above and below that are as wide as the image: fluid can split it in two."""
    x1, y1, x2, y2 = rectangle
    slack_px = max(2, round(0.08 * (x2 - x1)))
    left, right = lit[:, max(0, x1 - 2 * slack_px) : max(0, x1 - slack_px)], lit[:, x2 + slack_px : x2 + 2 * slack_px]
    margins = [margin for margin in (left, right) if margin.shape[1]]
    if not margins:
        return rectangle  # without a margin, a band of the image looks like a bar of the screen
    band = lit[:, x1:x2].mean(axis=1) >= 0.85
    for margin in margins:
        band &= margin.mean(axis=1) <= 0.5  # a bar of the screen continues beside the image
    rows = np.flatnonzero(band)
    return x1, min(y1, int(rows.min(initial=y1))), x2, max(y2, int(rows.max(initial=y2 - 1)) + 1)


def _with_sparse_depth(rectangle: _Rectangle, distance: _UInt8Array, text: _BoolArray) -> _Rectangle:
    """Add deep rows with little more than noise, on a screen whose own background is free of noise."""
    x1, y1, x2, y2 = rectangle
    few = _faint_noise(distance, text)
    inset = (x2 - x1) // 8
    rows = few[y2:, x1 + inset : x2 - inset].mean(axis=1) >= 0.5
    slack_px = max(2, round(0.08 * (x2 - x1)))
    ring = np.zeros(distance.shape, np.bool_)
    ring[max(0, y1 - 8) : y2 + 8, max(0, x1 - 8) : x2 + 8] = True
    ring[max(0, y1 - 2) :, max(0, x1 - 2) : x2 + 2] = False
    traces = (distance[ring] > 0) & (distance[ring] <= LIT_LEVELS)
    if traces.size and traces.mean() > _TRACE_SHARE:
        return rectangle  # compression artefacts look like noise
    for margin in (np.s_[max(0, x1 - 2 * slack_px) : max(0, x1 - slack_px)], np.s_[x2 + slack_px : x2 + 2 * slack_px]):
        if few[y2:, margin].shape[1]:
            rows &= few[y2:, margin].mean(axis=1) <= 0.5
    rows[4:] &= ~text[y2 + 4 :, x1:x2].any(axis=1)  # the first rows: the image's own edge may look like strokes
    deep_px = int(np.argmin(np.append(rows, False)))
    if deep_px < 0.04 * distance.shape[0]:
        return rectangle
    below = few[y2 : y2 + deep_px]
    columns = np.flatnonzero(below.mean(axis=0) >= 0.25)
    near = columns[(columns >= x1 - slack_px) & (columns < x2 + slack_px)]
    return min(x1, int(near.min(initial=x1))), y1, max(x2, int(near.max(initial=x2 - 1)) + 1), y2 + deep_px


def _faint_noise(distance: _UInt8Array, text: _BoolArray) -> _BoolArray:
    """Where there is at least as much noise as in an empty depth."""
    level = np.minimum(np.where(text, 0, distance), 4 * LIT_LEVELS).astype(np.float32)
    return np.asarray(cv2.blur(level, (9, 9), borderType=cv2.BORDER_REPLICATE)) > _SPARSE_LEVELS


def _is_noise_below(rectangle: _Rectangle, distance: _UInt8Array, text: _BoolArray) -> bool:
    """True when noise as wide as the image continues without a gap to the lower edge of the frame."""
    x1, _, x2, y2 = rectangle
    few = _faint_noise(distance, text)[y2:]
    if len(few) < 4 or (few[:, x1:x2].mean(axis=1) >= _SOLID_SHARE).mean() < _SOLID_ROWS:
        return False
    marks = (distance[y2:] >= _FAINT_LIMIT).astype(np.uint8)
    near = cv2.dilate(marks, np.ones((2 * _SPILL_PX + 1, 2 * _SPILL_PX + 1), np.uint8)) > 0
    sides = [(few[:, side], ~near[:, side]) for side in (np.s_[: max(0, x1 - _SPILL_PX)], np.s_[x2 + _SPILL_PX :])]
    return all(noise[plain].mean() < 0.5 for noise, plain in sides if plain.any())


def _beside(main: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> bool:
    """True when the other component lies beside the main one, like the second half of a dual view."""
    top = max(main[cv2.CC_STAT_TOP], other[cv2.CC_STAT_TOP])
    bottom = min(main[cv2.CC_STAT_TOP] + main[cv2.CC_STAT_HEIGHT], other[cv2.CC_STAT_TOP] + other[cv2.CC_STAT_HEIGHT])
    wide = other[cv2.CC_STAT_WIDTH] >= 0.4 * main[cv2.CC_STAT_WIDTH]
    return bool(wide) and bool(bottom - top >= 0.5 * min(main[cv2.CC_STAT_HEIGHT], other[cv2.CC_STAT_HEIGHT]))
