"""The page: one Gradio component that draws the live picture, and the WebSocket that feeds it.

Importing this module imports Gradio, which takes seconds and reads the environment; ``serve`` does both in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import logging
from collections.abc import Coroutine
from importlib import resources

import gradio as gr
from fastapi import FastAPI, Response, WebSocket
from starlette.websockets import WebSocketDisconnect

from usassist.errors import MessageError
from usassist.sinks.panel.marks import MarkTaker
from usassist.sinks.panel.metrics import CONTENT_TYPE, Metrics
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.viewers import Viewer, Viewers
from usassist.sinks.panel.ws_protocol import Done, read_word, refusal
from usassist.sinks.view import STATE_COLOR_RGB

__all__ = ["build_app", "build_blocks"]

logger = logging.getLogger(__name__)

_SCRIPTS = ("draw.js", "page.js", "side.js", "marks.js", "link.js", "keys.js")  # one program, in this order
_IDLE_S = 1.0


def build_blocks(modality: str = "") -> gr.Blocks:
    """The Gradio side: a page that consists of the live view, which names its modality."""
    label = f"{modality}: live image with outlines" if modality else "Live image with outlines"
    colors = {state.value: rgb for state, rgb in STATE_COLOR_RGB.items()}
    script = "\n".join(_text(name) for name in _SCRIPTS).replace("@STATE_COLORS@", json.dumps(colors))
    blocks = gr.Blocks(title="usassist live", analytics_enabled=False, fill_width=True)
    # Gradio looks for calls of its own a thousand times a second, and each look costs; this page makes none.
    blocks._queue.sleep_when_free = blocks._queue.progress_update_sleep_when_free = _IDLE_S
    with blocks:
        gr.HTML(
            html_template=_text("page.html").replace("@MODALITY@", html.escape(label)),
            js_on_load=script,
            apply_default_css=False,
            elem_id="usassist",
        )
    return blocks


def build_app(viewers: Viewers, shown: ShownFrames, marks: MarkTaker, metrics: Metrics, modality: str = "") -> FastAPI:
    """The whole application: the page, ``/live`` and ``/metrics``.

    Parameters
    ----------
    viewers : every browser that connects joins them
    shown : is told what the pages have drawn
    marks : takes what people mark
    metrics : what ``/metrics`` says
    modality : title of what the page shows; empty = not named
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        viewer = viewers.join()
        if viewer is None:
            await websocket.close(1013, "too many pages watch this stream")
            return
        try:
            await _until_first_ends(_send(websocket, viewer), _receive(websocket, viewer, shown, marks))
        except MessageError as error:
            logger.info("a page was sent away: %s", error)
            await websocket.close(1008, "this page does not fit its server; load it again")
        finally:
            viewers.leave(viewer)

    async def tell_metrics() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    app.add_api_websocket_route("/live", live)
    app.add_api_route("/metrics", tell_metrics)
    # System fonts only: the theme's default fonts would be asked for from another host.
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    gr.mount_gradio_app(
        app,
        build_blocks(modality),
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


async def _receive(websocket: WebSocket, viewer: Viewer, shown: ShownFrames, marks: MarkTaker) -> None:
    allowance = marks.allowance()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        word = read_word(message.get("text") or "")
        if isinstance(word, Done):
            if word.session_id is not None and word.frame_id is not None:
                shown.drawn(word.session_id, word.frame_id)
            viewer.confirm()
        elif refused := marks.take(word, allowance):
            await websocket.send_text(refusal(word, refused))


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
