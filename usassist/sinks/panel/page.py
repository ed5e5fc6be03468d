"""The page: one Gradio component that draws the live frames, and the WebSocket that feeds it.

Importing this module imports Gradio, which takes seconds and reads the environment; ``serve`` sets that up first.
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

from usassist.clinical import ALONE, DESCRIPTOR_TEXTS, DESCRIPTORS, SEVERAL, SYSTEMS
from usassist.errors import MessageError
from usassist.sinks.panel.marks import MarkIntake
from usassist.sinks.panel.metrics import CONTENT_TYPE, Metrics
from usassist.sinks.panel.said import Said
from usassist.sinks.panel.shown import ShownFrames
from usassist.sinks.panel.viewers import Viewer, Viewers
from usassist.sinks.panel.ws_protocol import Done, parse_message, refusal
from usassist.sinks.view import STATE_COLOR_RGB

__all__ = ["build_app", "build_blocks"]

logger = logging.getLogger(__name__)

# One program, in this order.
_SCRIPTS = (
    "draw.js",
    "page.js",
    "side.js",
    "marks.js",
    "plane.js",
    "descriptors.js",
    "tirads.js",
    "link.js",
    "keys.js",
)
_STYLES = ("page.css", "said.css")
_IDLE_S = 1.0


def build_blocks(modality: str = "") -> gr.Blocks:
    """The Gradio part: a page with the live view as its only component, labelled with its modality."""
    label = f"{modality}: live frame with outlines" if modality else "Live frame with outlines"
    colors = {state.value: rgb for state, rgb in STATE_COLOR_RGB.items()}
    script = "\n".join(_text(name) for name in _SCRIPTS)
    for place, value in {"STATE_COLORS": colors, "DESCRIPTORS": _words(), "SYSTEMS": _systems()}.items():
        script = script.replace(f"@{place}@", json.dumps(value))
    blocks = gr.Blocks(title="usassist live", analytics_enabled=False, fill_width=True)
    # Gradio polls its own queue a thousand times a second, and each poll costs; this page uses no queue.
    blocks._queue.sleep_when_free = blocks._queue.progress_update_sleep_when_free = _IDLE_S
    with blocks:
        gr.HTML(
            html_template=_text("page.html").replace("@MODALITY@", html.escape(label)),
            js_on_load=script,
            apply_default_css=False,
            elem_id="usassist",
        )
    return blocks


def build_app(
    viewers: Viewers,
    shown: ShownFrames,
    marks: MarkIntake,
    metrics: Metrics,
    modality: str = "",
    *,
    said: Said | None = None,
) -> FastAPI:
    """The whole application: the page, ``/live`` and ``/metrics``.

    Parameters
    ----------
    viewers : every page that connects is added
    shown : records what the pages have drawn
    marks : receives the marks
    metrics : content of ``/metrics``
    modality : title of what the page shows; empty = not named
    said : what people have said, for the pages
    """
    said = Said() if said is None else said
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    async def live(websocket: WebSocket) -> None:
        await websocket.accept()
        viewer = viewers.join()
        if viewer is None:
            await websocket.close(1013, "too many pages are connected to this stream")
            return
        try:
            await _until_first_ends(_send(websocket, viewer, said), _receive(websocket, viewer, shown, marks))
        except MessageError as error:
            logger.info("a page was disconnected: %s", error)
            await websocket.close(1008, "this page does not match its server; reload it")
        finally:
            viewers.leave(viewer)

    async def get_metrics() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    app.add_api_websocket_route("/live", live)
    app.add_api_route("/metrics", get_metrics)
    # System fonts only: the theme's default fonts would be loaded from another host.
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
        css="\n".join(_text(name) for name in _STYLES),
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


async def _receive(websocket: WebSocket, viewer: Viewer, shown: ShownFrames, marks: MarkIntake) -> None:
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


def _words() -> list[dict[str, object]]:
    return [
        {
            "name": name,
            "text": DESCRIPTOR_TEXTS[name],
            "several": name in SEVERAL,
            "alone": [word for word in words if (name, word) in ALONE],
            "words": dict(words),
        }
        for name, words in DESCRIPTORS.items()
    ]


def _systems() -> list[dict[str, str]]:
    return [
        {"id": system.id, "name": system.name, "edition": system.edition, "source": system.source}
        for system in SYSTEMS.values()
    ]


def _text(name: str) -> str:
    return resources.files("usassist.sinks.panel").joinpath(name).read_text(encoding="utf-8")
