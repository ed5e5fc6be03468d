"""Size of the desktop, asked of the X server, because OpenCV does not give it."""

from __future__ import annotations

import ctypes
import ctypes.util

__all__ = ["desktop_hw_px"]


def desktop_hw_px() -> tuple[int, int] | None:
    """Height and width of the desktop, px; None where there is no X server to ask."""
    name = ctypes.util.find_library("X11")
    if name is None:
        return None
    x11 = ctypes.CDLL(name)
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XOpenDisplay.argtypes = [ctypes.c_char_p]
    for function in (x11.XDisplayWidth, x11.XDisplayHeight):
        function.argtypes = [ctypes.c_void_p, ctypes.c_int]
    x11.XDefaultScreen.argtypes = x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    display = x11.XOpenDisplay(None)  # that DISPLAY names; none where it names none
    if not display:
        return None
    try:
        screen = x11.XDefaultScreen(display)
        return int(x11.XDisplayHeight(display, screen)), int(x11.XDisplayWidth(display, screen))
    finally:
        x11.XCloseDisplay(display)
