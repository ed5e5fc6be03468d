"""The figures beside the ticks of a ruler: where they stand, and which number each is.

A figure is as high as a letter, stands beside the ruler and on the height of a tick. Misread figures are told by the
others: the figures of a ruler rise by the same amount from tick to tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sources.ruler.marks import LONGER, TOUCHING, thickest_px
from usassist.sources.ruler.text_reader import read_numbers
from usassist.sources.ruler.ticks import Ticks

__all__ = ["BESIDE", "Figure", "Rise", "figures_beside", "rise_of", "rise_of_one"]

UInt8Array = npt.NDArray[np.uint8]

_LEAST_SCORE = 0.55
BESIDE = 0.05  # how far beside the ticks a figure may stand, as a share of the screen's longer side
_HIGHEST = 0.045  # of a figure, as a share of the screen's height
_OFF_TICK = 0.4  # of a figure's height, by which its middle may lie beside its tick
_LIT_SHARES = (0.5, 0.28)  # of the brightest pixel beside the ruler, from which on a pixel belongs to a figure
_MOST_FIGURES = 24
_AGREE = 0.66  # share of the figures that have to lie on one line
_FIGURES_ALONE = 3
_ZERO_AT_TOP = 0.3  # of a tick, by which the zero of the figures may lie beside the upper edge of the image
_FIRST_AT_TOP = 1.3  # the same of a zero at the first tick; the image of a curved probe begins above or below it
_SURE_SCORE = 0.9  # of a figure that stands alone
_PER_MAJOR = (1.0, 5.0, 10.0)
_RISES = (
    1.0,
    2.0,
    2.5,
    5.0,
)  # and these times powers of ten: how figures rise from tick to tick, or from place to place


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A number that was read beside a ruler.

    Attributes
    ----------
    index : of the tick that it stands at; may lie one place before the first tick or behind the last
    value : the number
    score : of the reading, 0 to 1
    """

    index: int
    value: float
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rise:
    """How the figures of a ruler rise.

    Attributes
    ----------
    per_tick : difference of the figures of neighbouring ticks; may be a fraction where only some ticks have figures
    largest : the largest figure
    agree, read : number of figures that lie on the line, and of all that were read
    """

    per_tick: float
    largest: float
    agree: int
    read: int


def figures_beside(grey: UInt8Array, ticks: Ticks) -> list[Figure]:
    """Read the figures beside a vertical ruler.

    Parameters
    ----------
    grey : uint8 (H, W), the whole screen, transposed for a horizontal ruler
    ticks : as found on it

    Returns
    -------
    figures : in order of their ticks, at most one each; empty where none is read
    """
    reach = round(BESIDE * max(grey.shape))
    sizes = ticks.weights
    usual = sizes <= 6 * np.median(sizes)
    left, right = int(ticks.starts_px[usual].min()), int(ticks.ends_px[usual].max())
    best: list[Figure] = []
    for share in _LIT_SHARES:
        for first, last in ((left - reach, left), (right, right + reach)):
            found = _read_side(grey, ticks, max(0, first), min(grey.shape[1], last), share)
            if len(found) > len(best):
                best = found
        if len(best) >= 2:
            break
    return best


def _read_side(grey: UInt8Array, ticks: Ticks, first: int, last: int, share: float) -> list[Figure]:
    if last - first < 4:
        return []
    margin = 0.8 * ticks.step_px
    top = max(0, round(ticks.first_px - ticks.step_px - margin))
    bottom = min(grey.shape[0], round(ticks.last_px + ticks.step_px + margin))
    strip = grey[top:bottom, first:last]
    words = _words(strip, grey.shape[0], share)
    chosen: dict[int, tuple[float, tuple[int, int, int, int]]] = {}
    near = first if first >= ticks.across_px else last
    for box in words:
        x1, y1, x2, y2 = box
        place = (top + 0.5 * (y1 + y2) - ticks.first_px) / ticks.step_px
        index = round(place)
        if not -1 <= index <= ticks.count or abs(place - index) * ticks.step_px > max(2.5, _OFF_TICK * (y2 - y1)):
            continue
        gap = float(first + x1 - near if near == first else near - first - x2)
        if index not in chosen or gap < chosen[index][0]:
            chosen[index] = gap, box
    if not 0 < len(chosen) <= _MOST_FIGURES:
        return []
    order = sorted(chosen)
    numbers = read_numbers(
        [np.ascontiguousarray(strip[y1:y2, x1:x2]) for x1, y1, x2, y2 in (chosen[i][1] for i in order)]
    )
    return [
        Figure(index=index, value=number[0], score=number[1])
        for index, number in zip(order, numbers, strict=True)
        if number is not None and number[1] >= _LEAST_SCORE
    ]


def _words(strip: UInt8Array, height_px: int, share: float) -> list[tuple[int, int, int, int]]:
    """Boxes of marks as high as letters, neighbours joined: x1, y1, x2, y2 in the strip, px."""
    peak = int(strip.max())
    if peak < 40:
        return []
    lit = np.asarray(strip > share * peak, np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(lit, connectivity=8)
    lowest, highest = thickest_px(height_px) + 1, max(10.0, _HIGHEST * height_px)
    letters = sorted(
        (int(x), int(y), int(x + w), int(y + h))
        for x, y, w, h, _ in stats[1:count]
        if lowest <= h <= highest and w <= 1.6 * h
    )
    words: list[tuple[int, int, int, int]] = []
    for x1, y1, x2, y2 in letters:
        for at, (a1, b1, a2, b2) in enumerate(words):
            if x1 - a2 <= 0.6 * (y2 - y1) and abs(y1 + y2 - b1 - b2) <= 0.5 * (y2 - y1):
                words[at] = a1, min(b1, y1), max(a2, x2), max(b2, y2)
                break
        else:
            words.append((x1, y1, x2, y2))
    return words


def rise_of(figures: Sequence[Figure], top: float) -> Rise | None:
    """How the figures rise from tick to tick; None where they contradict each other or the ticks.

    Two figures are not enough to tell a misread one, so that they must also count from the first tick, or from
    the upper edge of the image; three may count from anywhere, as in a zoomed image.

    Parameters
    ----------
    figures : two or more
    top : place of the upper edge of the image, in ticks from the first
    """
    best: Rise | None = None
    for at, one in enumerate(figures):
        for other in figures[at + 1 :]:
            per_tick = (other.value - one.value) / (other.index - one.index)
            if per_tick <= 0 or not _is_round(per_tick):
                continue
            agree = [
                item for item in figures if abs(one.value + per_tick * (item.index - one.index) - item.value) < 0.02
            ]
            zero = one.index - one.value / per_tick
            at_first = -1.1 <= zero <= 0.1 and abs(zero - round(zero)) < 0.1 and abs(zero - top) < _FIRST_AT_TOP
            if len(agree) < _FIGURES_ALONE and not at_first and abs(zero - top) > _ZERO_AT_TOP:
                continue
            if best is None or len(agree) > best.agree:
                largest = max(figure.value for figure in agree)
                best = Rise(per_tick=per_tick, largest=largest, agree=len(agree), read=len(figures))
    return best if best is not None and best.agree >= _AGREE * best.read else None


def rise_of_one(figure: Figure, ticks: Ticks, top: float) -> Rise | None:
    """The rise by one figure, which must stand at a longer tick and count from the upper edge of the image.

    From one longer tick to the next, figures rise by 1, 5 or 10; None where that does not fit.
    """
    zero = round(top)
    at = np.flatnonzero(ticks.index == figure.index)
    if not at.size or figure.index <= zero or figure.score < _SURE_SCORE:
        return None
    if ticks.major_every is not None:
        if (figure.index - ticks.major_first) % ticks.major_every or (zero - ticks.major_first) % ticks.major_every:
            return None
        majors = (figure.index - zero) // ticks.major_every
    else:
        weight, usual = float(ticks.weights[at[0]]), float(np.median(ticks.weights))
        if not LONGER * usual <= weight <= TOUCHING * usual:
            return None
        majors = 1
    if figure.value / majors not in _PER_MAJOR:
        return None
    return Rise(per_tick=figure.value / (figure.index - zero), largest=figure.value, agree=1, read=1)


def _is_round(per_tick: float) -> bool:
    """True where figures may rise so from tick to tick: 1, 2, 2.5 or 5 times a power of ten."""
    if per_tick <= 0:
        return False
    leading = per_tick / 10.0 ** np.floor(np.log10(per_tick) + 1e-9)
    return any(abs(leading - rise) < 0.01 for rise in _RISES)
