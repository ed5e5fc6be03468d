"""A scale that a person has set by two points on a frame, and until when it holds.

It was set on one screen, so it ends with the first sign of another depth, zoom or layout: another scan area or size of
the screen, a lost signal, anything that changes on the screen left or right of the image, or other ticks at its edge.
Settings are written there, so a change that is none of the depth ends it too. It never comes back by itself.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import numpy.typing as npt

from usassist.calibrate.two_points import Points, scale_of_two_points
from usassist.errors import CalibrationError
from usassist.sources.ruler import Ruler, rulers_are_same
from usassist.sources.scale import Claim

__all__ = ["BY_HAND", "HandScale", "TakesScale"]

UInt8Array = npt.NDArray[np.uint8]
Roi = tuple[int, int, int, int]

BY_HAND = "scale_by_hand"

_REDRAWN, _REDRAWN_PX = 60, 6  # so many pixels that differ by more levels are another tick, figure or word
_STEADY_LOOKS = 4  # after which ticks that stay count as a ruler of the screen, and not as speckle
_CHANGED = "the screen beside the image has changed"
_NO_FRAME = "no frame has come yet"


@runtime_checkable
class TakesScale(Protocol):
    """A source whose scale may be set by hand."""

    @property
    def scale_note(self) -> str:
        """Why its frames have no scale; empty where they have one, or no reason is known."""
        ...

    def set_scale(self, frame_id: int, points_xy_px: Points, distance_mm: float) -> str:
        """Set the scale by two points on a frame; may be called from any thread.

        Returns
        -------
        reason : why it is refused; empty where it holds from the next frame on
        """
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class _Steady:
    """Ticks that were seen, and how many looks they have stayed."""

    rulers: tuple[Ruler, ...]
    looks: int = 0


class HandScale:
    """Holds the scale set by hand. Its methods may be called from two threads.

    Parameters
    ----------
    refused : why none can be set on this source; empty where one can

    Attributes
    ----------
    ended : why the last one has ended; empty before
    """

    def __init__(self, refused: str = "") -> None:
        self.ended = ""
        self._refused = refused
        self._lock = threading.Lock()
        self._claim: Claim | None = None
        self._roi: Roi | None = None
        self._since_id = 0  # first frame of the screen as it is now
        self._last_id = -1
        self._begins = True  # the next frame is the first of another screen
        self._beside: tuple[UInt8Array, ...] = ()
        self._steady: _Steady | None = None

    def set(self, frame_id: int, points_xy_px: Points, distance_mm: float) -> str:
        """Set it; see :class:`TakesScale`."""
        with self._lock:
            if self._refused:
                return self._refused
            if self._roi is None or self._begins or not 0 <= frame_id <= self._last_id:
                return _NO_FRAME if self._last_id < 0 else "that frame is not of the present screen"
            if frame_id < self._since_id:
                return f"{_CHANGED} since that frame; freeze a newer one"
            x1, y1, x2, y2 = self._roi
            try:
                scale = scale_of_two_points(points_xy_px, distance_mm, (y2 - y1, x2 - x1))
            except CalibrationError as error:
                return str(error)
            spacing = (scale.mm_per_px, scale.mm_per_px)
            self._claim = Claim(spacing_rc_mm=spacing, spacing_rel_sd=scale.rel_sd, calibration_id=BY_HAND)
            self.ended = ""
            return ""

    def end(self, reason: str) -> None:
        """The screen is another one from the next frame on."""
        with self._lock:
            self._begin(reason)

    def look(self, frame_id: int, roi_xyxy_px: Roi, screen: UInt8Array | None, rulers: Sequence[Ruler]) -> Claim | None:
        """Look at the screen of a frame; the scale that holds on it.

        Parameters
        ----------
        frame_id : of the frame
        roi_xyxy_px : its scan area
        screen : luma of the whole screen, uint8 (H, W); None between two looks
        rulers : that were last seen, also those that state no scale
        """
        with self._lock:
            if roi_xyxy_px != self._roi:
                if self._roi is not None:
                    self._begin("the scan area has changed")
                self._roi = roi_xyxy_px
            if screen is not None:
                self._compare(screen, roi_xyxy_px, tuple(rulers))
            if self._begins:
                self._since_id, self._begins = frame_id, False
            self._last_id = frame_id
            return self._claim

    def _begin(self, reason: str) -> None:
        self._begins, self._roi, self._beside, self._steady = True, None, (), None
        if self._claim is not None:
            self._claim, self.ended = None, f"the scale set by hand has ended: {reason}"

    def _compare(self, screen: UInt8Array, roi: Roi, rulers: tuple[Ruler, ...]) -> None:
        x1, y1, x2, y2 = roi
        now = (screen[y1:y2, :x1], screen[y1:y2, x2:])
        if self._beside and _redrawn(self._beside, now):
            self._begin(_CHANGED)
            self._roi = roi
        if self._steady is not None and not rulers_are_same(screen, roi, self._steady.rulers):
            if self._steady.looks >= _STEADY_LOOKS:
                self._begin("the ticks beside the image have changed")
                self._roi = roi
            self._steady = None
        elif self._steady is not None:
            self._steady.looks += 1
        elif rulers:
            self._steady = _Steady(rulers=rulers)
        if not self._beside:
            self._beside = tuple(part.copy() for part in now)


def _redrawn(before: tuple[UInt8Array, ...], now: tuple[UInt8Array, ...]) -> bool:
    if [part.shape for part in before] != [part.shape for part in now]:
        return True
    return any(
        cv2.countNonZero(np.asarray(cv2.absdiff(old, new) > _REDRAWN, np.uint8)) >= _REDRAWN_PX
        for old, new in zip(before, now, strict=True)
        if old.size
    )
