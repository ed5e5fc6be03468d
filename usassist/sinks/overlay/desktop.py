"""Size of the desktop, asked of the X server, because OpenCV does not give it."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["desktop_hw_px", "display_opens", "work_area_xywh_px"]

_CARDINAL = 6  # the atom of this type of a property


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
    )
    for function, result, arguments in functions:
        function.restype, function.argtypes = result, arguments
    x11.XGetWindowProperty.argtypes = [pointer, word, word, ctypes.c_long, ctypes.c_long, number, word, *[pointer] * 5]
    return x11
