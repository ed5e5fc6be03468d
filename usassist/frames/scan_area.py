"""Find the ultrasound picture on a scanner's screen, so that everything else can be cut away.

The picture is told from the rest of the screen by three plain facts: it is not the flat background, it is thick
(text, rulers, grey bars and calipers are thin), and in a clip it moves while the screen's own marks stand still. What
is dark inside the picture belongs to it, so the rectangle grows over faint pixels next to what is certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError

__all__ = ["ScanArea", "find_scan_area"]

_UInt8Array = npt.NDArray[np.uint8]
_BoolArray = npt.NDArray[np.bool_]
_Rectangle = tuple[int, int, int, int]

_WORK_SIDE_PX = 640  # the search runs on a copy, whole steps smaller, whose longer side is at most this
_MAX_FRAMES = 8  # more frames than this are thinned out evenly
_FLAT_SHARE = 0.02  # less flat background than this: the frame is all picture
_FLAT_LEVELS = 2  # range within a small square of the flat background, noise averaged
_NEAR_LEVELS = 8  # flat pixels this close to the background's level show its noise
_ONE_LEVEL_SHARE = 0.5  # a background of one level has this share of the flat pixels
_LIT_LEVELS = 3  # grey levels away from the background that count as something
_FAINT_LEVELS = 1  # the same for growing into the dark field
_FAINT_LIMIT = 48  # brighter than this is either certain already or a mark of the screen
_TEXT_LEVELS = 48  # thin strokes at least this far from the bare background are text
_BARE_LEVELS = 12  # closer than this to the background is bare, traces of compression included
_BARE_SHARE = 0.004  # a frame with at most this share lit outside the picture is bare around it
_MOTION_LEVELS = 6  # range in time that counts as motion
_THICK = 0.036  # share of the longer side below which a structure is text, a ruler or a bar
_LEAST_SHARE = 0.02  # a picture smaller than this share of the screen is none
_SECOND_SHARE = 0.2  # a second view has at least this share of the area of the first
_REMEDY = "give it with --crop X1,Y1,X2,Y2, or --crop none where the frame holds nothing but the picture"


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanArea:
    """Where the ultrasound picture lies on the screen.

    Attributes
    ----------
    xyxy_px : x1, y1, x2, y2 of the rectangle around the picture, px of the screen, x2 and y2 exclusive
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


def find_scan_area(frames: Sequence[_UInt8Array]) -> ScanArea:
    """Find the rectangle around the ultrasound picture on a scanner's screen.

    One still is enough; several frames spread over a clip make it surer. The rectangle holds the whole picture
    (linear, trapezoid, fan, or both halves of a dual view) and leaves out text, ruler, grey bar and body mark as far
    as they lie beside it. A frame that is bare around a picture which reaches its edges is returned whole; one that has
    marks there is not, however thin they are: they may be a name.

    Parameters
    ----------
    frames : uint8 (H, W) grey or (H, W, 3) RGB, all of one size

    Returns
    -------
    area : the rectangle, px of the frames given

    Raises
    ------
    ScanAreaError
        If there are no frames, their sizes differ, or none shows anything that looks like a picture.
    """
    brightest, moving, step_px = _reduce(frames)
    height_px, width_px = frames[0].shape[:2]
    grab_hw_px = (height_px, width_px)
    distance = _distance(brightest)
    if distance is None:
        return ScanArea(xyxy_px=(0, 0, width_px, height_px), grab_hw_px=grab_hw_px)
    rectangle = _picture_rectangle(distance, moving)
    if rectangle is None:
        raise ScanAreaError(f"no ultrasound picture was found on the screen of {width_px} x {height_px} px; {_REMEDY}")
    x1, y1, x2, y2 = (step_px * edge for edge in rectangle)
    x2 = width_px if x2 > width_px - 2 * step_px else x2
    y2 = height_px if y2 > height_px - 2 * step_px else y2
    return ScanArea(xyxy_px=(x1, y1, x2, y2), grab_hw_px=grab_hw_px)


def _reduce(frames: Sequence[_UInt8Array]) -> tuple[_UInt8Array, _BoolArray | None, int]:
    """Brightest value in time and where there is motion (None for a still), both `step_px` times smaller."""
    if not frames:
        raise ScanAreaError("no frames were given to find the scan area on; give at least one")
    shape = frames[0].shape[:2]
    if any(frame.shape[:2] != shape for frame in frames):
        raise ScanAreaError("the frames differ in size, so they have no common scan area; search in each on its own")
    step_px = -(-max(shape) // _WORK_SIDE_PX)
    rows, columns = max(1, shape[0] // step_px), max(1, shape[1] // step_px)
    brightest: _UInt8Array | None = None
    darkest: _UInt8Array | None = None
    for frame in frames[:: -(-len(frames) // _MAX_FRAMES)]:
        small = frame
        if step_px > 1:
            whole_steps = frame[: rows * step_px, : columns * step_px]
            small = np.asarray(cv2.resize(whole_steps, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
        if small.ndim == 3:
            small = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        brightest = small if brightest is None else np.maximum(brightest, small)
        darkest = small if darkest is None else np.minimum(darkest, small)
    assert brightest is not None
    assert darkest is not None
    moving = (brightest - darkest) > _MOTION_LEVELS
    return brightest, moving if moving.any() else None, step_px


def _distance(grey: _UInt8Array) -> _UInt8Array | None:
    """Levels above the noise by which a pixel differs from the background; None when no part of the screen is flat."""
    flat = _range(grey) <= _FLAT_LEVELS
    clean = bool(flat.mean() >= _FLAT_SHARE)
    if not clean:  # an analogue grabber adds noise everywhere
        flat = _range(np.asarray(cv2.blur(grey, (3, 3)), np.uint8)) <= _FLAT_LEVELS
        if flat.mean() < _FLAT_SHARE:
            return None
    kernel = np.ones((5, 5), np.uint8)
    count = np.bincount(grey[flat], minlength=256).astype(np.float64)
    count = np.convolve(count, np.ones(3), "same")
    # Of the levels that are common, the darkest: an even patch of tissue must not pass for background.
    first = int(np.flatnonzero(count >= 0.25 * count.max())[0])
    level = first + int(np.argmax(count[first : first + 3]))
    distance = np.asarray(cv2.absdiff(grey, np.full_like(grey, level)), np.uint8)
    near = flat & (distance <= _NEAR_LEVELS)
    if near.sum() < _ONE_LEVEL_SHARE * flat.sum():  # a background that shades off: texture decides
        distance, near = _range(grey), flat
    else:  # a part of the screen in another even colour
        panel = _open(flat & (distance > _NEAR_LEVELS), _thick_px(grey))
        distance[cv2.dilate(panel, kernel) > 0] = 0
    noise = 0 if clean else 3 * int(np.percentile(distance[near], 30))
    return np.asarray(cv2.subtract(distance, np.full_like(grey, noise)), np.uint8)


def _range(grey: _UInt8Array) -> _UInt8Array:
    """Brightest minus darkest in a small square."""
    return np.asarray(cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((5, 5), np.uint8)), np.uint8)


def _picture_rectangle(distance: _UInt8Array, moving: _BoolArray | None) -> _Rectangle | None:
    """Rectangle around the picture on the smaller copy."""
    thick_px = _thick_px(distance)
    text = _text(distance, thick_px)
    lit = _dense((distance > _LIT_LEVELS) & ~text, 5, 0.5)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(_open(lit, thick_px))
    if count < 2:
        return None
    area = stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
    if moving is not None:
        motion = np.bincount(labels[moving], minlength=count)[1:]
        if motion.max() >= 0.1 * area[int(np.argmax(motion))]:
            area[motion < 0.02 * area] = 0  # stands still while another part moves: a mark of the screen
    main = int(np.argmax(area))
    if area[main] < _LEAST_SHARE * distance.size:
        return None
    keep = [main]
    for other in range(len(area)):
        if other != main and area[other] >= _SECOND_SHARE * area[main] and _beside(stats[1 + main], stats[1 + other]):
            keep.append(other)
    certain = np.isin(labels, [1 + index for index in keep])
    tips = _open(lit, thick_px // 3 | 1)
    faint = (distance > _FAINT_LEVELS) & (distance < _FAINT_LIMIT) & ~text
    field = _open(_dense(faint, 5, 0.4) | certain, thick_px)
    field |= tips & np.asarray(cv2.dilate(field, np.ones((thick_px, thick_px), np.uint8)), np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(field)
    chosen = np.unique(labels[certain & (field > 0)])
    rectangle = _around(stats[chosen[chosen > 0]])
    rectangle = _with_strips(rectangle, distance > _LIT_LEVELS)
    return _with_empty_rest(rectangle, distance)


def _thick_px(grey: _UInt8Array) -> int:
    """The side below which a structure on the smaller copy is text, a ruler or a bar; odd."""
    longer_px: int = max(grey.shape[0], grey.shape[1])
    return max(5, round(_THICK * longer_px)) | 1


def _text(distance: _UInt8Array, thick_px: int) -> _BoolArray:
    """Bright thin strokes on bare background, with a rim for the traces of compression."""
    side_px = thick_px // 2 | 1
    ground = cv2.morphologyEx(distance, cv2.MORPH_OPEN, np.ones((side_px, side_px), np.uint8))
    bare = _dense(distance <= _BARE_LEVELS, thick_px, 0.5) > 0
    strokes = (distance >= _TEXT_LEVELS) & (ground <= _LIT_LEVELS) & bare
    return np.asarray(cv2.dilate(strokes.astype(np.uint8), np.ones((5, 5), np.uint8)), np.uint8) > 0


def _around(boxes: npt.NDArray[np.int32]) -> _Rectangle:
    """Rectangle around connected parts, given their statistics."""
    left, top = boxes[:, cv2.CC_STAT_LEFT], boxes[:, cv2.CC_STAT_TOP]
    right, bottom = left + boxes[:, cv2.CC_STAT_WIDTH], top + boxes[:, cv2.CC_STAT_HEIGHT]
    return int(left.min()), int(top.min()), int(right.max()), int(bottom.max())


def _with_strips(rectangle: _Rectangle, lit: _BoolArray) -> _Rectangle:
    """Add bands above and below that are as wide as the picture: fluid can part it in two."""
    x1, y1, x2, y2 = rectangle
    slack_px = max(2, round(0.08 * (x2 - x1)))
    left, right = lit[:, max(0, x1 - 2 * slack_px) : max(0, x1 - slack_px)], lit[:, x2 + slack_px : x2 + 2 * slack_px]
    margins = [margin for margin in (left, right) if margin.shape[1]]
    if not margins:
        return rectangle  # nothing tells a band of the picture from a bar of the screen
    band = lit[:, x1:x2].mean(axis=1) >= 0.85
    for margin in margins:
        band &= margin.mean(axis=1) <= 0.5  # a bar of the screen runs on past the picture
    rows = np.flatnonzero(band)
    return x1, min(y1, int(rows.min(initial=y1))), x2, max(y2, int(rows.max(initial=y2 - 1)) + 1)


def _with_empty_rest(rectangle: _Rectangle, distance: _UInt8Array) -> _Rectangle:
    """Take the whole frame when it was cropped to the picture already: bare around it, and no wide margin."""
    x1, y1, x2, y2 = rectangle
    height_px, width_px = distance.shape
    rest = distance > _LIT_LEVELS
    rest[y1:y2, x1:x2] = False
    edge_px = 0.03 * max(height_px, width_px)
    touches = (x1 <= edge_px, y1 <= edge_px, x2 >= width_px - edge_px, y2 >= height_px - edge_px)
    share = (x2 - x1) * (y2 - y1) / (height_px * width_px)
    if rest.mean() <= _BARE_SHARE and (
        (touches[0] and touches[1] and touches[2]) or (sum(touches) >= 2 and share >= 0.8)
    ):
        return 0, 0, width_px, height_px
    return rectangle


def _dense(mask: _BoolArray, side_px: int, share: float) -> _UInt8Array:
    """Where at least `share` of the pixels of a square neighbourhood are set."""
    density = cv2.boxFilter(mask.astype(np.float32), -1, (side_px, side_px), borderType=cv2.BORDER_REPLICATE)
    return (density >= share).astype(np.uint8)


def _open(mask: npt.NDArray[np.generic], side_px: int) -> _UInt8Array:
    """Remove what is thinner than `side_px`, keeping what touches the frame's edge."""
    pad = side_px
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, np.ones((side_px, side_px), np.uint8))
    return np.asarray(opened[pad:-pad, pad:-pad], np.uint8).copy()


def _beside(main: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> bool:
    """True when the other part lies beside the main one, as the second half of a dual view does."""
    top = max(main[cv2.CC_STAT_TOP], other[cv2.CC_STAT_TOP])
    bottom = min(main[cv2.CC_STAT_TOP] + main[cv2.CC_STAT_HEIGHT], other[cv2.CC_STAT_TOP] + other[cv2.CC_STAT_HEIGHT])
    wide = other[cv2.CC_STAT_WIDTH] >= 0.4 * main[cv2.CC_STAT_WIDTH]
    return bool(wide) and bool(bottom - top >= 0.5 * min(main[cv2.CC_STAT_HEIGHT], other[cv2.CC_STAT_HEIGHT]))
