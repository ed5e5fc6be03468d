"""Streams from the network: rtsp, udp, tcp and srt."""

from __future__ import annotations

import socket
from dataclasses import dataclass, replace
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from usassist.common.pyav import av
from usassist.errors import SourceError, UsageError
from usassist.sources.inputs.address import GrabOptions
from usassist.sources.inputs.opening import STREAM_FORMATS, open_container
from usassist.sources.inputs.stream import StreamGrabber

__all__ = ["has_protocol", "open_grabber"]

_EXAMPLES = {
    "rtsp": "rtsp://HOST/PATH, or rtsp://0.0.0.0:PORT/PATH?listen=1",
    "srt": "srt://HOST:PORT",
    "tcp": "tcp://HOST:PORT, or tcp://0.0.0.0:PORT?listen=1",
    "udp": "udp://0.0.0.0:PORT",
}
# Protocols that FFmpeg may open for each scheme, so that a stream cannot redirect it.
_PROTOCOLS = {"rtsp": "rtp,tcp,udp", "srt": "srt", "tcp": "tcp", "udp": "udp"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peer:
    """A parsed address."""

    scheme: str
    url: str
    host: str
    port: int | None
    listen: bool


def open_grabber(address: str, options: GrabOptions) -> StreamGrabber:
    """Open ``rtsp://``, ``udp://``, ``tcp://`` or ``srt://``.

    Parameters
    ----------
    address : with ``?listen=1`` (rtsp and tcp) the sender connects to usassist; ``?hw=none`` decodes on the CPU. Other
        parameters after the question mark are passed to FFmpeg
    options : timeouts and decoding

    Raises
    ------
    UsageError
        If the address is malformed.
    SourceError
        If there is no sender, or no video arrives.
    """
    peer, options = _parse(address, options)
    scheme = peer.scheme
    if scheme != "rtsp" and not has_protocol(scheme):
        raise SourceError(
            f"{scheme}: this build of PyAV lacks the protocol; send by rtsp, udp or tcp, or use a program with pipe:"
        )
    if not peer.listen and scheme != "udp":
        _check_host(peer)
    settings = {"protocol_whitelist": _PROTOCOLS[scheme]}
    if scheme == "rtsp":
        settings["rtsp_transport"] = "tcp"
        settings["allowed_media_types"] = "video"
        if peer.listen:
            settings["rtsp_flags"] = "listen"
            settings["listen_timeout"] = str(max(1, round(options.open_timeout_s)))  # s
    else:
        settings["format_whitelist"] = STREAM_FORMATS
        if scheme == "tcp" and peer.listen:
            settings["listen"] = "1"
            settings["listen_timeout"] = str(round(1000 * options.open_timeout_s))  # ms
        elif scheme == "udp":
            settings["overrun_nonfatal"] = "1"
    container = open_container(
        peer.url, scheme=scheme, options=options, settings=settings, format_name="rtsp" if scheme == "rtsp" else None
    )
    return StreamGrabber(container, scheme=scheme, deinterlace=options.deinterlace)


def has_protocol(scheme: str) -> bool:
    """True when this FFmpeg can read from such an address."""
    if scheme == "rtsp":
        return "rtsp" in av.formats_available
    try:
        # Without a host every protocol fails at once, an unknown one with an error of its own.
        av.open(f"{scheme}://?listen=1&listen_timeout=1", "r", format="mpegts", timeout=0.01).close()
    except av.error.ProtocolNotFoundError:
        return False
    except (av.error.FFmpegError, ValueError):
        pass
    return True


def _parse(address: str, options: GrabOptions) -> tuple[_Peer, GrabOptions]:
    scheme = address.partition(":")[0]
    # The message does not show the address: it may hold a password.
    malformed = UsageError(f"{scheme}: the address is malformed; write {_EXAMPLES[scheme]}")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise malformed from None
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    listen, hw = query.pop("listen", "0"), query.pop("hw", options.hw)
    if listen not in {"0", "1"} or (listen == "1" and scheme not in {"rtsp", "tcp"}):
        raise UsageError(f"{scheme}: listen={listen} is not supported; write {_EXAMPLES[scheme]}")
    if hw not in {"auto", "none"}:
        raise UsageError(f"{scheme}: hw={hw} is unknown; write hw=none or hw=auto")
    needs_host = scheme != "udp" and listen == "0"
    if not parts.netloc or (needs_host and not host) or (scheme != "rtsp" and port is None):
        raise malformed
    url = urlunsplit(SplitResult(scheme, parts.netloc, parts.path, urlencode(query), ""))
    if scheme == "udp" and not host:
        url = url.replace(parts.netloc, f"0.0.0.0:{port}", 1)
    peer = _Peer(scheme=scheme, url=url, host=host, port=port, listen=listen == "1")
    return peer, replace(options, hw="none" if hw == "none" else "auto")


def _check_host(peer: _Peer) -> None:
    """Resolve the host here, because FFmpeg reports only that it cannot connect."""
    try:
        socket.getaddrinfo(peer.host, peer.port, type=socket.SOCK_STREAM)
    except OSError:
        raise SourceError(
            f"{peer.scheme}: the host name cannot be resolved; check its spelling, or give its IP address"
        ) from None
