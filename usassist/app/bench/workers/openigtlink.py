"""Child process: an OpenIGTLink client, with the time at which it had image and outline of each frame."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

from usassist.app.runtime.worker import Parent
from usassist.common.openigtlink.reader import MessageReader
from usassist.errors import UsAssistError
from usassist.sinks.openigtlink.bundle import IMAGE, OUTLINE, RESULT

__all__ = ["work"]

_POLL_S = 0.1
_PYIGTL_POLL_S = 0.001
Arrival = tuple[str, float, str, int]
"""Device, stamp in s, text, and monotonic ns of the arrival of one message."""


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Read from ``options["port"]`` with ``options["reader"]`` (``usassist`` or ``pyigtl``) until the parent stops it.

    The final report has, for each frame whose image and outline came, when it was captured and how much later both were
    here, ms of the machine's monotonic clock; the numbers of these frames, and ``unpaired``: images without outline.
    """
    arrivals = _of_pyigtl if options["reader"] == "pyigtl" else _of_usassist
    captured_ms: list[float] = []
    latency_ms: list[float] = []
    frame_ids: list[int] = []
    unpaired = 0
    waiting: dict[float, dict[str, tuple[str, int]]] = {}
    for device, stamp_s, text, t_ns in arrivals(options["port"], parent):
        parts = waiting.setdefault(stamp_s, {})
        parts[device] = text, t_ns
        if parts.keys() >= {IMAGE, OUTLINE, RESULT}:
            said = json.loads(parts[RESULT][0])
            t_pair_ns = max(parts[IMAGE][1], parts[OUTLINE][1])
            captured_ms.append(round(said["t_capture_ns"] / 1e6, 3))
            latency_ms.append(round((t_pair_ns - said["t_capture_ns"]) / 1e6, 3))
            frame_ids.append(said["frame_id"])
            unpaired += sum(IMAGE in others for key, others in waiting.items() if key < stamp_s)
            waiting = {key: others for key, others in waiting.items() if key > stamp_s}
    return {"captured_ms": captured_ms, "latency_ms": latency_ms, "frame_ids": frame_ids, "unpaired": unpaired}


def _of_usassist(port: int, parent: Parent) -> Iterator[Arrival]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        reader = MessageReader(connection, ("IMAGE", "STRING"))
        parent.report("ready")
        while not parent.stop.is_set():
            parent.heartbeat.beat()
            message = reader.read(_POLL_S)
            if (
                message is not None
                and message.header.stamp_ns is not None
                and message.header.type in ("IMAGE", "STRING")
            ):
                text = bytes(message.content[4:]).decode() if message.header.type == "STRING" else ""
                yield message.header.device, message.header.stamp_ns / 1e9, text, time.monotonic_ns()


def _of_pyigtl(port: int, parent: Parent) -> Iterator[Arrival]:
    """pyigtl keeps the newest message of each device; they are fetched every millisecond."""
    try:
        import pyigtl
    except ImportError:
        raise UsAssistError("pyigtl is not installed; run: pip install 'usassist[openigtlink]'") from None
    client = pyigtl.OpenIGTLinkClient("127.0.0.1", port)
    parent.report("ready")
    while not parent.stop.is_set():
        parent.heartbeat.beat()
        for message in client.get_latest_messages():
            yield message.device_name, message.timestamp, getattr(message, "string", ""), time.monotonic_ns()
        time.sleep(_PYIGTL_POLL_S)
    client.stop()
