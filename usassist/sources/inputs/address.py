"""Open a live input by its address: a device, a network stream, a program or FIFO, a part of the screen."""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from usassist.config import resource_dir
from usassist.errors import UsageError
from usassist.sources.grab import Grabber

__all__ = ["LIVE_SCHEMES", "GrabOptions", "as_live_source", "is_live", "loop_clip", "open_grabber"]

# One line per scheme. Each module has open_grabber(address, options) -> Grabber and is imported on first use, in the
# capture process.
_MODULES = {
    "loop": "usassist.sources.inputs.loop",
    "openigtlink": "usassist.sources.inputs.openigtlink",
    "pipe": "usassist.sources.inputs.pipe",
    "rtsp": "usassist.sources.inputs.network",
    "screen": "usassist.sources.inputs.screen",
    "srt": "usassist.sources.inputs.network",
    "tcp": "usassist.sources.inputs.network",
    "udp": "usassist.sources.inputs.network",
    "v4l2": "usassist.sources.inputs.v4l2",
}
LIVE_SCHEMES = tuple(_MODULES)
_SCHEME = re.compile(r"([a-z][a-z0-9]*):.*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class GrabOptions:
    """How a live input is opened.

    Attributes
    ----------
    open_timeout_s : timeout for a peer and its first data. FFmpeg applies it once to the connection and once more to
        the data, so a silent peer is given up after twice this time
    read_timeout_s : how long an open stream may be silent before ``grabs`` raises; ``close`` from another thread takes
        effect within this time
    hw : ``auto`` decodes on the GPU where there is one, ``none`` never does
    deinterlace : deinterlace what devices, networks and programs deliver
    """

    open_timeout_s: float = 5.0
    read_timeout_s: float = 1.0
    hw: Literal["auto", "none"] = "auto"
    deinterlace: bool = False


def is_live(address: str) -> bool:
    """True for an address that :func:`open_grabber` opens."""
    match = _SCHEME.fullmatch(address)
    return match is not None and match[1] in _MODULES


def as_live_source(text: str) -> str:
    """The address that somebody means who names a device as other programs do: ``/dev/video0`` is ``v4l2:/dev/video0``.

    Raises
    ------
    UsageError
        If it is a number or the bare name of a device.
    """
    if text.startswith(("/dev/video", "/dev/v4l/")):
        return f"v4l2:{text}"
    if re.fullmatch(r"(video)?\d+", text):
        number = text.removeprefix("video")
        raise UsageError(f"{text} is no source; write --source /dev/video{number}, see usassist sources list")
    return text


def open_grabber(address: str, options: GrabOptions | None = None) -> Grabber:
    """Open a live input.

    Parameters
    ----------
    address : ``v4l2:/dev/video0`` (with ``,size=1920x1080,rate=60,format=mjpeg``), ``rtsp://…``, ``udp://HOST:PORT``,
        ``tcp://HOST:PORT``, ``srt://HOST:PORT``, ``openigtlink://HOST:PORT``, ``pipe:COMMAND``, ``pipe:/path/of/fifo``,
        ``screen:X,Y,W,H``, or ``loop:CLIP`` for measuring; see docs/sources.md
    options : timeouts and decoding

    Returns
    -------
    grabber : open; its first screen may still be to come

    Raises
    ------
    UsageError
        If the address is malformed.
    SourceError
        If the input is not there, may not be used, is silent, or sends no video.
    """
    if not is_live(address):
        known = ", ".join(f"{scheme}:" for scheme in _MODULES)
        raise UsageError(f"this is not the address of a live input; write one that begins with {known}")
    module = importlib.import_module(_MODULES[address.partition(":")[0]])
    grabber: Grabber = module.open_grabber(address, GrabOptions() if options is None else options)
    return grabber


def loop_clip(address: str) -> Path:
    """The clip that ``loop:CLIP?…`` plays."""
    clip = address.partition(":")[2].partition("?")[0]
    return resource_dir("demo") / "clip.mkv" if clip in ("", "demo") else Path(clip).expanduser()
