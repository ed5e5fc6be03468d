"""Where frames wait for the loop."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from usassist.common.clock import Clock
from usassist.common.fresh_queue import FRESH_QUEUE_SIZE, FreshQueue
from usassist.records import Frame

__all__ = ["PassedOver", "Slot"]

_MAX_PASSED_OVER = 36_000  # 20 minutes at 30 Hz, about 8 MB; then who puts has to wait


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """What is left of a frame that nobody took: all that its result says of it, without its pixels.

    Attributes
    ----------
    session_id, source_id, frame_id, t_capture_ns, calibration_id, image_hw_px : as of the frame
    """

    session_id: str
    source_id: str
    frame_id: int
    t_capture_ns: int
    calibration_id: str | None
    image_hw_px: tuple[int, int]

    @classmethod
    def of(cls, frame: Frame) -> PassedOver:
        """What is left of this frame."""
        return cls(
            session_id=frame.session_id,
            source_id=frame.source_id,
            frame_id=frame.frame_id,
            t_capture_ns=frame.t_capture_ns,
            calibration_id=frame.calibration_id,
            image_hw_px=frame.image_hw_px,
        )


class Slot:
    """Holds the newest frames; how long they may wait, see :class:`usassist.common.fresh_queue.FreshQueue`.

    What is passed over is handed over, without its pixels, together with the frame that is taken. So while nobody takes
    anything, memory does not grow with the frames; and not at all once so many were passed over that ``put`` waits.

    Parameters
    ----------
    clock : for the wait
    lossless : ``put`` waits until there is room instead of passing frames over
    """

    def __init__(self, clock: Clock, *, lossless: bool) -> None:
        self._lossless = lossless
        self._frames: FreshQueue[Frame] = FreshQueue(clock)
        self._overwritten: list[PassedOver] = []
        self._closed = False
        self._woken = False
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> None:
        """Offer a frame; after ``close`` it waits for nobody."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: len(self._frames) < FRESH_QUEUE_SIZE or self._closed)
            elif len(self._overwritten) >= _MAX_PASSED_OVER:
                self._changed.wait_for(lambda: len(self._overwritten) < _MAX_PASSED_OVER or self._closed)
            overwritten = self._frames.put(frame)
            if overwritten is not None:
                self._overwritten.append(PassedOver.of(overwritten))
            self._changed.notify_all()

    def take(self, timeout_s: float, *, wanted: bool = True) -> tuple[Frame | None, list[PassedOver], bool]:
        """Wait for a frame, or until somebody calls :meth:`wake`.

        Parameters
        ----------
        timeout_s : longest wait
        wanted : False leaves the frames where they are

        Returns
        -------
        frame : the one to ask for now, or None when none came in time
        overwritten : those before it that nobody took, oldest first
        open : False when the slot is closed and empty
        """
        with self._changed:
            self._changed.wait_for(lambda: self._woken or (self._frames and wanted) or self._closed, timeout_s)
            self._woken = False
            if not wanted:
                return None, [], True
            overwritten, self._overwritten = self._overwritten, []
            if not self._frames:
                return None, overwritten, not self._closed
            if not self._lossless:
                overwritten += map(PassedOver.of, self._frames.drop_stale())
            frame = self._frames.take()
            self._changed.notify_all()
            return frame, overwritten, True

    def wake(self) -> None:
        """End the wait in :meth:`take`: there is something else to do."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def rest(self) -> list[PassedOver]:
        """Everything that nobody has taken, oldest first."""
        with self._changed:
            frames = [*self._overwritten, *map(PassedOver.of, self._frames.clear())]
            self._overwritten = []
            return frames

    def close(self) -> None:
        """No more frames will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
