"""Size of the desktop, asked of the X server, because OpenCV does not give it."""

from __future__ import annotations

import ctypes
import ctypes.util

__all__ = ["desktop_hw_px", "display_opens"]


def desktop_hw_px() -> tuple[int, int] | None:
    """Height and width of the desktop, px; None where there is no X server to ask."""
    x11 = _x11()
    display = None if x11 is None else x11.XOpenDisplay(None)  # that DISPLAY names; none where it names none
    if x11 is None or not display:
        return None
    try:
        screen = x11.XDefaultScreen(display)
        return int(x11.XDisplayHeight(display, screen)), int(x11.XDisplayWidth(display, screen))
    finally:
        x11.XCloseDisplay(display)


def display_opens() -> bool:
    """False where the display that ``DISPLAY`` names cannot be opened; True also where that cannot be asked."""
    x11 = _x11()
    if x11 is None or not x11.XDisplayName(None):  # names none: Wayland
        return True
    display = x11.XOpenDisplay(None)
    if display:
        x11.XCloseDisplay(display)
    return bool(display)


def _x11() -> ctypes.CDLL | None:
    name = ctypes.util.find_library("X11")
    if name is None:
        return None
    x11 = ctypes.CDLL(name)
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XOpenDisplay.argtypes = [ctypes.c_char_p]
    x11.XDisplayName.restype = ctypes.c_char_p
    x11.XDisplayName.argtypes = [ctypes.c_char_p]
    for function in (x11.XDisplayWidth, x11.XDisplayHeight):
        function.argtypes = [ctypes.c_void_p, ctypes.c_int]
    x11.XDefaultScreen.argtypes = x11.XCloseDisplay.argtypes = [ctypes.c_void_p]
    return x11
