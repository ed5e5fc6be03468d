"""Joins each frame with its own result, in whatever order they arrive.

A result is never shown on another frame than its own. There is one join for each kind of reader: a viewer takes the
newest frame and waits a short time for its result; an archive takes every frame, in order.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from usassist.common.clock import Clock
from usassist.records import Cause, Frame, Result

__all__ = ["EveryFrameJoin", "FrameWithResult", "NewestFrameJoin"]

_RESULTS_KEPT = 256
_CALM_NS = 150_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FrameWithResult:
    """A frame and its own result, or None when that did not come in time."""

    frame: Frame
    result: Result | None


class NewestFrameJoin:
    """For viewers: the newest frame, with its own result, or without one after a timeout.

    A dropped frame (the engine was busy) is skipped while the engine's verdicts keep coming: an engine slower than the
    source leaves such gaps by design, and showing them would make the outline flicker between two true states. Without
    a verdict for 150 ms they are shown without a result.

    Parameters
    ----------
    clock : for the timeout
    hold_ms : how long a frame waits for its result
    """

    def __init__(self, clock: Clock, hold_ms: float = 100.0) -> None:
        self._clock = clock
        self._hold_ns = int(hold_ms * 1e6)
        self._held: Frame | None = None
        self._held_since_ns = 0
        self._newest: Frame | None = None
        self._results: dict[int, Result] = {}
        self._session_id = ""
        self._answered_ns: int | None = None

    def add_frame(self, frame: Frame) -> None:
        """A frame has arrived; it is shown next unless another still waits for its result."""
        self._enter_session(frame.session_id)
        self._newest = frame
        if self._held is None:
            self._hold(frame)

    def add_result(self, result: Result) -> None:
        """A result has arrived."""
        self._enter_session(result.session_id)
        self._results[result.frame_id] = result
        while len(self._results) > _RESULTS_KEPT:
            del self._results[next(iter(self._results))]

    def take(self) -> FrameWithResult | None:
        """The frame to show now, each at most once; None when there is nothing new to show."""
        if self._newest is not None and self._newest is not self._held and self._newest.frame_id in self._results:
            self._hold(self._newest)
        frame = self._held
        if frame is None:
            return None
        result = self._results.get(frame.frame_id)
        if result is None and self._clock.now_ns() - self._held_since_ns < self._hold_ns:
            return None
        newest, self._newest, self._held = self._newest, None, None
        if newest is not None and newest is not frame:
            self._newest = newest
            self._hold(newest)
        now_ns = self._clock.now_ns()
        if result is not None and result.is_verdict:
            self._answered_ns = now_ns
        calm = self._answered_ns is not None and now_ns - self._answered_ns < _CALM_NS
        if calm and result is not None and result.cause is Cause.DROPPED:
            return None
        return FrameWithResult(frame=frame, result=result)

    def _hold(self, frame: Frame) -> None:
        self._held = frame
        self._held_since_ns = self._clock.now_ns()

    def _enter_session(self, session_id: str) -> None:
        if session_id != self._session_id:
            self._session_id = session_id
            self._held = self._newest = self._answered_ns = None
            self._results.clear()


class EveryFrameJoin:
    """For archives: every frame in order, each as soon as its own result has arrived."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque()
        self._results: dict[int, Result] = {}

    def add_frame(self, frame: Frame) -> None:
        """A frame has arrived."""
        self._frames.append(frame)

    def add_result(self, result: Result) -> None:
        """A result has arrived."""
        self._results[result.frame_id] = result

    def take(self) -> FrameWithResult | None:
        """The next frame in order, or None while its result has not arrived.

        A frame whose result was lost is returned without one as soon as a later result has arrived.
        """
        if not self._frames:
            return None
        frame = self._frames[0]
        result = self._results.pop(frame.frame_id, None)
        if result is None and not any(frame_id > frame.frame_id for frame_id in self._results):
            return None
        self._frames.popleft()
        return FrameWithResult(frame=frame, result=result)

    def rest(self) -> FrameWithResult | None:
        """After the end of the stream: the next frame with its result or without."""
        if not self._frames:
            return None
        frame = self._frames.popleft()
        return FrameWithResult(frame=frame, result=self._results.pop(frame.frame_id, None))
