"""A part of the screen under X11: for scanners whose software runs on this machine, and for tests."""

from __future__ import annotations

import re
import sys

from usassist.common.pyav import av
from usassist.config import has_display
from usassist.errors import SourceError, UsageError
from usassist.sources.address import parse_settings
from usassist.sources.inputs import screen_program
from usassist.sources.inputs.address import GrabOptions
from usassist.sources.inputs.pipe import open_program
from usassist.sources.inputs.stream import StreamGrabber

__all__ = ["open_grabber"]

_REMEDY = "write screen:X,Y,W,H, such as screen:0,0,1280,720,rate=30"
_KNOWN = {"rate": "30", "display": ":0"}
_DISPLAY = re.compile(r"[A-Za-z0-9_.-]*:\d+(\.\d+)?")
_MAX_RATE_HZ = 240


def open_grabber(address: str, options: GrabOptions) -> StreamGrabber:
    """Open ``screen:X,Y,W,H``, optionally with ``,rate=30`` and ``,display=:0``.

    Raises
    ------
    UsageError
        If the address is malformed.
    SourceError
        If there is no X11 display, or the part does not lie on it.
    """
    left, top, width, height, settings = _parse(address.partition(":")[2])
    rate = settings.get("rate", _KNOWN["rate"])
    if not rate.isdigit() or not 1 <= int(rate) <= _MAX_RATE_HZ:
        raise UsageError(f"screen: rate={rate} is not between 1 and {_MAX_RATE_HZ}; {_REMEDY}")
    display = settings.get("display", "")
    if display and not _DISPLAY.fullmatch(display):
        raise UsageError(f"screen: display={display} is not an X11 display; write display=:0")
    if "x11grab" not in av.formats_available:
        raise SourceError("screen: this build of PyAV cannot read the screen; use a program that does with pipe:")
    if not display and not has_display():
        raise SourceError("screen: there is no X11 display here; set DISPLAY, or add display=:0")
    try:
        return open_program(
            [sys.executable, screen_program.__file__, display, *map(str, (left, top, width, height)), rate],
            options,
            scheme="screen",
            mode=f"{width} x {height} px, {rate} Hz",
            rate_hz=float(rate),
        )
    except SourceError as error:
        cause = str(error).partition(": ")[2].split(";")[0]
        raise SourceError(
            f"screen: {width} x {height} px at {left}, {top} cannot be read ({cause}); check that an X11 display runs, "
            "that this user has access to it, and that the area lies on it"
        ) from None


def _parse(rest: str) -> tuple[int, int, int, int, dict[str, str]]:
    pieces = rest.split(",", 4)
    try:
        left, top, width, height = (int(piece) for piece in pieces[:4])
    except ValueError:
        raise UsageError(f"screen: four whole numbers are needed; {_REMEDY}") from None
    if left < 0 or top < 0 or width < 1 or height < 1:
        raise UsageError(f"screen: {rest!r} is not an area of a screen; {_REMEDY}")
    return left, top, width, height, parse_settings(pieces[4] if len(pieces) > 4 else "", _KNOWN, source="screen")
