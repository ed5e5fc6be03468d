"""The overlay window: the newest frame with its own result, on this machine's screen."""

from __future__ import annotations

import threading

import cv2
import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, Inbox, Message, SessionBody, Subscriber, frame_from, result_from
from usassist.common.clock import Clock, MonotonicClock
from usassist.common.heartbeat import Heartbeat
from usassist.config import has_display
from usassist.errors import UsageError
from usassist.records import Frame, Result
from usassist.sinks.frame_result_join import NewestFrameJoin
from usassist.sinks.overlay.draw import Painter
from usassist.sinks.overlay.health import OverlayHealth
from usassist.sinks.view import view_of_frame, view_of_silence

__all__ = ["OverlayScreen", "run_window"]

UInt8Array = npt.NDArray[np.uint8]

_TITLE = "usassist"
_POLL_MS = 8
_KEYS_TO_CLOSE = (27, ord("q"))


class OverlayScreen:
    """The content of the window without the window: messages in, canvases out.

    Parameters
    ----------
    clock : the clock of the stream's time stamps
    inbox : receives this overlay's health messages; None = none are sent
    """

    def __init__(self, clock: Clock, inbox: Inbox | None = None) -> None:
        self._clock = clock
        self._health = OverlayHealth(clock, inbox)
        self._fresh = False
        self._skipped = 0
        self._painter = Painter()
        self._join = NewestFrameJoin(clock)
        self._engine: EngineBody | None = None
        self._session: SessionBody | None = None
        self._shown: tuple[Frame | None, Result | None] = (None, None)
        self._last_frame_ns: int | None = None
        self._silence_shown = ""

    def take(self, message: Message) -> None:
        """Take one message."""
        body = message.body
        if message.topic.name == "frame":
            self._join.add_frame(frame_from(message))
            self._health.arrived(body.frame_id)
            self._last_frame_ns = self._clock.now_ns()
        elif message.topic.name == "result":
            self._join.add_result(result_from(message))
            self._health.arrived(body.frame_id)
        elif isinstance(body, EngineBody):
            self._engine = body
        elif isinstance(body, SessionBody):
            self._session = body

    def render(self) -> UInt8Array | None:
        """The canvas to show now, uint8 (H, W, 3) RGB, or None when nothing has changed."""
        now_ns = self._clock.now_ns()
        joined = self._join.take()
        if joined is not None:
            before = self._shown[0]
            if before is not None and before.session_id == joined.frame.session_id:
                self._skipped += max(0, joined.frame.frame_id - before.frame_id - 1)
            self._shown, self._fresh = (joined.frame, joined.result), True
            self._silence_shown = ""
            view = view_of_frame(joined.result, self._engine, self._session, now_ns, joined.frame.picture)
            return self._painter.paint(joined.frame, joined.result, view, self._engine)
        silent_ms = None if self._last_frame_ns is None else (now_ns - self._last_frame_ns) / 1e6
        silence = view_of_silence(self._session, silent_ms)
        if silence is None or silence.detail == self._silence_shown:
            return None
        self._silence_shown = silence.detail
        frame, result = self._shown
        return self._painter.paint(frame, result, silence, self._engine)

    def drawn(self) -> None:
        """The canvas that :meth:`render` returned last is on the screen."""
        frame, result = self._shown
        if self._fresh and frame is not None:
            answered = result is not None and result.state.is_answer
            self._health.drawn(frame.frame_id, has_result=result is not None, answered=answered)
        self._fresh = False

    def publish_health(self) -> None:
        """Send a health message, at most one a second."""
        self._health.publish(self._skipped)


def run_window(address: str, stop: threading.Event, heartbeat: Heartbeat | None = None) -> None:
    """Show the overlay until `stop`, until Esc or q is pressed, or until the window is closed.

    Parameters
    ----------
    address : of the stream's bus
    stop : set it to end
    heartbeat : beats with every iteration of the loop

    Raises
    ------
    UsageError
        If this machine has no display.
    """
    if not has_display():
        raise UsageError("this machine has no display for a window; use --overlay-video, or the panel in a browser")
    clock = MonotonicClock()
    cv2.setNumThreads(1)  # at this image size a second thread costs more than it saves, and the engine needs the core
    bgr: UInt8Array = np.empty((0, 0, 3), np.uint8)
    topics = ("frame", "result", "engine", "session")
    with Subscriber(address, topics) as subscriber, Inbox(address) as inbox:
        subscriber.heartbeat = heartbeat or subscriber.heartbeat
        screen = OverlayScreen(clock, inbox)
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        opened = False
        try:
            while not stop.is_set():
                for message in subscriber.events(_POLL_MS):
                    screen.take(message)
                canvas = screen.render()
                if canvas is not None:
                    if bgr.shape != canvas.shape:
                        bgr = np.empty_like(canvas)
                    cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR, dst=bgr)
                    if not opened:
                        cv2.resizeWindow(_TITLE, bgr.shape[1], bgr.shape[0])
                        opened = True
                    cv2.imshow(_TITLE, bgr)
                key = cv2.waitKey(1)  # also paints the window
                if canvas is not None:
                    screen.drawn()
                screen.publish_health()
                if key & 0xFF in _KEYS_TO_CLOSE or cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1:
                    return
        finally:
            cv2.destroyAllWindows()
