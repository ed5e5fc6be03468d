"""Find the tick marks of a ruler beside an image: thin marks at equal distances in one column of pixels.

A tick is lower than a letter, and in a ruler the marks follow each other at one distance. So each column of pixels
beside the image is reduced to its thin marks, the longest run of equal distances is followed through them, and the
distance is the slope of a line through the centres of the marks. A horizontal ruler is found on the transposed screen.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["LONGER", "TOUCHING", "Ticks", "find_ticks", "thickest_px"]

UInt8Array = npt.NDArray[np.uint8]
FloatArray = npt.NDArray[np.float64]

_LEVELS = (140, 70, 36)  # grey levels of a mark above its surroundings, tried in this order
_LEAST_TICKS = 4
_MOST_MARKS = 90  # in one column of pixels; more are texture
_LEAST_STEP_PX = 5.0
_TOLERANCE_PX = 1.4  # of a mark against the marks before it
_MOST_MISSING = 2  # in a row: covered by another mark of the screen
_LEAST_SHARE = 0.75  # of the places between the first and the last tick that have one,
_LEAST_COVERED = 0.3  # of the scan area's side
_IRREGULAR = 0.5  # weight of a ruler whose ticks have lengths without order
_CLEAN_SHARE = 0.6  # and of the marks in between that are ticks
_THIN_SHARE = 0.6  # of the ticks that are no part of anything taller
_MOST_RMS_PX = 0.6
_DRAWN_SD_PX = 1.0 / np.sqrt(12.0)  # a tick is drawn on whole pixels: JCGM 100:2008, 4.3.7
_LIT_SHARE = 0.6  # of the way from the surroundings to its middle, above which a pixel belongs to a mark
_ALIKE = 0.3  # ticks of one kind differ by less than this share of their weight
_FINER = (2, 4, 5, 10)  # parts of a tick's distance at which fainter marks may stand
_LEAST_FINER_PX = 4.0
_FAINT = 10  # grey levels of such a mark
TOUCHING = 6.0  # a mark with so many times the weight of the others is no tick of another length
LONGER = 1.45  # a major tick has this many times the weight of the others


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ticks:
    """The ticks of one ruler, along its axis; the axis of a vertical ruler is y, of a horizontal one x.

    Attributes
    ----------
    across_px : position of the ruler across its axis, px of the screen
    first_px : centre of the first tick on the fitted line, continuous coordinates along the axis, px
    step_px, step_sd_px : distance of neighbouring ticks and its standard uncertainty, px
    index : int (n,), numbers of the ticks that were seen, from 0; a number that is missing is a place without a mark
    weights : float (n,), of each: the pixels that it covers, as white ones; a longer or a brighter tick has more
    starts_px, ends_px : int (n,), extent of each across the axis, px of the screen
    major_every : the ticks of every so many places are longer; None where all are alike
    major_first : number of the first longer tick; 0 where all are alike
    alike : all ticks but the first have about the same weight
    clean : share of the marks between the first and the last tick that are ticks, 0 to 1
    """

    across_px: int
    first_px: float
    step_px: float
    step_sd_px: float
    index: npt.NDArray[np.int64]
    weights: FloatArray
    starts_px: npt.NDArray[np.int64]
    ends_px: npt.NDArray[np.int64]
    major_every: int | None
    major_first: int
    alike: bool
    clean: float

    @property
    def count(self) -> int:
        """Number of places from the first tick to the last."""
        return int(self.index[-1]) + 1

    @property
    def short(self) -> bool:
        """True when these are fewer ticks than a ruler of its own needs."""
        return len(self.index) < _LEAST_TICKS

    @property
    def last_px(self) -> float:
        """Centre of the last tick on the fitted line, px."""
        return self.first_px + self.step_px * (self.count - 1)


def thickest_px(length_px: int) -> int:
    """Height up to which a mark is a tick, on a screen that is so long along the ruler, px."""
    return max(4, round(0.009 * length_px))


def find_ticks(
    grey: UInt8Array, columns: tuple[int, int], rows: tuple[int, int], step_px: float | None = None
) -> Ticks | None:
    """Find the clearest vertical ruler within some columns of a screen.

    Parameters
    ----------
    grey : uint8 (H, W), the whole screen
    columns : first and last (exclusive) column to search, px
    rows : first and last (exclusive) row of the scan area, px; the ruler has to run along it
    step_px : of another ruler of the image: three ticks at this distance are enough; None = not known

    Returns
    -------
    ticks : of the ruler with the most ticks; None where there is none
    """
    first, last = max(0, columns[0]), min(grey.shape[1], columns[1])
    if last - first < 1:
        return None
    strip = np.ascontiguousarray(grey[:, first:last])
    thick_px = thickest_px(grey.shape[0])
    reach = thick_px + 3 | 1
    tall = np.ones((reach, 1), np.uint8)
    marks = np.asarray(cv2.subtract(strip, cv2.morphologyEx(strip, cv2.MORPH_OPEN, tall)), np.uint8)
    peaks = marks == cv2.dilate(marks, tall)
    least = _LEAST_TICKS if step_px is None else _LEAST_TICKS - 1
    best: Ticks | None = None
    seen: set[bytes] = set()
    for level in _LEVELS:
        at_level = peaks & (marks >= level)
        counts = at_level.sum(axis=0)
        for column in np.flatnonzero((counts >= least) & (counts <= _MOST_MARKS * 2)):
            ys = _between_rows(marks[:, column], _single(np.flatnonzero(at_level[:, column])))
            key = ys.tobytes()
            if key in seen or not least <= len(ys) <= _MOST_MARKS:
                continue
            seen.add(key)
            chain = _follow(ys, least, step_px)
            if chain is None or not _runs_along(chain[0], rows):
                continue
            found = _measure(grey, marks, first, int(column), chain, ys, level, thick_px)
            if found is not None and (best is None or _worth(found, rows) > _worth(best, rows)):
                best = found
    return best


def _worth(ticks: Ticks, rows: tuple[int, int]) -> float:
    regular = 1.0 if ticks.alike or ticks.major_every is not None else _IRREGULAR
    return regular * len(ticks.index) * ticks.clean * _covered(ticks.first_px, ticks.last_px, rows)


def _single(ys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Middle of each run of rows: a flat peak is one mark."""
    if not ys.size:
        return ys
    breaks = np.flatnonzero(np.diff(ys) > 1)
    starts, ends = ys[np.r_[0, breaks + 1]], ys[np.r_[breaks, len(ys) - 1]]
    return np.asarray((starts + ends) // 2, np.int64)


def _between_rows(profile: UInt8Array, ys: npt.NDArray[np.int64]) -> FloatArray:
    """Places of marks between the rows, weighted by the brightness of each mark and of its neighbours."""
    above, own, below = (profile[np.clip(ys + by, 0, len(profile) - 1)].astype(np.float64) for by in (-1, 0, 1))
    return np.asarray(ys + (below - above) / (above + own + below), np.float64)


def _runs_along(ys: FloatArray, rows: tuple[int, int]) -> bool:
    """True when the marks cover enough of the scan area's side to be its ruler, or part of it."""
    return _covered(float(ys[0]), float(ys[-1]), rows) >= _LEAST_COVERED


def _covered(first: float, last: float, rows: tuple[int, int]) -> float:
    return (min(last, rows[1]) - max(first, rows[0])) / (rows[1] - rows[0])


def _follow(ys: FloatArray, least: int, step_px: float | None) -> tuple[FloatArray, npt.NDArray[np.int64]] | None:
    """The longest run of marks at one distance: their rows and their numbers, from 0; None where there is none."""
    gaps = np.diff(ys)
    best: tuple[FloatArray, npt.NDArray[np.int64]] | None = None
    tried: list[float] = []
    for seed in np.argsort(-(np.abs(gaps[:, None] - gaps[None, :]) <= _TOLERANCE_PX).sum(axis=1), kind="stable"):
        gap = float(gaps[seed])
        alike = np.abs(gaps - gap) <= _TOLERANCE_PX
        if gap < _LEAST_STEP_PX or alike.sum() < 2 or any(abs(gap - other) <= _TOLERANCE_PX for other in tried):
            continue
        if step_px is not None and abs(gap - step_px) > _TOLERANCE_PX:
            continue
        tried.append(gap)
        chain = _grow(ys, int(seed), float(gaps[alike].mean()))
        if len(chain[0]) >= least and (best is None or len(chain[0]) > len(best[0])):
            best = chain
        if len(tried) == 3:
            break
    return best


def _grow(ys: FloatArray, seed: int, step: float) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Follow marks at one distance in both directions, from the marks `seed` and the next."""
    rows, numbers = [float(ys[seed]), float(ys[seed + 1])], [0, 1]
    for direction in (1, -1):
        while True:
            at, number = (rows[-1], numbers[-1]) if direction > 0 else (rows[0], numbers[0])
            for ahead in range(1, _MOST_MISSING + 2):
                wanted = at + direction * ahead * step
                nearest = int(np.argmin(np.abs(ys - wanted)))
                if abs(ys[nearest] - wanted) <= _TOLERANCE_PX:
                    break
            else:
                break
            place = len(rows) if direction > 0 else 0
            rows.insert(place, float(ys[nearest]))
            numbers.insert(place, number + direction * ahead)
            step = (rows[-1] - rows[0]) / (numbers[-1] - numbers[0])
    index = np.array(numbers, np.int64)
    return np.array(rows), index - index[0]


def _measure(
    grey: UInt8Array,
    marks: UInt8Array,
    offset: int,
    column: int,
    chain: tuple[FloatArray, npt.NDArray[np.int64]],
    ys: FloatArray,
    level: int,
    thick_px: int,
) -> Ticks | None:
    rows, index = chain
    between = int(np.count_nonzero((ys >= rows[0]) & (ys <= rows[-1])))
    clean = len(rows) / between
    if len(rows) < _LEAST_SHARE * (index[-1] + 1) or clean < _CLEAN_SHARE:
        return None
    half = thick_px
    marked = np.clip(np.rint(rows), 0, grey.shape[0] - 1).astype(np.int64)
    centres = np.array([_centre(marks[:, column], int(row), half) for row in marked])
    step, start = np.polyfit(index, centres, 1)
    rms = float(np.sqrt(np.mean((centres - start - step * index) ** 2)))
    if rms > _MOST_RMS_PX + 0.004 * step:
        return None
    boxes = [_extent(grey, offset + column, int(row), half) for row in marked]
    thin = [height <= thick_px + 2 for _, _, height, _ in boxes]
    if np.mean(thin) < _THIN_SHARE:
        return None
    weights = np.array([weight for _, _, _, weight in boxes], np.float64)
    every, first = _major(index, weights)
    spread = np.sum((index - index.mean()) ** 2)
    return Ticks(
        across_px=offset + column,
        first_px=float(start),
        step_px=float(step),
        step_sd_px=float(max(rms, _DRAWN_SD_PX) / np.sqrt(spread)),
        index=index,
        weights=weights,
        starts_px=np.array([start_px for start_px, _, _, _ in boxes], np.int64),
        ends_px=np.array([end_px for _, end_px, _, _ in boxes], np.int64),
        major_every=every,
        major_first=first,
        alike=_alike(index, weights, every)
        and not _has_finer(marks[:, column], float(start), float(step), int(index[-1])),
        clean=clean,
    )


def _centre(profile: UInt8Array, row: int, half: int) -> float:
    """Centre of the mark at a row of a column of pixels, weighted by brightness, in continuous coordinates, px."""
    lit = profile >= 0.3 * profile[row]
    first = last = row
    while first > max(0, row - half) and lit[first - 1]:
        first -= 1
    while last < min(len(profile) - 1, row + half) and lit[last + 1]:
        last += 1
    weights = profile[first : last + 1].astype(np.float64)
    return first + 0.5 + float(weights @ np.arange(len(weights))) / float(weights.sum())


def _extent(grey: UInt8Array, column: int, row: int, half: int) -> tuple[int, int, int, float]:
    """First and last (exclusive) column, height and weight of the mark at a place of the screen, px."""
    top, left = max(0, row - 2 * half), max(0, column - 6 * half)
    part = grey[top : row + 2 * half + 1, left : column + 6 * half + 1]
    peak = float(part[row - top, column - left])
    floor = float(min(part[0, column - left], part[-1, column - left]))
    lit = np.asarray(part > floor + _LIT_SHARE * (peak - floor), np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(lit, connectivity=8)
    number = labels[row - top, column - left]
    x, y, width, height, _ = (int(value) for value in stats[number])
    box = np.s_[y : y + height, x : x + width]
    weight = float(part[box][labels[box] == number].sum()) / 255.0
    return left + x, left + x + width, height, weight


def _alike(index: npt.NDArray[np.int64], weights: FloatArray, every: int | None) -> bool:
    """True when no tick but the first is longer, but for one that touches another mark of the screen."""
    usual = np.sort(weights[1:])[(len(weights) - 2) // 2]
    odd = int(np.count_nonzero(np.abs(weights[1:] - usual) > _ALIKE * usual))
    touching = int(np.count_nonzero(weights[1:] > TOUCHING * usual))
    return every is None and odd - min(touching, 1) == 0


def _has_finer(profile: UInt8Array, start: float, step: float, gaps: int) -> bool:
    """True when there are fainter marks between the ticks, at halves, quarters, fifths or tenths of their distance."""
    bright = np.asarray(cv2.dilate(profile[:, None], np.ones((3, 1), np.uint8)), np.uint8)[:, 0]
    ground = float(np.median(bright[max(0, int(start)) : int(start + step * gaps)]))
    for parts in _FINER:
        shares = np.arange(1, parts) / parts
        places = np.rint(start + step * (np.arange(gaps)[:, None] + shares) - 0.5).astype(int).clip(0, len(bright) - 1)
        if step / parts >= _LEAST_FINER_PX and float(np.median(bright[places])) >= max(_FAINT, 4.0 * ground):
            return True
    return False


def _major(index: npt.NDArray[np.int64], weights: FloatArray) -> tuple[int | None, int]:
    """How often a tick is longer, and the number of the first that is; None where there is no such order."""
    own = weights <= TOUCHING * np.median(weights)
    longer = index[own & (weights >= LONGER * np.median(weights))]
    if 2 * len(longer) >= len(index) or len(longer) < 2:
        longer = index[own & (weights >= LONGER * weights.min())]
    if len(longer) < 2:
        return None, 0
    gaps = np.diff(longer)
    every = int(gaps.min())
    if every < 2 or (gaps % every).any():
        return None, 0
    return every, int(longer[0] % every)
