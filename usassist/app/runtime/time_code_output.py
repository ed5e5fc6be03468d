"""Codes that say when they were drawn: in a window, or as a stream of pictures."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import cv2

from usassist.common.clock import Clock
from usassist.frames.time_code import draw_code

__all__ = ["show_codes", "write_code_stream"]

_TITLE = "usassist time code"


def show_codes(
    ended: threading.Event, rate_hz: float, at_xy_px: tuple[int, int] | None, size_hw_px: tuple[int, int]
) -> None:
    """Show codes in a window until `ended`, in the main thread.

    Parameters
    ----------
    ended : set it to close the window
    rate_hz : of the codes
    at_xy_px : where the window is placed, and fills that screen; None = an ordinary window
    size_hw_px : of the picture
    """
    cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
    cv2.resizeWindow(_TITLE, size_hw_px[1], size_hw_px[0])
    if at_xy_px is not None:
        cv2.moveWindow(_TITLE, *at_xy_px)
        cv2.setWindowProperty(_TITLE, cv2.WND_PROP_FULLSCREEN, cv2.WINDOW_FULLSCREEN)
    period_s, due_s = 1.0 / rate_hz, time.monotonic()
    try:
        while not ended.is_set():
            cv2.imshow(_TITLE, draw_code(time.monotonic_ns() // 1_000_000, size_hw_px))
            cv2.waitKey(1)  # paints the window
            due_s = max(due_s + period_s, time.monotonic())
            ended.wait(max(0.0, due_s - time.monotonic()))
    finally:
        cv2.destroyAllWindows()


def write_code_stream(
    write: Callable[[bytes], object],
    *,
    rate_hz: int,
    hw_px: tuple[int, int],
    delay_ms: int,
    count: int | None,
    clock: Clock,
) -> None:
    """Write codes as YUV4MPEG video, in real time.

    Parameters
    ----------
    write : takes the bytes
    rate_hz, hw_px : of the pictures
    delay_ms : each code says that it was drawn so long ago: a path of known delay, for tests
    count : of pictures; None = without end
    clock : that the codes state
    """
    height, width = hw_px
    write(f"YUV4MPEG2 W{width} H{height} F{rate_hz}:1 Ip A1:1 Cmono\n".encode("ascii"))
    start_ns, number = clock.now_ns(), 0
    while count is None or number < count:
        clock.sleep_until(start_ns + number * 1_000_000_000 // rate_hz)
        write(b"FRAME\n" + draw_code(clock.now_ns() // 1_000_000 - delay_ms, hw_px).tobytes())
        number += 1
