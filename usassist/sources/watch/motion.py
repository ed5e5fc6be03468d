"""Detect a frozen image by its change from grab to grab, over time and not over counts.

Each change from one grab to the next is *active* or not; what counts is the share of active ones in the last
`still_s`, compared with the share while the image was live. So a scanner of 5 frames a second on a screen of 60 Hz is
not frozen, and a video codec that re-encodes a frozen image at each keyframe does not make it live.

Three levels decide what is active:

* the noise of the path: an analogue grabber changes the bare screen beside the image as much as a frozen image;
* the change while live: a codec's refinement of an image that has stopped is small against it, and soon over;
* a small change all over the image: that is a still probe, whose electronic noise is everywhere. A codec leaves
  whole blocks unchanged.

Not detected: a still probe whose noise is below that of an analogue path, or was smoothed away by a codec (it is
reported as frozen); a frozen image that went through an analogue path and then a codec that encodes its noise, with no
bare screen in or beside the image; a recorded cine loop that the scanner plays (it is reported as live).
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sources.watch.profile import WatchProfile

__all__ = ["Motion", "Movement"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

Movement = Literal["moving", "still", "unknown"]

_CELL = 8  # samples on a side of the cells in which change is averaged
_LIT = 12  # grey levels above the background that belong to the image
_MIN_SPREAD = 0.06  # of the image's cells; less is a cursor
_STILL_SHARE = 0.35  # of the active share while live: below it, the image is frozen
_MOVING_SHARE = 0.55  # above it, the image moves again
_UNLEARNT = 0.2  # active share that is required while none is learnt
_NOISY_LEVELS = 0.3  # on a path with noise, or a codec, smaller changes are ignored
_MARKS_SHARE = 0.8  # a codec changes a noisy frozen image by less than this share of its change of text
_GLITCH_LEVELS = 12.0  # marks that stay in place do not change by more
_SMOOTHING = 0.2  # weight of the newest change of the marks
_STRONG = 0.4  # of the change while live
_UPDATES = 2  # so many strong changes within `still_s`, with rest between them, are a slow scanner
_ANOTHER = 2.0  # levels between two images that differ, averaged over small squares
_LEARN = 0.05  # weight of the newest window in what is learnt while live


class Motion:
    """Change in the scan area.

    Parameters
    ----------
    profile : thresholds
    inside : bool (rows, columns) of the samples, True inside the scan area
    background : grey level of the bare screen
    """

    def __init__(self, profile: WatchProfile, inside: BoolArray, background: int) -> None:
        self._profile = profile
        self._inside = inside
        self._lit_level = min(background + _LIT, 250)
        self._lit = np.zeros(inside.shape, np.uint8)
        self._size = (max(1, inside.shape[1] // _CELL), max(1, inside.shape[0] // _CELL))
        self._last: UInt8Array | None = None
        self._image_cells: BoolArray | None = None
        self._bare_cells: BoolArray | None = None
        self._steps: deque[tuple[int, bool, bool]] = deque()
        self._reference: UInt8Array | None = None
        self._other = 0
        self.noise = 0.0
        self._restless = 0.0
        self._live_level: float | None = None
        self._live_share: float | None = None
        self._still = False
        self._exact = False
        self._since_ns: int | None = None

    def restart(self) -> None:
        """Discard the last grabs after a gap; what was learnt of the live image stays."""
        self._steps.clear()
        self._last = None
        self._still = False
        self._since_ns = None

    @property
    def is_exact(self) -> bool:
        """True when the last step changed none of the samples."""
        return self._exact

    @property
    def still_since_ns(self) -> int | None:
        """When the last active step was, or the first one seen; None without any."""
        return self._since_ns

    def add(self, samples: UInt8Array, restless: float, t_ns: int) -> Movement:
        """Add the samples of one grab and judge the last `still_s`.

        Parameters
        ----------
        samples : uint8 (rows, columns), grey
        restless : mean change of the screen's own marks since the last grab, grey levels
        t_ns : time of the grab
        """
        last, self._last = self._last, samples
        if last is None:
            self._exact = False
            self._mark_lit(samples)
            self._since_ns = t_ns
            return "unknown"
        change = cv2.absdiff(samples, last)
        active, strong = self._is_active(change, restless)
        if active:
            self._since_ns = t_ns
        steps, window_ns = self._steps, round(self._profile.still_s * 1e9)
        steps.append((t_ns, active, strong))
        covered = False
        while len(steps) > 1 and steps[0][0] <= t_ns - window_ns:
            steps.popleft()
            covered = True
        if active and not self._still:
            self._mark_lit(samples)
        return self._judge(covered or t_ns - steps[0][0] >= 0.9 * window_ns, samples)

    def _is_active(self, change: npt.NDArray[Any], restless: float) -> tuple[bool, bool]:
        """Whether something moved from one grab to the next, and by as much as while live."""
        self._exact = not cv2.countNonZero(change)
        if self._exact:
            self.noise = 0.0
            return False, False
        cells = self._means(change)
        image, bare = self._cells()
        noise = self.noise = _percentile(cells[bare], 0.3)
        inside = cells[image]
        level = float(inside.mean())
        if restless > _GLITCH_LEVELS:  # a torn or foreign screen, not noise
            restless = self._restless
        self._restless += _SMOOTHING * (restless - self._restless)
        marks = max(restless, self._restless)
        noisy = _NOISY_LEVELS if noise > 0.0 or marks > 0.01 else 0.0
        least = max(self._profile.motion_levels, noisy, self._profile.noise_factor * noise, _MARKS_SHARE * marks)
        spread = float(np.count_nonzero(inside > least)) / inside.size
        live = self._live_level
        enough = live is None or level >= self._profile.motion_share * live
        active = level > least and ((enough and spread >= _MIN_SPREAD) or spread >= self._profile.noise_spread)
        if active and not self._still:
            self._live_level = level if live is None else live + _LEARN * min(level - live, live)
        return active, active and live is not None and level >= _STRONG * live

    def _cells(self) -> tuple[BoolArray, BoolArray]:
        """Cells of the image, and bare ones beside it."""
        if self._image_cells is None or self._bare_cells is None:
            inside, lit = self._means(self._inside), self._means(self._lit)
            image = (inside > 0.99) & (lit > 0.3)
            if not image.any():
                image = inside >= inside.max()
            bare = (inside < 0.01) & (lit < 0.3)
            self._image_cells, self._bare_cells = image, bare if np.count_nonzero(bare) >= 4 else lit < 0.005
        return self._image_cells, self._bare_cells

    def _means(self, samples: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Mean of each cell, float32 (rows, columns); samples at the end that fill no cell are left out."""
        columns, rows = self._size
        whole = samples[: rows * _CELL, : columns * _CELL].astype(np.float32)
        return np.asarray(cv2.resize(whole, self._size, interpolation=cv2.INTER_AREA), np.float32)

    def _mark_lit(self, samples: UInt8Array) -> None:
        lit = np.asarray(cv2.threshold(samples, self._lit_level, 1, cv2.THRESH_BINARY)[1], np.uint8)
        if cv2.countNonZero(cv2.subtract(lit, self._lit)):
            self._lit |= lit
            self._image_cells = None

    def _judge(self, covered: bool, samples: UInt8Array) -> Movement:
        steps, known = self._steps, self._live_share or _UNLEARNT
        count = sum(active for _, active, _ in steps)
        share = count / len(steps)
        if self._still:
            self._still = share < _MOVING_SHARE * known and not self._is_another(samples)
        elif not covered:
            return "moving" if count >= 2 and share >= _STILL_SHARE * known else "unknown"
        else:
            self._still = share < _STILL_SHARE * known and self._updates() < _UPDATES
            if self._still:
                self._reference, self._other = self._coarse(samples), 0
        if self._still:
            return "still"
        if covered:
            self._live_share = share if self._live_share is None else known + _LEARN * (share - known)
        return "moving"

    def _updates(self) -> int:
        """How often a still image began to move by as much as while live: a scanner that has become slow."""
        strong = [strong for _, _, strong in self._steps]
        return sum(now and not before for before, now in pairwise([False, *strong]))

    def _is_another(self, samples: UInt8Array) -> bool:
        """True when the image differs from the frozen one, for two grabs that differ from each other."""
        assert self._reference is not None
        if not self._steps[-1][1]:
            return False
        away = cv2.absdiff(self._coarse(samples), self._reference)
        lit = cv2.resize(self._lit, (away.shape[1], away.shape[0]), interpolation=cv2.INTER_AREA) > 0
        level = float(away[lit].mean()) if lit.any() else 0.0
        self._other = self._other + 1 if level >= max(_ANOTHER, 0.5 * (self._live_level or 0.0)) else 0
        return self._other >= 2

    @staticmethod
    def _coarse(samples: UInt8Array) -> UInt8Array:
        """Means over small squares: codec noise is averaged out, structure stays."""
        size = (max(1, samples.shape[1] // 4), max(1, samples.shape[0] // 4))
        return np.asarray(cv2.resize(samples, size, interpolation=cv2.INTER_AREA), np.uint8)


def _percentile(values: npt.NDArray[Any], share: float) -> float:
    """The quantile `share`, equal to ``numpy.percentile`` but in a tenth of its time."""
    if not values.size:
        return 0.0
    place = share * (values.size - 1)
    low = int(place)
    high = min(low + 1, values.size - 1)
    parted = np.partition(values, (low, high))
    return float(parted[low] + (place - low) * (parted[high] - parted[low]))
