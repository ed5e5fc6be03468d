"""A small application behind a gate, as the tests of the gate use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from usassist.config import PanelConfig
from usassist.sinks.panel.access import LIVE_PATHS, Gate, Paths, Rules, RunSecrets, make_rules

TOKEN = "a-token-of-twenty-letters-or-more"
SECRETS = RunSecrets(TOKEN, "5a" * 32)
HOST = "127.0.0.1:7860"
HTML = {"accept": "text/html"}


async def answer(request: Request) -> Response:
    """Say what the application was asked for."""
    body = await request.body()
    said = {"url": str(request.url), "headers": dict(request.headers), "bytes": len(body)}
    return JSONResponse(said | {"root": request.scope.get("root_path", "")})


async def live(websocket: WebSocket) -> None:
    """Send one word, then wait for the end."""
    await websocket.accept()
    await websocket.send_text("a frame")
    await websocket.receive()


async def held(request: Request) -> Response:
    """An answer that does not end by itself."""

    async def lines() -> AsyncIterator[str]:
        while True:
            yield "data: ALIVE\n\n"
            await asyncio.sleep(3600)

    return StreamingResponse(lines(), media_type="text/event-stream")


def make_app() -> Starlette:
    """An application that answers everything, so that it is the gate that refuses."""
    return Starlette(
        routes=[
            WebSocketRoute("/live", live),
            WebSocketRoute("/other", live),
            Route("/gradio_api/heartbeat/{name}", held),
            Route("/robots.txt", lambda request: PlainTextResponse("robots")),
            Route("/{path:path}", answer, methods=["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]),
        ]
    )


def rules(paths: Paths = LIVE_PATHS, secrets: RunSecrets = SECRETS, **settings: Any) -> Rules:
    """Rules of a page on port 7860."""
    return make_rules(PanelConfig(**settings), secrets, 7860, paths)


def visit(gate: Gate, *, host: str = HOST, peer: str = "127.0.0.1", scheme: str = "http", **more: Any) -> TestClient:
    """A browser of its own, that follows no redirect by itself."""
    return TestClient(gate, f"{scheme}://{host}", client=(peer, 50000), follow_redirects=False, **more)


def logged_in(gate: Gate, **more: Any) -> TestClient:
    """A browser that has opened the address with the token."""
    browser = visit(gate, **more)
    assert browser.get(f"/?token={TOKEN}").status_code == 303
    return browser
