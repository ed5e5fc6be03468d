"""Check the shape of the image: its width, the rest of the scan area, a gap between two views, a menu over it.

Not detected: a black menu; a change of depth that keeps the outline of the image (the ruler shows that, where there is
one); another angle of a fan while large parts of it are dark.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sources.watch.profile import WatchProfile

__all__ = ["View", "has_menu"]

UInt8Array = npt.NDArray[np.uint8]

_LIT = 12  # levels above the bare screen
_COLUMN = 0.03  # share of a column that is lit where the image lies
_NARROWER = 0.03  # of the width, on both sides
_MARGIN = 0.045  # of the width, beside the image
_BEYOND = 0.5  # of the margin beside the image, where at most `_BEYOND_BEFORE` was lit
_BEYOND_BEFORE = 0.1
_DARK, _DARK_NOW = 0.05, 0.3  # share of the area beside the fan, and how much of it may become lit
_FULL = 0.6  # an outline is reliable when the image filled this share of it
_MIDDLE = (0.38, 0.62)  # where two views meet, share of the width
_GAP = (0.008, 0.2)  # width of the gap
_RECENT = 2  # checks over which a column must be dark
_FLAT = 1  # levels by which neighbours in a menu differ
_RECTANGLE = 0.8  # of the box around a menu is menu
_ONE_LEVEL = 0.75  # of a menu has one level
_SIDE = 0.1  # minimum side of a menu, as a share of the scan area's


class View:
    """The area that the image covers, on samples of the scan area with a margin around it.

    Parameters
    ----------
    profile : number of views
    box : rows and columns of the samples that lie in the scan area: top, bottom, left, right
    background : grey level of the bare screen
    """

    def __init__(self, profile: WatchProfile, box: tuple[int, int, int, int], background: int) -> None:
        self._profile = profile
        self._box = box
        self._level = min(background + _LIT, 250)
        self._lit: npt.NDArray[np.bool_] | None = None
        self._margins = [0.0, 0.0, 0.0]
        self._columns: deque[npt.NDArray[np.float64]] = deque(maxlen=_RECENT)
        self._upper: deque[npt.NDArray[np.float64]] = deque(maxlen=_RECENT)
        self._width: tuple[int, int] | None = None
        self._dark: npt.NDArray[np.bool_] | None = None
        self._dark_size = 0
        self._straight = False
        self._had_gap = False

    def learn(self, samples: UInt8Array) -> None:
        """Add the area that an image covers which has not changed since the reference."""
        lit = samples > self._level
        self._lit = lit if self._lit is None else self._lit | lit
        self._margins = [max(a, b) for a, b in zip(self._margins, self._beside(lit), strict=True)]

    def end_learning(self) -> None:
        """Take the outline from what was learnt."""
        if self._lit is None:
            return
        image = self._inner(self._lit)
        self._width = _extent(_over_rows(image))
        top = _extent(_over_rows(image[: max(1, len(image) // 3)]))
        width = image.shape[1]
        self._straight = bool(
            self._width
            and top
            and abs(top[0] - self._width[0]) <= 0.02 * width
            and abs(top[1] - self._width[1]) <= 0.02 * width
        )
        self._had_gap = _gap(_over_rows(image)) is not None
        ys, xs = np.nonzero(cv2.erode(image.astype(np.uint8), np.ones((2, 2), np.uint8)))
        if len(ys) < 16:
            return
        hull = np.zeros(image.shape, np.uint8)
        outline = cv2.convexHull(np.stack([xs, ys], axis=1).astype(np.int32))
        cv2.fillConvexPoly(hull, outline, 1)
        if image[hull > 0].mean() >= _FULL:
            dark = cv2.dilate(hull, np.ones((5, 5), np.uint8)) == 0
            self._dark = dark if dark.mean() >= _DARK else None
            self._dark_size = int(np.count_nonzero(dark))

    def check(self, samples: UInt8Array) -> tuple[str | None, str | None]:
        """Why the image is not B-mode in the views of the profile, and what has changed; None each when nothing."""
        lit = samples > self._level
        image = self._inner(lit)
        self._columns.append(_over_rows(image))
        self._upper.append(_over_rows(image[: max(1, len(image) // 3)]))
        columns = np.maximum.reduce(list(self._columns))
        gap = _gap(columns)
        wrong = None
        if self._profile.views == "single" and gap is not None:
            wrong = "there are two views side by side where one is expected"
        elif self._profile.views == "dual" and self._had_gap and gap is None and columns.min() >= _COLUMN:
            wrong = "one view fills the image where two are expected"
        return wrong, self._changed(lit, image, columns)

    def _changed(
        self, lit: npt.NDArray[np.bool_], image: npt.NDArray[np.bool_], columns: npt.NDArray[np.float64]
    ) -> str | None:
        for before, now in zip(self._margins, self._beside(lit), strict=True):
            if before <= _BEYOND_BEFORE and now >= _BEYOND:
                return "the image extends beyond the scan area"
        if self._dark is not None and np.count_nonzero(image & self._dark) >= _DARK_NOW * self._dark_size:
            return "the image covers an area that was dark beside it: another shape"
        if self._width is not None and self._straight:
            extent, upper = _extent(columns), _extent(np.maximum.reduce(list(self._upper)))
            least = _NARROWER * image.shape[1]
            if extent and upper and min(extent[0], upper[0]) - self._width[0] >= least:
                right = self._width[1] - max(extent[1], upper[1])
                inside = columns[extent[0] : extent[1] + 1]
                if right >= least and np.mean(inside >= _COLUMN) > 0.9:
                    return "the image is narrower than before: other depth or zoom"
        return None

    def _inner(self, lit: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        top, bottom, left, right = self._box
        return lit[top:bottom, left:right]

    def _beside(self, lit: npt.NDArray[np.bool_]) -> list[float]:
        """Share that is lit in the margins to the left, to the right and below, a sample away from the image."""
        top, bottom, left, right = self._box
        reach = max(3, round(_MARGIN * (right - left)))
        strips = (
            lit[top:bottom, max(0, left - reach) : max(0, left - 1)],
            lit[top:bottom, right + 1 : right + reach],
            lit[bottom + 1 : bottom + reach, left:right],
        )
        return [float(np.count_nonzero(strip)) / strip.size if min(strip.shape) >= 2 else 1.0 for strip in strips]


def has_menu(
    samples: UInt8Array, still: npt.NDArray[np.bool_] | None, background: int, least_share: float, noise: float = 0.0
) -> bool:
    """True when a flat rectangle with sharp edges covers part of the image.

    Parameters
    ----------
    samples : uint8 (rows, columns), grey, of the scan area
    still : bool (rows, columns) or None, samples that did not change since the last grab
    background : grey level of the bare screen
    least_share : of the samples that the rectangle covers
    noise : mean change of the bare screen from grab to grab, levels
    """
    across = cv2.absdiff(samples[:-1, 1:], samples[:-1, :-1])
    down = cv2.absdiff(samples[1:, :-1], samples[:-1, :-1])
    here = samples[:-1, :-1]
    flat = (cv2.max(across, down) <= _FLAT + 3.0 * noise) & (here > background + _LIT) & (here < 250)
    if still is not None:
        flat &= still[:-1, :-1]
    if np.count_nonzero(flat) < 0.5 * least_share * flat.size:
        return False
    closed = cv2.morphologyEx(flat.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    closed = cv2.morphologyEx(closed, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=4)
    for index in range(1, count):
        left, top, width, height, area = (int(value) for value in stats[index])
        if area < least_share * flat.size or area < _RECTANGLE * width * height:
            continue
        if width < _SIDE * flat.shape[1] or height < _SIDE * flat.shape[0]:
            continue
        box = np.s_[top : top + height, left : left + width]
        levels = here[box][flat[box] & (labels[box] == index)]
        # text and a title in another colour lie within it
        if levels.size >= 0.5 * area and np.mean(np.abs(levels - np.median(levels)) <= 3 + 2.0 * noise) >= _ONE_LEVEL:
            return True
    return False


def _over_rows(image: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Share of each column that is lit."""
    shares = cv2.reduce(image.view(np.uint8), 0, cv2.REDUCE_AVG, dtype=cv2.CV_64F)
    return np.asarray(shares, np.float64).ravel()


def _extent(columns: npt.NDArray[np.float64]) -> tuple[int, int] | None:
    """First and last column that the image reaches."""
    reached = np.flatnonzero(columns >= _COLUMN)
    return (int(reached[0]), int(reached[-1])) if reached.size else None


def _gap(columns: npt.NDArray[np.float64]) -> Literal[True] | None:
    """True where dark columns in the middle separate two images."""
    width = len(columns)
    first, last = round(_MIDDLE[0] * width), round(_MIDDLE[1] * width)
    dark = columns <= 0.004
    dark[1:-1] |= dark[:-2] & dark[2:]  # a thin line may be drawn between the views
    edges = np.diff(np.concatenate([[0], dark[first:last].astype(np.int8), [0]]))
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        if not _GAP[0] * width <= end - start <= _GAP[1] * width:
            continue
        left, right = columns[: first + start], columns[first + end :]
        if min(np.mean(left >= 0.1), np.mean(right >= 0.1)) >= 0.5:
            return True
    return None
