"""Decoding on the graphics processor, where there is one. That there is none is no error."""

from __future__ import annotations

import logging
from functools import cache

from usassist.common.pyav import av

__all__ = ["hardware_decoder"]

_log = logging.getLogger(__name__)

_KINDS = ("cuda", "vaapi", "videotoolbox", "d3d11va")  # best first


def hardware_decoder() -> av.codec.hwaccel.HWAccel | None:
    """What to give to ``av.open`` as ``hwaccel``; None where this machine decodes on the processor.

    A codec that the device cannot decode is decoded on the processor all the same.
    """
    kind = _working_kind()
    return None if kind is None else av.codec.hwaccel.HWAccel(kind, allow_software_fallback=True)


@cache
def _working_kind() -> str | None:
    """The first kind of device that can be opened. PyAV raises when the device is missing, so it is tried here once."""
    for kind in _KINDS:
        if kind not in av.codec.hwaccel.hwdevices_available():
            continue
        try:
            av.codec.hwaccel.HWAccel(kind).create(av.Codec("h264", "r"))
        except (av.error.FFmpegError, NotImplementedError, RuntimeError, ValueError) as error:
            _log.info("no decoding on %s here: %s", kind, getattr(error, "strerror", None) or error)
            continue
        return kind
    return None
