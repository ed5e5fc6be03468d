"""The fault player: plays the simulated scanner over a real socket in real time, and logs the faults as sent.

Every line of the log is a JSON object with ``event`` and ``t_ns``, from the machine's monotonic clock, which all
processes share. ``begin`` and ``end`` of a fault have the time after the first frame with it, or without it, was
written to the socket, and that frame's number; where nothing is sent, the time of the first missing frame. The
timestamp of frame n in the stream is n frame periods, independent of skipped frames.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from usassist.errors import SourceError, UsageError, UsAssistError
from usassist.phantom.encoder import CODECS
from usassist.phantom.fault_player import EventSink, FaultPlayer, PlayerReport
from usassist.phantom.fault_scanner import FaultScanner
from usassist.phantom.faults import FaultPlan
from usassist.phantom.fifo import FifoTransport
from usassist.phantom.rtsp import RtspTransport
from usassist.phantom.transport import TcpTransport, Transport, UdpTransport

__all__ = ["PlayerReport", "open_transport", "serve"]


def serve(
    plan: FaultPlan | FaultScanner,
    to: str | Transport,
    stop: threading.Event,
    log: Path | EventSink | None = None,
    *,
    seconds: float | None = None,
    codec: str | None = None,
    once: bool = False,
    report: Callable[[str], None] | None = None,
) -> PlayerReport:
    """Play until `stop`, or for `seconds`.

    The plan's time starts with the first reader; over UDP, where readers are not known, at once.

    Parameters
    ----------
    plan : the faults, or a scanner with such a plan that is already rendered
    to : ``udp://HOST:PORT``, ``tcp://HOST:PORT`` and ``rtsp://HOST:PORT/NAME`` (both listen), ``fifo:PATH`` or a path;
        or a transport from `open_transport`, which is closed at the end
    stop : ends the run after the current frame
    log : file for the events, one JSON object per line, or a function that is called with each
    seconds : duration; None = until `stop`
    codec : see ``CODECS``; None = the default of the container
    once : a reader that disconnects is an error
    report : called with a line of text when the player waits or a reader disconnects

    Raises
    ------
    UsageError
        If the address or the codec is invalid.
    SourceError
        If the port is taken, the address is not reachable, or with `once` when the reader has disconnected.
    """
    with contextlib.ExitStack() as stack:
        transport = open_transport(to) if isinstance(to, str) else to
        stack.callback(transport.close)
        if codec is not None and codec not in CODECS[transport.container]:
            known = ", ".join(CODECS[transport.container])
            raise UsageError(f"the codec {codec} is not known for {transport.container}; choose one of {known}")
        write = stack.enter_context(_log_to(log))
        scanner = plan if isinstance(plan, FaultScanner) else FaultScanner(plan)
        player = FaultPlayer(scanner, transport, codec, write, once=once, report=report or (lambda line: None))
        return player.play(stop, seconds)


def open_transport(to: str) -> Transport:
    """Open the transport for an address.

    Raises
    ------
    UsageError, SourceError
        See :func:`serve`.
    """
    scheme, found, _ = to.partition("://")
    if found and scheme == "udp":
        return UdpTransport(to)
    if found and scheme == "tcp":
        return TcpTransport(to)
    if found and scheme == "rtsp":
        return RtspTransport(to)
    path = to.removeprefix("fifo:")
    if found or not path:
        raise UsageError(
            f"{scheme or 'an empty address'}: the player cannot send there; write udp://HOST:PORT, tcp://HOST:PORT, "
            "rtsp://HOST:PORT/NAME or fifo:PATH"
        )
    return FifoTransport(Path(path))


@contextlib.contextmanager
def _log_to(log: Path | EventSink | None) -> Iterator[EventSink]:
    if log is None:
        yield lambda entry: None
    elif isinstance(log, Path):
        try:
            with log.open("w", encoding="utf-8", buffering=1) as file:
                yield lambda entry: print(json.dumps(entry, separators=(",", ":")), file=file)
        except OSError as error:
            if isinstance(error, UsAssistError):
                raise
            raise SourceError(f"the log {log.name} cannot be written: {error.strerror}; choose another file") from error
    else:
        yield log
