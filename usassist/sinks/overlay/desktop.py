"""Size of the desktop and what is on it, asked of the X server, because OpenCV does not give them."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["desktop_hw_px", "display_opens", "pixel_rgb", "work_area_xywh_px"]

_CARDINAL = 6  # the atom of this type of a property
_Z_PIXMAP = 2  # of X.h
_TRUE_COLOR_BITS = 24


def desktop_hw_px() -> tuple[int, int] | None:
    """Height and width of the desktop, px; None where there is no X server to ask."""
    with _opened() as (x11, display):
        if x11 is None or display is None:
            return None
        screen = x11.XDefaultScreen(display)
        return int(x11.XDisplayHeight(display, screen)), int(x11.XDisplayWidth(display, screen))


def work_area_xywh_px() -> tuple[int, int, int, int] | None:
    """What panels of the desktop leave free: x, y, width, height, px; None without a window manager that tells it."""
    with _opened() as (x11, display):
        if x11 is None or display is None:
            return None
        atom = x11.XInternAtom(display, b"_NET_WORKAREA", 1)
        kind, width, count, left = ctypes.c_ulong(), ctypes.c_int(), ctypes.c_ulong(), ctypes.c_ulong()
        values = ctypes.POINTER(ctypes.c_long)()
        if not atom or x11.XGetWindowProperty(
            display,
            x11.XDefaultRootWindow(display),
            atom,
            0,
            4,
            0,
            _CARDINAL,
            *map(ctypes.byref, (kind, width, count, left, values)),
        ):
            return None
        try:
            x, y, area_w, area_h = values[:4] if count.value >= 4 and width.value == 32 else (0, 0, 0, 0)
        finally:
            if values:
                x11.XFree(values)
        return (x, y, area_w, area_h) if area_w > 0 and area_h > 0 else None


def pixel_rgb(x: int, y: int) -> tuple[int, int, int] | None:
    """Colour of a pixel of the desktop as it is on the screen, 0 to 255 each; None where that cannot be asked.

    Parameters
    ----------
    x, y : px of the desktop
    """
    with _opened() as (x11, display):
        if x11 is None or display is None:
            return None
        screen = x11.XDefaultScreen(display)
        width, height = x11.XDisplayWidth(display, screen), x11.XDisplayHeight(display, screen)
        if not (0 <= x < width and 0 <= y < height) or x11.XDefaultDepth(display, screen) != _TRUE_COLOR_BITS:
            return None
        every_plane = ctypes.c_ulong(-1).value
        image = x11.XGetImage(display, x11.XDefaultRootWindow(display), x, y, 1, 1, every_plane, _Z_PIXMAP)
        if not image:
            return None
        pixel = x11.XGetPixel(image, 0, 0)
        x11.XDestroyImage(image)
        return pixel >> 16 & 255, pixel >> 8 & 255, pixel & 255


def display_opens() -> bool:
    """False where the display that ``DISPLAY`` names cannot be opened; True also where that cannot be asked."""
    with _opened() as (x11, display):
        return x11 is None or display is not None or not x11.XDisplayName(None)  # names none: Wayland


@contextmanager
def _opened() -> Iterator[tuple[ctypes.CDLL | None, int | None]]:
    """Xlib and the display that ``DISPLAY`` names, each None where there is none."""
    name = ctypes.util.find_library("X11")
    x11 = None if name is None else _declared(ctypes.CDLL(name))
    display = None if x11 is None else x11.XOpenDisplay(None)
    try:
        yield x11, display
    finally:
        if x11 is not None and display is not None:
            x11.XCloseDisplay(display)


def _declared(x11: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number, word = ctypes.c_void_p, ctypes.c_int, ctypes.c_ulong
    functions: tuple[tuple[Any, Any, list[Any]], ...] = (
        (x11.XOpenDisplay, pointer, [ctypes.c_char_p]),
        (x11.XDisplayName, ctypes.c_char_p, [ctypes.c_char_p]),
        (x11.XCloseDisplay, number, [pointer]),
        (x11.XDefaultScreen, number, [pointer]),
        (x11.XDefaultRootWindow, word, [pointer]),
        (x11.XDisplayWidth, number, [pointer, number]),
        (x11.XDisplayHeight, number, [pointer, number]),
        (x11.XInternAtom, word, [pointer, ctypes.c_char_p, number]),
        (x11.XFree, number, [pointer]),
        (x11.XDefaultDepth, number, [pointer, number]),
        (x11.XGetImage, pointer, [pointer, word, number, number, ctypes.c_uint, ctypes.c_uint, word, number]),
        (x11.XGetPixel, word, [pointer, number, number]),
        (x11.XDestroyImage, number, [pointer]),
    )
    for function, result, arguments in functions:
        function.restype, function.argtypes = result, arguments
    x11.XGetWindowProperty.argtypes = [pointer, word, word, ctypes.c_long, ctypes.c_long, number, word, *[pointer] * 5]
    return x11
