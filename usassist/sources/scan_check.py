"""Check once a second whether the scan area is still where it was found.

What a scanner draws right beside the image (ruler, grey bar, marks) is static while layout, depth and zoom stay the
same, however dark the image is. So a border of the screen around the scan area is compared with a reference; the area
is searched again only when the border has changed, and occasionally without that.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError
from usassist.frames import find_scan_area
from usassist.sources.screen import Screen

__all__ = ["AreaStatus", "ScanCheck"]

Roi = tuple[int, int, int, int]
UInt8Array = npt.NDArray[np.uint8]

_BORDER_SHARE = 0.07  # width of the border around the area, as a share of the area's longer side
_GAP_PX = 4  # between area and border, where the image's edge may spill over
_CHANGED_LEVELS = 28  # grey levels, after averaging, that noise and compression do not reach
_BINS = 10  # into which each side of the border is divided
_MIN_CHANGED_PX = 4  # of one bin; fewer are noise
_CHANGED_BINS = 3  # of one side: a pointer or a message touches fewer, another ruler more
_SLACK = 0.03  # edges agree when they differ by less than this share of the area's longer side
_AGREE = 3  # so many searches in a row must agree
_LEARN = 4  # checks after the first in which moving parts of the border are learnt
_SEARCH_EVERY = 10  # checks between searches without a change


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaStatus:
    """Result of one check.

    Attributes
    ----------
    ok : False when the scan area is known to have moved or changed
    reason : why it is not ok, in plain words; else empty
    found : the area's new position, px of the screen; None while it is uncertain
    """

    ok: bool
    reason: str = ""
    found: Roi | None = None


class ScanCheck:
    """Checks whether a scan area stays where it is.

    Parameters
    ----------
    roi_xyxy_px : its reference position, px of the screen
    """

    def __init__(self, roi_xyxy_px: Roi) -> None:
        self._roi = roi_xyxy_px
        longer_px = max(roi_xyxy_px[2] - roi_xyxy_px[0], roi_xyxy_px[3] - roi_xyxy_px[1])
        self._slack_px = max(6.0, _SLACK * longer_px)
        self._border_px = max(12, round(_BORDER_SHARE * longer_px))
        self._hw_px: tuple[int, int] | None = None
        self._sides: list[UInt8Array] = []
        self._busy: list[UInt8Array] = []  # parts that move on their own, learnt in the first checks
        self._candidates: list[Roi] = []
        self._changed_checks = 0
        self._checks = 0

    def check(self, screen: Screen) -> AreaStatus:
        """Check one whole screen. The first one is the reference."""
        hw_px = screen.hw_px
        if self._hw_px is None:
            self._hw_px, self._sides = hw_px, self._cut_sides(screen)
            self._busy = [np.zeros_like(side) for side in self._sides]
        number, self._checks = self._checks, self._checks + 1
        if hw_px != self._hw_px:
            found = self._search(screen)
            return AreaStatus(
                ok=False,
                reason=f"the screen has {hw_px[1]} x {hw_px[0]} px instead of {self._hw_px[1]} x {self._hw_px[0]}",
                found=found,
            )
        changed = self._changed_side(self._cut_sides(screen), learn=number < _LEARN)
        self._changed_checks = self._changed_checks + 1 if changed else 0
        if not changed and not self._candidates and number % _SEARCH_EVERY:
            return AreaStatus(ok=True)
        found = self._search(screen)
        moved = self._moved(self._candidates[-1]) if self._candidates else False
        if not changed:
            return self._status_of_same_border(found)
        if self._changed_checks < 2:  # a message may come and go
            return AreaStatus(ok=True)
        if not self._candidates:
            reason = f"the screen {changed} the scan area has changed, and no ultrasound image is found"
            return AreaStatus(ok=False, reason=reason)
        if moved:
            return AreaStatus(ok=False, reason="the scan area has moved or changed its size", found=found)
        reason = f"the screen {changed} the scan area has changed: other depth, zoom or layout"
        return AreaStatus(ok=False, reason=reason, found=found)

    def _status_of_same_border(self, found: Roi | None) -> AreaStatus:
        """Status where the border has not changed: only an image that extends beyond the area counts."""
        if not self._candidates or not self._reaches_out(self._candidates[-1]):
            self._candidates.clear()  # a dark image looks smaller than it is
            return AreaStatus(ok=True)
        if found is None:
            return AreaStatus(ok=True)
        return AreaStatus(ok=False, reason="the image extends beyond the scan area", found=found)

    def _search(self, screen: Screen) -> Roi | None:
        """Search the area again; the result once several searches agree."""
        try:
            found = find_scan_area([screen.image], may_be_whole=False).xyxy_px
        except ScanAreaError:
            self._candidates.clear()
            return None
        if self._candidates and np.abs(np.subtract(self._candidates[-1], found)).max() > self._slack_px:
            self._candidates.clear()
        self._candidates = [*self._candidates[1 - _AGREE :], found]
        if len(self._candidates) < _AGREE:
            return None
        edges = np.array(self._candidates)
        return (*edges[:, :2].min(axis=0).tolist(), *edges[:, 2:].max(axis=0).tolist())  # the most that was lit

    def _moved(self, found: Roi) -> bool:
        return bool(np.abs(np.subtract(self._roi, found)).max() > self._slack_px)

    def _reaches_out(self, found: Roi) -> bool:
        out = np.subtract(self._roi, found) * (1, 1, -1, -1)
        return bool(out.max() > self._slack_px)

    def _cut_sides(self, screen: Screen) -> list[UInt8Array]:
        """Strips left, right, above and below the area, grey and averaged, each with its length along axis 0."""
        x1, y1, x2, y2 = self._roi
        wide_px, gap_px = self._border_px, _GAP_PX
        parts = (
            screen.grey(np.s_[y1:y2, max(0, x1 - wide_px) : max(0, x1 - gap_px)]),
            screen.grey(np.s_[y1:y2, x2 + gap_px : x2 + wide_px]),
            screen.grey(np.s_[max(0, y1 - wide_px) : max(0, y1 - gap_px), x1:x2]).T,
            screen.grey(np.s_[y2 + gap_px : y2 + wide_px, x1:x2]).T,
        )
        return [_averaged(part) for part in parts]

    def _changed_side(self, sides: list[UInt8Array], *, learn: bool) -> str:
        """The side of the area on which the screen has changed, for a message; empty when none has."""
        for index, side in enumerate(("left of", "right of", "above", "below")):
            now, before, busy = sides[index], self._sides[index], self._busy[index]
            if now.shape != before.shape or not now.size:
                continue
            changed = np.asarray(cv2.absdiff(now, before) > _CHANGED_LEVELS, np.uint8)
            if learn:
                busy |= np.asarray(cv2.dilate(changed, np.ones((9, 9), np.uint8)), np.uint8)
                continue
            bins = [int(part.sum()) for part in np.array_split((changed & ~busy & 1).sum(axis=1), _BINS)]
            if sum(pixels >= _MIN_CHANGED_PX for pixels in bins) >= _CHANGED_BINS:
                return side
        return ""


def _averaged(part: UInt8Array) -> UInt8Array:
    if not part.size:
        return np.zeros((0, 0), np.uint8)
    return np.asarray(cv2.blur(np.ascontiguousarray(part), (3, 3)), np.uint8)
