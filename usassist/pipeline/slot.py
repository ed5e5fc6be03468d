"""Where frames wait for the loop."""

from __future__ import annotations

import threading

from usassist.clock import Clock
from usassist.records import Frame
from usassist.waiting import MOST_WAITING, Waiting

__all__ = ["Slot"]


class Slot:
    """Holds the newest frames; how long they may wait, see :class:`usassist.waiting.Waiting`.

    What is passed over is handed over together with the frame that is taken.

    Parameters
    ----------
    clock : for the wait
    lossless : ``put`` waits until there is room instead of passing frames over
    """

    def __init__(self, clock: Clock, *, lossless: bool) -> None:
        self._lossless = lossless
        self._frames: Waiting[Frame] = Waiting(clock)
        self._overwritten: list[Frame] = []
        self._closed = False
        self._woken = False
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> None:
        """Offer a frame; after ``close`` it waits for nobody."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: len(self._frames) < MOST_WAITING or self._closed)
            overwritten = self._frames.put(frame)
            if overwritten is not None:
                self._overwritten.append(overwritten)
            self._changed.notify_all()

    def take(self, timeout_s: float, *, wanted: bool = True) -> tuple[Frame | None, list[Frame], bool]:
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
                overwritten += self._frames.pass_over()
            frame = self._frames.take()
            self._changed.notify_all()
            return frame, overwritten, True

    def wake(self) -> None:
        """End the wait in :meth:`take`: there is something else to do."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def rest(self) -> list[Frame]:
        """Everything that nobody has taken, oldest first."""
        with self._changed:
            frames = [*self._overwritten, *self._frames.clear()]
            self._overwritten = []
            return frames

    def close(self) -> None:
        """No more frames will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
