"""What other programs may ask the page through ``gradio_client``: ``/state``, ``/nodules``, ``/mark``."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
from gradio.events import api as add_endpoint

from usassist.common.clock import MonotonicClock
from usassist.sinks.panel.context import PageContext
from usassist.sinks.panel.marks import RateLimit
from usassist.sinks.panel.packet import Head
from usassist.sinks.panel.ws_protocol import MarkRequest

__all__ = ["add_api"]

_FIRST_FRAME_S = 3.0  # frames are subscribed only while somebody asks
_POLL_S = 0.05
_STATE = (
    "session_id",
    "frame_id",
    "state",
    "headline",
    "detail",
    "age_ms",
    "source",
    "kind",
    "replayed",
    "engine_id",
)
_KINDS = ("bookmark", "wrong", "missed")


def add_api(context: PageContext) -> None:
    """Add the endpoints; call it inside the ``Blocks``."""
    feed, limit = context.feed, RateLimit(MonotonicClock())

    async def newest() -> Head:
        feed.watch()
        until = time.monotonic() + _FIRST_FRAME_S
        while (head := feed.latest).frame_id is None and time.monotonic() < until:
            await asyncio.sleep(_POLL_S)
        return head

    async def state() -> dict[str, Any]:
        """Session and number of the newest frame, and what may be shown of it; ``frame_id`` is None while no frame has
        come. ``age_ms`` is from capture to the newest packet."""
        head = await newest()
        return {name: getattr(head, name) for name in _STATE}

    async def nodules() -> dict[str, Any]:
        """The nodules of the newest frame, with its number and its state: an empty list is an answer only where the
        state is ``no_finding``. Lengths in mm are None where the frame is not calibrated."""
        head = await newest()
        found = msgspec.to_builtins(head.nodules)
        return {"session_id": head.session_id, "frame_id": head.frame_id, "state": head.state, "nodules": found}

    async def mark(kind: str, session_id: str, frame_id: int) -> dict[str, Any]:
        """Mark a frame that was shown, as ``bookmark``, ``wrong`` or ``missed``. ``refused`` says why it was not sent
        to the stream; empty when it was."""
        if kind not in _KINDS:
            return {"refused": f"a mark is one of {', '.join(_KINDS)}, got {kind}"}
        request = MarkRequest(session_id=session_id, frame_id=int(frame_id), kind=kind)  # type: ignore[arg-type]
        return {"refused": context.marks.submit(request, limit)}

    for endpoint in (state, nodules, mark):
        add_endpoint(endpoint, api_name=endpoint.__name__, queue=False)
