"""The page: one Gradio component that draws the live picture, and the WebSocket that feeds it.

Importing this module imports Gradio, which takes seconds and reads the environment; ``serve`` does both in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Coroutine
from importlib import resources

import gradio as gr
from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketDisconnect

from usassist.sinks.panel.viewers import Viewer, Viewers
from usassist.sinks.view import STATE_COLOR_RGB

__all__ = ["build_app", "build_blocks"]

_SCRIPTS = ("draw.js", "page.js")


def build_blocks() -> gr.Blocks:
    """The Gradio side: a page that consists of the live view."""
    colors = {state.value: rgb for state, rgb in STATE_COLOR_RGB.items()}
    script = "\n".join(_text(name) for name in _SCRIPTS).replace("@STATE_COLORS@", json.dumps(colors))
    blocks = gr.Blocks(title="usassist live", analytics_enabled=False, fill_width=True)
    with blocks:
        gr.HTML(
            html_template=_text("page.html"),
            js_on_load=script,
            apply_default_css=False,
            elem_id="usassist",
        )
    return blocks


def build_app(viewers: Viewers) -> FastAPI:
    """The whole application: the page, and ``/live``.

    Parameters
    ----------
    viewers : every browser that connects joins them
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        viewer = viewers.join()
        try:
            await _until_first_ends(_send(websocket, viewer), _receive(websocket, viewer))
        finally:
            viewers.leave(viewer)

    app.add_api_websocket_route("/live", live)
    # System fonts only: the theme's default fonts would be asked for from another host.
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    gr.mount_gradio_app(
        app,
        build_blocks(),
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        show_error=False,
        max_file_size=1,
        theme=theme,
        css=_text("page.css"),
    )
    return app


async def _send(websocket: WebSocket, viewer: Viewer) -> None:
    while True:
        await websocket.send_bytes(await viewer.take())


async def _receive(websocket: WebSocket, viewer: Viewer) -> None:
    while True:
        await websocket.receive_text()
        viewer.confirm()


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


def _text(name: str) -> str:
    return resources.files("usassist.sinks.panel").joinpath(name).read_text(encoding="utf-8")
