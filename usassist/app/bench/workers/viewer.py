"""Child process: receive the page's live frames as a browser does."""

from __future__ import annotations

import time
from typing import Any

import cv2
import msgspec
import numpy as np

from usassist.app.runtime.worker import Parent
from usassist.errors import UsAssistError
from usassist.sinks.panel.access import split_address
from usassist.sinks.panel.packet import unpack
from usassist.sinks.panel.ws_protocol import Done

__all__ = ["work"]

_WAIT_S = 0.25


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Watch ``options["url"]``, the address of the page, until the parent stops this process.

    Each packet is read, its image decoded, and confirmed. The final report has, for each frame, when it was captured
    and how much later it was decoded here, ms of the machine's monotonic clock.

    Raises
    ------
    UsAssistError
        If the page does not answer.
    """
    from websockets.exceptions import ConnectionClosed, WebSocketException
    from websockets.sync.client import connect
    from websockets.typing import Origin

    cv2.setNumThreads(1)
    address, token = split_address(options["url"])
    url, login = address.rstrip("/"), {"Authorization": f"Bearer {token}"}
    captured_ms: list[float] = []
    latency_ms: list[float] = []
    packets, last = 0, None
    try:
        live = f"ws{url.removeprefix('http')}/live"
        with connect(live, origin=Origin(url), additional_headers=login, compression=None, max_size=None) as socket:
            parent.report("ready")
            while not parent.stop.is_set():
                try:
                    data = socket.recv(_WAIT_S)
                except TimeoutError:
                    continue
                head, jpeg = unpack(data if isinstance(data, bytes) else data.encode())
                packets += 1
                shown, confirmation = (head.session_id, head.frame_id), Done()
                if jpeg and shown != last and head.session_id is not None and head.frame_id is not None:
                    last, confirmation = shown, Done(session_id=head.session_id, frame_id=head.frame_id)
                    cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
                    if head.age_ms is not None and options.get("keep", True):
                        capture_ms = head.t_ms - head.age_ms
                        captured_ms.append(round(capture_ms, 3))
                        latency_ms.append(round(time.monotonic_ns() / 1e6 - capture_ms, 3))
                socket.send(msgspec.json.encode(confirmation).decode("utf-8"))
    except ConnectionClosed:
        pass  # the page has exited first
    except (OSError, WebSocketException) as error:
        raise UsAssistError(f"the page at {url} does not answer: {error}; check that its process runs") from error
    return {"packets": packets, "captured_ms": captured_ms, "latency_ms": latency_ms}
