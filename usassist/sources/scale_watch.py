"""Watch the scale of a stream: read the ruler, check that it stays as it was read, and give each frame its scale.

The ruler is looked at four times a second, in a few columns of the screen and where its figures stand: other ticks or
other figures mean another depth, and the scale is gone at once and read anew. Without an answer the screen is read
again after growing pauses. The screen beside the image is looked at as often for a scale that is set by hand.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from usassist.calibrate import Geometry
from usassist.calibrate.two_points import Points
from usassist.sources.ruler import (
    NoRuler,
    RulerReading,
    figure_patches,
    read_ruler,
    ruler_columns,
    ruler_is_same,
)
from usassist.sources.scale import Claim, ScaleMode, combine, profile_claim, ruler_claim
from usassist.sources.scale_by_hand import HandScale

__all__ = ["ScaleWatch"]

UInt8Array = npt.NDArray[np.uint8]
Roi = tuple[int, int, int, int]
Answer = RulerReading | NoRuler

logger = logging.getLogger(__name__)

_CHECK_NS = 250_000_000
_AGAIN_NS = 60_000_000_000  # the whole screen is read again, the ruler being the same: for a second view
_FIRST_PAUSE_NS = 250_000_000
_CLOSE_S = 0.5
_CHANGED = 24  # levels of grey; a tick is brighter than what is around it by more
_REDRAWN, _REDRAWN_PX = 60, 6  # so many pixels of a figure that differ by more levels: another figure
_SAME_EDGE = 0.03  # edges of a scan area are the same when they differ by less than this share of its longer side
_LONGEST_PAUSE_NS = 30_000_000_000


class ScaleWatch:
    """The scale of the frames of one source, in order. Without `background` the same frames give the same scales.

    Parameters
    ----------
    mode : ``auto`` reads the ruler, ``profile`` takes what is given without it, ``none`` gives no frame a scale
    geometry : the calibration of this scanner
    separate : each frame is an image of its own, and its ruler is read
    background : read in a thread; until it has read, frames have no scale

    Attributes
    ----------
    note : why frames have no scale; empty where they have one, or no reason is known
    """

    def __init__(
        self, mode: ScaleMode, geometry: Geometry | None, *, separate: bool = False, background: bool = False
    ) -> None:
        self._mode = mode
        self._profile = profile_claim(geometry)
        self._separate = separate
        self._background = background
        self._roi: Roi | None = None
        self._profile_roi: Roi | None = None
        self._answer: Answer | None = None
        self._next_ns: int | None = None
        self._next_whole_ns = 0
        self._pause_ns = _FIRST_PAUSE_NS
        self._job: _Job | None = None
        self._columns: UInt8Array | None = None  # of the screen beside the image, as the ruler was last found in them
        self._patches: list[UInt8Array] = []  # of the screen that was read, where its figures stand
        self._reported = ""
        refused = "" if mode == "auto" else f"the stream was started with --scale {mode}"
        self._hand = HandScale("each image of a folder is one of its own" if separate else refused)
        self._next_beside_ns: int | None = None
        self.note = ""

    def set_by_hand(self, frame_id: int, points_xy_px: Points, distance_mm: float) -> str:
        """Set the scale by two points on a frame; see :class:`usassist.sources.scale_by_hand.TakesScale`."""
        return self._hand.set(frame_id, points_xy_px, distance_mm)

    def end_by_hand(self, reason: str) -> None:
        """End a scale that was set by hand: what the next frames show is not known to have its depth."""
        self._hand.end(reason)

    def reset(self) -> None:
        """Forget what was read, and set by hand: the scan area is another one."""
        self._hand.end("the scan area has changed")
        self._next_beside_ns = None
        self._forget()

    def _forget(self) -> None:
        self._roi, self._answer, self._next_ns, self._job = None, None, None, None
        self._pause_ns = _FIRST_PAUSE_NS

    def close(self) -> None:
        """Wait up to 0.5 s for a reading that is under way, so that no thread is left in a runtime that ends."""
        job = self._job
        if job is not None:
            job.wait(_CLOSE_S)

    def claim(
        self,
        roi_xyxy_px: Roi,
        t_ns: int,
        grey: Callable[[], UInt8Array] | None,
        own: Claim | None = None,
        frame_id: int = 0,
    ) -> Claim | None:
        """The scale of a frame; None where there is none that is certain.

        Parameters
        ----------
        roi_xyxy_px : its scan area on the screen, px
        t_ns : its time in the stream; never falls
        grey : gives the luma of its whole screen, uint8 (H, W); called only when it is due. None where there is none
            to look at: what was read before holds
        own : what the source states itself
        frame_id : of the frame, for a scale that is set by hand on one
        """
        if self._mode == "none":
            return None
        profile, why = self._profile_at(roi_xyxy_px)
        claims = [item for item in (own, profile) if item is not None]
        if self._mode == "auto":
            if grey is not None:
                grey = _once(grey)
                self._look(roi_xyxy_px, t_ns, grey)
            if isinstance(self._answer, RulerReading):
                claims.append(ruler_claim(self._answer))
            elif self._answer is not None:
                why = why or self._answer.reason
            by_hand = self._by_hand(roi_xyxy_px, t_ns, grey, frame_id)
            if by_hand is not None:
                claims.append(by_hand)
        chosen, contradiction = combine(claims)
        why = contradiction or self._hand.ended or why
        self.note = "" if chosen else why
        self._report(chosen, why)
        return chosen

    def _by_hand(self, roi: Roi, t_ns: int, grey: Callable[[], UInt8Array] | None, frame_id: int) -> Claim | None:
        screen = None
        if grey is not None and not self._separate and (self._next_beside_ns is None or t_ns >= self._next_beside_ns):
            self._next_beside_ns = t_ns + _CHECK_NS
            screen = grey()
        rulers = () if self._answer is None else self._answer.rulers
        return self._hand.look(frame_id, roi, screen, rulers)

    def _profile_at(self, roi: Roi) -> tuple[Claim | None, str]:
        """What the calibration states for a scan area; nothing, with the reason, where that has moved since."""
        if self._profile is None or self._separate:
            return self._profile, ""
        if self._profile_roi is None:
            self._profile_roi = roi
        before = self._profile_roi
        slack_px = _SAME_EDGE * max(before[2] - before[0], before[3] - before[1])
        if np.abs(np.subtract(before, roi)).max() > slack_px:
            return None, f"the scan area is not the one that {self._profile.origin} began with"
        return self._profile, ""

    def _look(self, roi: Roi, t_ns: int, grey: Callable[[], UInt8Array]) -> None:
        if roi != self._roi:
            self._forget()
            self._roi = roi
        if self._job is not None:
            self._take_job(t_ns, grey)
            return
        if not self._separate and self._next_ns is not None and t_ns < self._next_ns:
            return
        screen = grey()
        self._next_ns = t_ns + _CHECK_NS
        if isinstance(self._answer, RulerReading) and not self._separate:
            if not self._is_same(screen, roi, self._answer):
                self._answer, self._pause_ns = None, _FIRST_PAUSE_NS
            elif t_ns < self._next_whole_ns:
                return
        if self._background:
            self._job = _Job(screen, roi)
        else:
            self._accept(read_ruler(screen, roi), screen, t_ns)

    def _take_job(self, t_ns: int, grey: Callable[[], UInt8Array]) -> None:
        """Take the answer of the thread, once it has one, if the ruler is still the one that it has read."""
        assert self._job is not None
        assert self._roi is not None
        answer = self._job.answer
        if answer is None:
            if self._next_ns is not None and t_ns >= self._next_ns and isinstance(self._answer, RulerReading):
                self._next_ns = t_ns + _CHECK_NS
                if not self._is_same(grey(), self._roi, self._answer):
                    self._answer = None
            return
        screen = self._job.screen
        self._job = None
        self._accept(answer, screen, t_ns)
        if isinstance(answer, RulerReading) and not self._is_same(grey(), self._roi, answer):
            self._answer, self._next_ns = None, t_ns

    def _is_same(self, screen: UInt8Array, roi: Roi, reading: RulerReading) -> bool:
        """Whether the ruler is still there; it is not looked for where nothing has changed in its columns.

        Its figures may change while its ticks stay. A mark that moves along the ruler covers one of them at a time.
        """
        now = figure_patches(screen, roi, reading)
        if [patch.shape for patch in now] != [patch.shape for patch in self._patches]:
            return False
        redrawn = sum(
            cv2.countNonZero(np.asarray(cv2.absdiff(*pair) > _REDRAWN, np.uint8)) >= _REDRAWN_PX
            for pair in zip(self._patches, now, strict=True)
        )
        if 2 * redrawn > len(now):
            return False
        columns = ruler_columns(screen, reading)
        before = self._columns
        if before is not None and before.shape == columns.shape and not (cv2.absdiff(columns, before) > _CHANGED).any():
            return True
        same = ruler_is_same(screen, roi, reading)
        self._columns = columns if same else None
        return same

    def _accept(self, answer: Answer, screen: UInt8Array, t_ns: int) -> None:
        """Take an answer that was read from `screen`."""
        self._answer, self._columns = answer, None
        if isinstance(answer, RulerReading):
            assert self._roi is not None
            self._patches = figure_patches(screen, self._roi, answer)
            self._pause_ns, self._next_ns, self._next_whole_ns = _FIRST_PAUSE_NS, t_ns + _CHECK_NS, t_ns + _AGAIN_NS
        else:
            self._next_ns = t_ns + self._pause_ns
            self._pause_ns = min(2 * self._pause_ns, _LONGEST_PAUSE_NS)

    def _report(self, claim: Claim | None, why: str) -> None:
        if claim is None:
            text = f"no scale: {why}" if why else ""
        else:
            row_mm, column_mm = claim.spacing_rc_mm
            text = f"scale {row_mm:.5f} x {column_mm:.5f} mm per px, {claim.spacing_rel_sd:.2%}, by {claim.origin}"
        if text and text != self._reported:
            self._reported = text
            logger.log(logging.DEBUG if self._separate else logging.INFO, "%s", text)


def _once(grey: Callable[[], UInt8Array]) -> Callable[[], UInt8Array]:
    """The luma of one screen, made when it is first asked for."""
    made: list[UInt8Array] = []

    def get() -> UInt8Array:
        if not made:
            made.append(grey())
        return made[0]

    return get


class _Job:
    """One reading of a screen in a thread."""

    def __init__(self, screen: UInt8Array, roi: Roi) -> None:
        self.answer: Answer | None = None
        self.screen, self._roi = screen.copy(), roi
        self._thread = threading.Thread(target=self._run, name="ruler", daemon=True)
        self._thread.start()

    def wait(self, timeout_s: float) -> None:
        """Wait until it has read."""
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self.answer = read_ruler(self.screen, self._roi)
        except Exception:
            logger.exception("the ruler could not be read")
            self.answer = NoRuler.failed()
