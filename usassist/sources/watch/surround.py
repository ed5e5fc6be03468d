"""Check whether the screen around the image still shows the marks of the reference.

Two things are stored of it: *ink*, points on the strokes of text, rulers and frames, each with the ground level beside
it; and the *ruler*, lines of pixels beside the image along which many short marks lie. Ink that moves while it is
learnt (a clock, a cursor) is discarded. A focus mark, the gain value or a cursor affects a few cells; another layout
changes a third of all cells with ink, another depth or zoom moves nearly all marks of the ruler.

Not detected: a change on a screen that shows only the image; another depth where there is no ruler beside the image and
the rest of the screen stays the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sources.screen import Screen
from usassist.sources.watch.profile import WatchProfile

__all__ = ["Surround"]

UInt8Array = npt.NDArray[np.uint8]
Roi = tuple[int, int, int, int]

_INK_LEVELS = 36  # between a stroke and the ground beside it
_CELLS = 26  # over the height of the screen
_PER_CELL = 20  # points that are kept of one cell
_MIN_POINTS = 4  # a cell with fewer is not used
_MIN_CELLS = 6  # a screen with fewer is not judged
_CELL_LOST = 0.5  # of a cell's points
_UNSTEADY = 0.15  # points that are gone in a larger share of the checks move on their own
_REACH = 0.12  # the ruler lies within this share of the screen's width beside the image
_FAINT = 0.4  # of half the contrast: marks that a codec has blurred
_STRANGE = 0.25  # marks in new positions, as a share of all: with fewer, the ruler has only become faint
_NOISE_POINTS = 1200  # marks that are followed from grab to grab
_MARKS = 5  # a ruler has at least so many
_SLACK_PX = 1  # a mark may lie this far from its position


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """One column of pixels through the marks of a ruler."""

    x: int
    y1: int
    y2: int
    ground: float
    half: float
    marks: npt.NDArray[np.int64]


class Surround:
    """The marks around the image.

    Parameters
    ----------
    profile : thresholds
    screen : the reference
    roi_xyxy_px : the scan area
    """

    def __init__(self, profile: WatchProfile, screen: Screen, roi_xyxy_px: Roi) -> None:
        self._profile = profile
        height, width = screen.hw_px
        grey = screen.grey()
        side = max(7, round(height / 60)) | 1
        ground = np.asarray(cv2.morphologyEx(grey, cv2.MORPH_OPEN, np.ones((side, side), np.uint8)), np.uint8)
        strokes = np.asarray(cv2.subtract(grey, ground), np.uint8)
        cell_px = max(8, height // _CELLS)
        mask = strokes >= _INK_LEVELS
        x1, y1, x2, y2 = roi_xyxy_px
        mask[max(0, y1 - 3) : y2 + 3, max(0, x1 - 3) : x2 + 3] = False
        self._points, self._cell, self._ground, self._half = _ink(mask, grey, ground, cell_px)
        self._lines = [
            line
            for lines in (_rulers(strokes, ground, span, y1, y2) for span in _spans(x1, x2, width))
            for line in lines
        ]
        self._learn_count = 0
        self._gone = np.zeros(self._points.size, np.int64)
        self._learnt = False
        self._values: UInt8Array | None = None

    @property
    def marks(self) -> int:
        """Number of ink points."""
        return int(self._points.size)

    @property
    def has_ruler(self) -> bool:
        """True when a ruler was found beside the image."""
        return bool(self._lines)

    def learn(self, screen: Screen) -> None:
        """Count which points are steady, on a screen that has not changed since the reference."""
        self._learn_count += 1
        self._gone += ~self._present(screen)

    def end_learning(self) -> None:
        """Discard the points that were not steady."""
        if self._learnt or not self._learn_count:
            return
        self._learnt = True
        steady = self._gone <= max(1.0, _UNSTEADY * self._learn_count)
        self._points, self._cell = self._points[steady], self._cell[steady]
        self._ground, self._half = self._ground[steady], self._half[steady]

    def restlessness(self, screen: Screen) -> float:
        """Mean change of the marks since the last call, grey levels: noise of the path, as a codec has left it."""
        values = screen.take(self._points[:: max(1, self._points.size // _NOISE_POINTS)])
        last, self._values = self._values, values
        if last is None or not values.size or last.size != values.size:
            return 0.0
        return float(cv2.norm(values, last, cv2.NORM_L1)) / values.size

    def problem(self, screen: Screen, lost: float | None) -> str | None:
        """How the screen differs from the reference, for a message; None when it does not.

        Parameters
        ----------
        screen : to check
        lost : of :meth:`lost_share` for it
        """
        if any(self._moved(line, screen) for line in self._lines):
            return "the ruler beside the image has changed: other depth or zoom"
        if lost is not None and lost >= self._profile.layout_share:
            return f"{100 * lost:.0f} % of the marks around the image are gone: another layout"
        return None

    def lost_share(self, screen: Screen) -> float | None:
        """Share of the cells with ink in which it is gone; None where the screen has too few."""
        if not self._points.size:
            return None
        size = int(self._cell.max()) + 1
        points = np.bincount(self._cell, minlength=size)
        there = np.bincount(self._cell, weights=self._present(screen), minlength=size)
        full = points >= _MIN_POINTS
        if np.count_nonzero(full) < _MIN_CELLS:
            return None
        return float(np.mean(there[full] < (1.0 - _CELL_LOST) * points[full]))

    def _present(self, screen: Screen) -> npt.NDArray[np.bool_]:
        return screen.take(self._points) - self._ground >= self._half

    def _moved(self, line: _Line, screen: Screen) -> bool:
        values = screen.grey(np.s_[line.y1 : line.y2, line.x : line.x + 1])[:, 0].astype(np.float32)
        now = _marks(values - line.ground >= line.half)
        if not now.size:  # gone, or only faint
            return bool(np.all(values - line.ground < _FAINT * line.half))
        near = np.abs(line.marks[:, None] - now[None, :]) <= _SLACK_PX
        found = int(np.count_nonzero(near.any(axis=1)))
        strange = int(np.count_nonzero(~near.any(axis=0)))
        if strange < max(2.0, _STRANGE * len(line.marks)):
            return False
        return found < (1.0 - self._profile.ruler_share) * (len(line.marks) + strange)


def _ink(
    mask: npt.NDArray[np.bool_], grey: UInt8Array, ground: UInt8Array, cell_px: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Points of ink, at most `_PER_CELL` in each cell: index into the screen, cell, ground, half the contrast."""
    ys, xs = np.nonzero(mask)
    across = -(-mask.shape[1] // cell_px)
    cell = (ys // cell_px) * across + xs // cell_px
    order = np.argsort(cell, kind="stable")
    ys, xs, cell = ys[order], xs[order], cell[order]
    counts = np.bincount(cell) if cell.size else np.zeros(0, np.int64)
    rank = np.arange(cell.size) - np.repeat(np.cumsum(counts) - counts, counts)
    total = counts[cell] if cell.size else counts
    kept = (rank * _PER_CELL) // np.maximum(total, 1) != ((rank - 1) * _PER_CELL) // np.maximum(total, 1)
    kept |= total <= _PER_CELL
    ys, xs, cell = ys[kept], xs[kept], cell[kept]
    low = ground[ys, xs].astype(np.float32)
    half = (0.5 * (grey[ys, xs].astype(np.float32) - low)).astype(np.float32)
    return ys * mask.shape[1] + xs, cell, low, half


def _spans(x1: int, x2: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The columns to the left and to the right of the image where a ruler may be."""
    reach = round(_REACH * width)
    return (max(0, x1 - reach), max(0, x1 - 1)), (min(width, x2 + 1), min(width, x2 + reach))


def _rulers(strokes: UInt8Array, ground: UInt8Array, span: tuple[int, int], y1: int, y2: int) -> list[_Line]:
    """The column of the span with the most marks, where these are short and spread over the height of the image."""
    if span[1] - span[0] < 2 or y2 - y1 < 32:
        return []
    ink = strokes[y1:y2, span[0] : span[1]] >= _INK_LEVELS
    starts = np.count_nonzero(ink[1:] & ~ink[:-1], axis=0)
    covered = ink.mean(axis=0)
    starts[covered > 0.35] = 0
    best = int(np.argmax(starts))
    if starts[best] < _MARKS:
        return []
    column = ink[:, best]
    marks = _marks(column)
    if len(marks) < _MARKS or marks[-1] - marks[0] < 0.5 * (y2 - y1):
        return []
    x = span[0] + best
    contrast = float(np.median(strokes[y1:y2, x][column]))
    low = float(np.median(ground[y1:y2, x]))
    return [_Line(x=x, y1=y1, y2=y2, ground=low, half=0.5 * contrast, marks=marks)]


def _marks(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Middles of the runs of ink."""
    edges = np.diff(np.concatenate([[0], ink.astype(np.int8), [0]]))
    return (np.flatnonzero(edges == 1) + np.flatnonzero(edges == -1) - 1) // 2
