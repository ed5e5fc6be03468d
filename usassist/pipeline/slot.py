"""Where frames wait for the loop: the newest is taken, and one before it only while it is still fresh."""

from __future__ import annotations

import threading
from collections import deque

from usassist.clock import Clock
from usassist.records import Frame

__all__ = ["Slot"]

_DEPTH = 3
_PATIENCE_NS = 25_000_000
_STALL_PATIENCE_NS = 90_000_000  # while the machine is held up for a moment
_STALL_NS = 200_000_000  # such a moment, with the time to make up for it
_REST_NS = 2_000_000_000  # before another one is believed


class Slot:
    """Holds the newest frames.

    In real time the newest counts. Yet a moment in which the machine was busy with something else should cost no
    frame: up to three wait, and are taken in order, as long as the oldest of them has waited no more than 25 ms, and
    90 ms where that was not exceeded for two seconds. An engine that is slower than the source exceeds it with every
    frame, and then sees the newest one alone. What is passed over is handed over together with the frame that is taken.

    Parameters
    ----------
    clock : for the wait
    lossless : ``put`` waits until there is room instead of passing frames over
    """

    def __init__(self, clock: Clock, *, lossless: bool) -> None:
        self._clock = clock
        self._lossless = lossless
        self._frames: deque[tuple[int, Frame]] = deque()
        self._overwritten: list[Frame] = []
        self._closed = False
        self._woken = False
        self._stalled_ns: int | None = None  # when the last moment began in which frames had to wait
        self._changed = threading.Condition()

    def put(self, frame: Frame) -> None:
        """Offer a frame; after ``close`` it waits for nobody."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: len(self._frames) < _DEPTH or self._closed)
            self._frames.append((self._clock.now_ns(), frame))
            if not self._lossless and len(self._frames) > _DEPTH:
                self._overwritten.append(self._frames.popleft()[1])
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
                now_ns = self._clock.now_ns()
                oldest_ns = now_ns - self._patience_ns(now_ns)
                while len(self._frames) > 1 and self._frames[0][0] < oldest_ns:
                    overwritten.append(self._frames.popleft()[1])
            frame = self._frames.popleft()[1]
            self._changed.notify_all()
            return frame, overwritten, True

    def _patience_ns(self, now_ns: int) -> int:
        """How long the oldest frame may have waited."""
        if len(self._frames) < 2 or now_ns - self._frames[0][0] <= _PATIENCE_NS:
            return _PATIENCE_NS
        if self._stalled_ns is None or now_ns - self._stalled_ns > _REST_NS:
            self._stalled_ns = now_ns
        is_new = now_ns - self._stalled_ns <= _STALL_NS
        if not is_new:
            self._stalled_ns = now_ns - _STALL_NS - 1  # it goes on: this is no moment
        return _STALL_PATIENCE_NS if is_new else _PATIENCE_NS

    def wake(self) -> None:
        """End the wait in :meth:`take`: there is something else to do."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def rest(self) -> list[Frame]:
        """Everything that nobody has taken, oldest first."""
        with self._changed:
            frames = [*self._overwritten, *(frame for _, frame in self._frames)]
            self._overwritten, self._frames = [], deque()
            return frames

    def close(self) -> None:
        """No more frames will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
