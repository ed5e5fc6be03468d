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

from usassist.sources.ruler.marks import are_alike, centre_of, extent_of, has_finer, major_of, thickest_px

__all__ = ["Ticks", "find_ticks"]

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
    centres = np.array([centre_of(marks[:, column], int(row), half) for row in marked])
    step, start = np.polyfit(index, centres, 1)
    rms = float(np.sqrt(np.mean((centres - start - step * index) ** 2)))
    if rms > _MOST_RMS_PX + 0.004 * step:
        return None
    boxes = [extent_of(grey, offset + column, int(row), half) for row in marked]
    thin = [height <= thick_px + 2 for _, _, height, _ in boxes]
    if np.mean(thin) < _THIN_SHARE:
        return None
    weights = np.array([weight for _, _, _, weight in boxes], np.float64)
    every, first = major_of(index, weights)
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
        alike=are_alike(index, weights, every)
        and not has_finer(marks[:, column], float(start), float(step), int(index[-1])),
        clean=clean,
    )
