"""The slot where frames wait for the loop."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from usassist.common.clock import Clock
from usassist.common.fresh_queue import FRESH_QUEUE_SIZE, FreshQueue
from usassist.records import Frame

__all__ = ["DroppedFrame", "Slot"]

_MAX_DROPPED = 36_000  # 20 minutes at 30 Hz, about 8 MB; then `put` waits


@dataclass(frozen=True, slots=True, kw_only=True)
class DroppedFrame:
    """What is left of a frame that was overwritten in the slot: what its result needs, without its pixels.

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
    def of(cls, frame: Frame) -> DroppedFrame:
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

    Dropped frames are handed over, without their pixels, together with the frame that is taken. So while nothing is
    taken, no pixels accumulate; after 36,000 dropped frames ``put`` waits.

    Parameters
    ----------
    clock : for the wait
    lossless : ``put`` waits until there is room instead of dropping frames
    """

    def __init__(self, clock: Clock, *, lossless: bool) -> None:
        self._lossless = lossless
        self._frames: FreshQueue[Frame] = FreshQueue(clock)
        self._dropped: list[DroppedFrame] = []
        self._closed = False
        self._woken = False
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> None:
        """Offer a frame; after ``close`` it never waits."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: len(self._frames) < FRESH_QUEUE_SIZE or self._closed)
            elif len(self._dropped) >= _MAX_DROPPED:
                self._changed.wait_for(lambda: len(self._dropped) < _MAX_DROPPED or self._closed)
            overwritten = self._frames.put(frame)
            if overwritten is not None:
                self._dropped.append(DroppedFrame.of(overwritten))
            self._changed.notify_all()

    def take(self, timeout_s: float, *, wanted: bool = True) -> tuple[Frame | None, list[DroppedFrame], bool]:
        """Wait for a frame, or for :meth:`wake`.

        Parameters
        ----------
        timeout_s : longest wait
        wanted : False leaves the frames where they are

        Returns
        -------
        frame : the one to process now, or None when none came in time
        dropped : those before it that were not taken, oldest first
        open : False when the slot is closed and empty
        """
        with self._changed:
            self._changed.wait_for(lambda: self._woken or (self._frames and wanted) or self._closed, timeout_s)
            self._woken = False
            if not wanted:
                return None, [], True
            dropped, self._dropped = self._dropped, []
            if not self._frames:
                return None, dropped, not self._closed
            if not self._lossless:
                dropped += map(DroppedFrame.of, self._frames.drop_stale())
            frame = self._frames.take()
            self._changed.notify_all()
            return frame, dropped, True

    def wake(self) -> None:
        """End the wait in :meth:`take`: there is something else to do."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def drain(self) -> list[DroppedFrame]:
        """Everything that was not taken, oldest first."""
        with self._changed:
            frames = [*self._dropped, *map(DroppedFrame.of, self._frames.clear())]
            self._dropped = []
            return frames

    def close(self) -> None:
        """No more frames will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
