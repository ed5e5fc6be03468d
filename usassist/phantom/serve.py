"""The fault player: plays the simulated scanner over a real socket in real time, and logs what went out when.

Every line of the log is one JSON object with ``event`` and ``t_ns``, the machine's monotonic clock, which all its
processes share. ``begin`` and ``end`` of a fault carry the moment after the first frame with it, or without it, was
handed to the socket, and that frame's number; where nothing is sent, the moment at which the first missing frame
would have been. The stamp of frame n in the stream is n frame periods, whatever was left out before it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from usassist.errors import SourceError, UsageError, UsAssistError
from usassist.phantom.encoder import CODECS
from usassist.phantom.fault_scanner import FaultScanner
from usassist.phantom.faults import FaultPlan
from usassist.phantom.fifo import FifoWire
from usassist.phantom.player import Log, Player, Served
from usassist.phantom.rtsp import RtspWire
from usassist.phantom.wire import TcpWire, UdpWire, Wire

__all__ = ["Served", "open_wire", "serve"]


def serve(
    plan: FaultPlan | FaultScanner,
    to: str | Wire,
    stop: threading.Event,
    log: Path | Log | None = None,
    *,
    seconds: float | None = None,
    codec: str | None = None,
    once: bool = False,
    say: Callable[[str], None] | None = None,
) -> Served:
    """Play until `stop`, or for `seconds`.

    The plan's time begins with the first reader; over UDP, where readers cannot be seen, at once.

    Parameters
    ----------
    plan : what goes wrong; or a scanner that has it and is rendered already
    to : ``udp://HOST:PORT``, ``tcp://HOST:PORT`` and ``rtsp://HOST:PORT/NAME`` (both listen), ``fifo:PATH`` or a path;
        or what `open_wire` gave, which is closed at the end
    stop : ends it after the frame that is being sent
    log : file for the truth, one JSON object per line, or a function that is given each of them
    seconds : how long; None = until `stop`
    codec : see ``CODECS``; None takes the default of the container
    once : a reader that goes away is an error
    say : is given one line for a person when the player waits, or a reader goes

    Raises
    ------
    UsageError
        If the address or the codec is not understood.
    SourceError
        If the port is taken, the address cannot be sent to, or with `once` when the reader has gone.
    """
    with contextlib.ExitStack() as stack:
        wire = open_wire(to) if isinstance(to, str) else to
        stack.callback(wire.close)
        if codec is not None and codec not in CODECS[wire.container]:
            known = ", ".join(CODECS[wire.container])
            raise UsageError(f"the codec {codec} is not known for {wire.container}; choose one of {known}")
        write = stack.enter_context(_log_to(log))
        scanner = plan if isinstance(plan, FaultScanner) else FaultScanner(plan)
        player = Player(scanner, wire, codec, write, once=once, say=say or (lambda line: None))
        return player.play(stop, seconds)


def open_wire(to: str) -> Wire:
    """The way out that an address names.

    Raises
    ------
    UsageError, SourceError
        See :func:`serve`.
    """
    scheme, found, _ = to.partition("://")
    if found and scheme == "udp":
        return UdpWire(to)
    if found and scheme == "tcp":
        return TcpWire(to)
    if found and scheme == "rtsp":
        return RtspWire(to)
    path = to.removeprefix("fifo:")
    if found or not path:
        raise UsageError(
            f"{scheme or 'an empty address'}: the player cannot send there; write udp://HOST:PORT, tcp://HOST:PORT, "
            "rtsp://HOST:PORT/NAME or fifo:PATH"
        )
    return FifoWire(Path(path))


@contextlib.contextmanager
def _log_to(log: Path | Log | None) -> Iterator[Log]:
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
