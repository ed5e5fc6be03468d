"""Gradio's queue, begun only when somebody needs it.

Gradio looks a thousand times a second whether its queue holds an event, which costs 2.9 % of a core while nothing
happens (decision 53). The page's own events need no queue; what comes through ``gradio_client`` does.
"""

from __future__ import annotations

import gradio as gr
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["QuietBlocks", "StartsQueue"]

_QUEUED = ("/gradio_api/queue/", "/gradio_api/call/")


class QuietBlocks(gr.Blocks):
    """``gr.Blocks`` that start without their queue."""

    def run_startup_events(self) -> None:
        """Start everything but the queue."""
        self.is_running = True
        self.create_limiter()  # type: ignore[no-untyped-call]

    def start_queue(self) -> None:
        """Start the queue as well; call it in the loop of the server."""
        super().run_startup_events()  # type: ignore[no-untyped-call]


class StartsQueue:
    """ASGI middleware: starts the queue before the first request that uses it.

    Parameters
    ----------
    app : the application behind it
    blocks : whose queue
    """

    def __init__(self, app: ASGIApp, blocks: QuietBlocks) -> None:
        self._app, self._blocks = app, blocks
        self._is_started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if not self._is_started and scope["type"] == "http" and scope["path"].startswith(_QUEUED):
            self._is_started = True
            self._blocks.start_queue()
        await self._app(scope, receive, send)
