"""The overlay window: the newest frame with its own result, on this machine's screen."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.bus import Inbox, Subscriber
from usassist.common.clock import MonotonicClock
from usassist.common.heartbeat import Heartbeat
from usassist.config import OverlayConfig, has_display
from usassist.errors import UsageError
from usassist.records import Frame
from usassist.sinks.overlay.desktop import desktop_hw_px, display_opens, pixel_rgb, work_area_xywh_px
from usassist.sinks.overlay.keys import Action, action_of
from usassist.sinks.overlay.nodules import Look
from usassist.sinks.overlay.screen import TOPICS_SHOWN, OverlayScreen
from usassist.sinks.overlay.snapshot import save_snapshot
from usassist.words import load_words

__all__ = ["require_display", "run_window"]

logger = logging.getLogger(__name__)

UInt8Array = npt.NDArray[np.uint8]

_TITLE = "usassist"
_POLL_MS = 8
_KEYS_EVERY_S = 0.02
_CHECK_EVERY_S = 0.25
_PAINTED_WITHIN_S = 1.0
_MAX_OPENINGS = 5
_DEFAULT_HW_PX = (1080, 1920)
_TITLE_BAR_PX = 40  # of a window manager, and more than that of most
_ESCAPE = 27


class _Window:
    """A window of OpenCV, whose canvas always has the size of its drawable area: nothing is stretched.

    Parameters
    ----------
    is_full : it begins without a frame, over the whole desktop
    """

    def __init__(self, *, is_full: bool) -> None:
        self._desktop_hw_px = desktop_hw_px() or _DEFAULT_HW_PX
        self._is_full = is_full
        self._bgr: UInt8Array = np.empty((0, 0, 3), np.uint8)
        self._openings = 0
        self._is_painted = False
        self._opened_s = self._check_s = 0.0
        self._open()

    @property
    def is_full(self) -> bool:
        """It fills the desktop."""
        return self._is_full

    @property
    def is_open(self) -> bool:
        """False once the user has closed it."""
        try:
            return cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # so Qt's last window, once it is closed
            return False

    def size_hw_px(self) -> tuple[int, int]:
        """Height and width of the drawable area, px."""
        _, _, width, height = cv2.getWindowImageRect(_TITLE)
        return (height, width) if width > 1 and height > 1 else self._desktop_hw_px

    def toggle_full(self) -> None:
        """Fill the desktop, or do not any more."""
        self._is_full = not self._is_full
        self._place()

    def show(self, canvas: UInt8Array) -> None:
        """Show a canvas, uint8 (H, W, 3) RGB; painted by the next :meth:`read_key`."""
        if self._bgr.shape != canvas.shape:
            self._bgr = np.empty_like(canvas)
        cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR, dst=self._bgr)
        cv2.imshow(_TITLE, self._bgr)

    def read_key(self) -> int:
        """The key that was pressed, -1 = none; also lets the window paint. OpenCV sleeps for 2 ms in it."""
        return cv2.waitKey(1)

    def check_painted(self, canvas: UInt8Array) -> None:
        """Open the window again where what was shown is not on the screen; to be called after :meth:`read_key`.

        Without a window manager, on a busy machine, Qt misses in some 3 % of the openings that its window is there, and
        paints nothing in it for as long as it is open. With one the screen need not hold what a window shows.

        Parameters
        ----------
        canvas : that was shown last
        """
        if self._is_painted or (now_s := time.monotonic()) < self._check_s:
            return
        self._check_s = now_s + _CHECK_EVERY_S
        x, y, width, height = cv2.getWindowImageRect(_TITLE)
        found = None if work_area_xywh_px() else pixel_rgb(x + width - 1, y + height - 1)
        self._is_painted = found is None or found == tuple(canvas[-1, -1].tolist()) or self._openings >= _MAX_OPENINGS
        if not self._is_painted and now_s - self._opened_s > _PAINTED_WITHIN_S:
            logger.info("the window stays empty; it is opened again")
            cv2.destroyWindow(_TITLE)
            self._open()

    def _open(self) -> None:
        self._openings += 1
        self._is_painted = False
        self._opened_s = self._check_s = time.monotonic()
        cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_FREERATIO | cv2.WINDOW_GUI_NORMAL)
        self._place()

    def _place(self) -> None:
        """As large as the screen allows: all of it, or what panels and a title bar leave where windows are managed."""
        height, width = self._desktop_hw_px
        x = y = 0
        mode = cv2.WINDOW_FULLSCREEN if self._is_full else cv2.WINDOW_NORMAL
        cv2.setWindowProperty(_TITLE, cv2.WND_PROP_FULLSCREEN, mode)
        if not self._is_full and (area := work_area_xywh_px()) is not None:
            x, y, width, height = area
            height -= _TITLE_BAR_PX
        cv2.resizeWindow(_TITLE, width, height)  # of itself where no window manager makes it full
        cv2.moveWindow(_TITLE, x, y)


def run_window(
    address: str,
    stop: threading.Event,
    heartbeat: Heartbeat | None = None,
    *,
    settings: OverlayConfig,
    on_open: Callable[[], None] = lambda: None,
    on_shown: Callable[[Frame], None] = lambda frame: None,
) -> None:
    """Show the overlay until `stop`, until q is pressed, or until the window is closed.

    Parameters
    ----------
    address : of the stream's bus
    stop : set it to end
    heartbeat : beats with every iteration of the loop
    settings : of the window
    on_open : called when the window is there
    on_shown : called with every frame when it is on the screen; for measuring

    Raises
    ------
    UsageError
        If this machine has no display, or none that can be opened.
    """
    require_display()
    words = load_words(settings.language, "window")
    folder = Path(settings.snapshots)
    cv2.setNumThreads(1)  # at this image size a second thread costs more than it saves, and the engine needs the core
    with Subscriber(address, TOPICS_SHOWN) as subscriber, Inbox(address) as inbox:
        subscriber.heartbeat = heartbeat or subscriber.heartbeat
        look = Look(calipers=settings.calipers, line_px=settings.line_px)
        screen = OverlayScreen(MonotonicClock(), inbox, words, look)
        window = _Window(is_full=settings.full_screen)
        on_open()
        shown: Frame | None = None
        keys_due_s = 0.0
        try:
            while not stop.is_set() and window.is_open:
                for message in subscriber.events(_POLL_MS):
                    screen.take(message)
                canvas = screen.render(window.size_hw_px())
                if canvas is not None:
                    window.show(canvas)
                elif time.monotonic() < keys_due_s:
                    continue  # most often a frame without its result, which comes in a few milliseconds
                code = window.read_key()
                keys_due_s = time.monotonic() + _KEYS_EVERY_S
                if canvas is not None:
                    window.check_painted(canvas)
                    screen.drawn()
                    if screen.shown is not None and screen.shown is not shown:
                        shown = screen.shown
                        on_shown(shown)
                screen.publish_health()
                action = action_of(code)
                if action is Action.FULL_SCREEN or (code & 0xFF == _ESCAPE and window.is_full):
                    window.toggle_full()
                elif action is Action.CLOSE:
                    return
                elif action is not None:
                    screen.act(
                        action, lambda shot: save_snapshot(shot.canvas, folder / f"{shot.name}.png", shot.texts, words)
                    )
        finally:
            cv2.destroyAllWindows()


def require_display() -> None:
    """Check that a window can be shown; OpenCV would end the process.

    Raises
    ------
    UsageError
        If it cannot.
    """
    where = "use --overlay-video, or the page in a browser"
    if not has_display():
        raise UsageError(f"this machine has no display for a window; {where}")
    if not display_opens():
        raise UsageError(f"the display that DISPLAY names cannot be opened; correct DISPLAY, or {where}")
