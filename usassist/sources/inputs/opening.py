"""Open a live input with FFmpeg: low latency, timeouts, GPU decoding, and every failure as one line with a remedy."""

from __future__ import annotations

import errno
import logging
import time
from functools import cache
from typing import Any

from usassist.common.pyav import av
from usassist.errors import SourceError
from usassist.sources.inputs.address import GrabOptions
from usassist.sources.inputs.stream import describe_error

__all__ = ["STREAM_FORMATS", "open_container"]

_log = logging.getLogger(__name__)

STREAM_FORMATS = "nut,mpegts,matroska,webm,yuv4mpegpipe"  # a disguised playlist must not make FFmpeg open others
_LOW_LATENCY = {
    "fflags": "nobuffer",
    "flags": "low_delay",
    "probesize": "200000",  # bytes
    "analyzeduration": "200000",  # us
}
_SILENT = "no data arrived in time; check that the sender runs, its address, and the firewall"
_HW_DEVICES = ("cuda", "vaapi", "videotoolbox", "d3d11va")  # best first
_TO_SEND = "NUT, MPEG-TS or Matroska"


def open_container(
    target: Any,
    *,
    scheme: str,
    options: GrabOptions,
    settings: dict[str, str],
    format_name: str | None = None,
    buffer_size: int = 32768,
    hw: bool = True,
) -> av.container.InputContainer:
    """Open an address, a device or a file object.

    Parameters
    ----------
    target : for FFmpeg; never shown
    scheme : the kind of input, for messages
    options : timeouts and decoding
    settings : FFmpeg options, in addition to those for low latency
    format_name : demuxer or device; None = detected from the data
    buffer_size : bytes per read from a file object
    hw : GPU decoding makes sense for this input

    Raises
    ------
    SourceError
        If it cannot be opened.
    """
    started_s = time.monotonic()
    try:
        container: av.container.InputContainer = av.open(
            target,
            "r",
            format=format_name,
            options=_LOW_LATENCY | settings,
            buffer_size=buffer_size,
            timeout=(options.open_timeout_s, options.read_timeout_s),
            hwaccel=_hardware_decoder() if hw and options.hw == "auto" else None,
        )
        return container
    except SourceError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        if scheme == "rtsp" and time.monotonic() - started_s >= options.open_timeout_s:
            reason = _SILENT  # FFmpeg reports invalid data for a peer that never answers
        else:
            reason = _reason(error, scheme)
        # Without its cause, which holds the address and perhaps a password.
        raise SourceError(f"{scheme}: {reason}") from None


def _reason(error: Exception, scheme: str) -> str:
    """The problem, and what to do."""
    match error:
        case av.error.ExitError() | av.error.TimeoutError():
            return _SILENT
        case av.error.ConnectionRefusedError():
            return "the sender refuses the connection; check that it runs, and the port"
        case av.error.ProtocolNotFoundError() | av.error.DemuxerNotFoundError():
            return f"this build of PyAV cannot read {scheme}; send by rtsp, udp or tcp, or use a program with pipe:"
        case av.error.HTTPUnauthorizedError() | av.error.HTTPForbiddenError():
            return "the sender requires another user and password; write them before the host as USER:PASSWORD@"
        case av.error.HTTPNotFoundError():
            return "the sender has no stream of that name; check the path after the port"
        case av.error.InvalidDataError() | av.error.EOFError():
            return f"the data are no video that can be read; send {'H.264' if scheme == 'rtsp' else _TO_SEND}"
        case av.error.DecoderNotFoundError():
            return "this build of PyAV has no decoder for this codec; send H.264 or H.265"
    number = getattr(error, "errno", None)
    if number == errno.EBUSY:
        return "another program uses the device; end that program"
    if number == errno.EADDRINUSE:
        return "another program reads from this port; end it, or choose another port"
    return f"it cannot be opened: {describe_error(error)}; check the address"


def _hardware_decoder() -> av.codec.hwaccel.HWAccel | None:
    """The ``hwaccel`` argument for ``av.open``; None where this machine decodes on the CPU.

    A codec that the device cannot decode is decoded on the CPU.
    """
    kind = _working_device()
    return None if kind is None else av.codec.hwaccel.HWAccel(kind, allow_software_fallback=True)


@cache
def _working_device() -> str | None:
    """The first kind of device that can be opened. PyAV raises when it is missing, so it is tried here once."""
    for kind in _HW_DEVICES:
        if kind not in av.codec.hwaccel.hwdevices_available():
            continue
        try:
            av.codec.hwaccel.HWAccel(kind).create(av.Codec("h264", "r"))
        except (av.error.FFmpegError, NotImplementedError, RuntimeError, ValueError) as error:
            _log.info("no GPU decoding with %s: %s", kind, getattr(error, "strerror", None) or error)
            continue
        return kind
    return None
