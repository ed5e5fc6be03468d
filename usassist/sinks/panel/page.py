"""The page: Gradio's tabs, and the WebSocket that feeds the live frames.

Importing this module imports Gradio, which takes seconds and reads the environment; ``serve`` sets that up first.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine

import gradio as gr
from fastapi import FastAPI, Response, WebSocket
from starlette.websockets import WebSocketDisconnect

from usassist.errors import MessageError
from usassist.sinks.panel.api import add_api
from usassist.sinks.panel.context import PageContext
from usassist.sinks.panel.look import make_theme
from usassist.sinks.panel.marks import MarkIntake
from usassist.sinks.panel.metrics import CONTENT_TYPE
from usassist.sinks.panel.quiet_queue import QuietBlocks, StartsQueue
from usassist.sinks.panel.said import Said
from usassist.sinks.panel.scale import ScaleIntake
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.sweep.routes import add_frame_routes
from usassist.sinks.panel.tabs import TABS
from usassist.sinks.panel.tabs.live import STYLES, live_text
from usassist.sinks.panel.tabs.sweep import STYLES as SWEEP_STYLES
from usassist.sinks.panel.top import build_settings, build_top
from usassist.sinks.panel.viewers import Viewer
from usassist.sinks.panel.ws_protocol import Done, ScaleRequest, parse_message, refusal

__all__ = ["build_app", "build_blocks"]

logger = logging.getLogger(__name__)


def build_blocks(context: PageContext) -> QuietBlocks:
    """The Gradio part: the page and its tabs."""
    blocks = QuietBlocks(title="usassist live", analytics_enabled=False, fill_width=True)
    with blocks, gr.Column(elem_id="us-page"):
        build_top(context)
        settings = gr.Column()
        with gr.Tabs(elem_id="us-tabs"):
            for name, builds in TABS:
                with gr.Tab(id=name, elem_id=f"us-tab-{name}") as tab:
                    context.labels.add(tab, "page", label=f"tab.{name}")
                    for build in builds:
                        build(context)
        with settings:
            build_settings(context, blocks)
        add_api(context)
    return blocks


def build_app(context: PageContext) -> FastAPI:
    """The whole application: the page, ``/live`` and ``/metrics``."""
    viewers, said, metrics = context.viewers, context.said, context.metrics
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        viewer = viewers.join()
        if viewer is None:
            await websocket.close(1013, "too many pages are connected to this stream")
            return
        try:
            await _until_first_ends(
                _send(websocket, viewer, said),
                _receive(websocket, viewer, context.shown, context.marks, context.scales),
            )
        except MessageError as error:
            logger.info("a page was disconnected: %s", error)
            await websocket.close(1008, "this page does not match its server; reload it")
        finally:
            viewers.leave(viewer)

    async def get_metrics() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    app.add_api_websocket_route("/live", live)
    app.add_api_route("/metrics", get_metrics)
    add_frame_routes(app, context.feed.sweep, context.config.jpeg_quality)
    blocks = build_blocks(context)
    app.add_middleware(StartsQueue, blocks=blocks)
    gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        show_error=False,
        max_file_size=1,
        theme=make_theme(),
        css="\n".join((*(live_text(name) for name in STYLES), *SWEEP_STYLES)),
    )
    return app


async def _send(websocket: WebSocket, viewer: Viewer, said: Said) -> None:
    sent = ""
    while True:
        packet = await viewer.take()
        text = said.text
        if text and text is not sent:  # before the packet that says that the mark has come back
            await websocket.send_text(text)
            sent = text
        await websocket.send_bytes(packet)


async def _receive(
    websocket: WebSocket, viewer: Viewer, shown: ShownFrames, marks: MarkIntake, scales: ScaleIntake
) -> None:
    limit = marks.rate_limit()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        received = parse_message(message.get("text") or "")
        if isinstance(received, Done):
            if received.session_id is not None and received.frame_id is not None:
                shown.drawn(received.session_id, received.frame_id)
            viewer.acknowledge()
        elif isinstance(received, ScaleRequest):
            if answer := scales.answer(received, limit):
                await websocket.send_text(answer)
        elif reason := marks.submit(received, limit):
            await websocket.send_text(refusal(received, reason))


async def _until_first_ends(*parts: Coroutine[None, None, None]) -> None:
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        with contextlib.suppress(WebSocketDisconnect):
            task.result()
