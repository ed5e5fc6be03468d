"""Request filter of the panel's server.

The page shows patient images and has no login, so the server answers only its own page. It refuses requests that name
another host (DNS rebinding), that come from another origin, and that ask for anything but the parts of the page. Gradio
offers more than the page needs, such as files, uploads and proxies; none of that is reachable.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import MutableMapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Guard"]

_PATHS = {
    "/",
    "/config",
    "/favicon.ico",
    "/gradio_api/info",
    "/gradio_api/startup-events",
    "/live",
    "/manifest.json",
    "/metrics",
    "/robots.txt",
    "/theme.css",
}
_FOLDERS = ("/assets/", "/gradio_api/heartbeat/", "/static/", "/svelte/")

# The browser itself then refuses every request to another host. Gradio needs inline scripts and `Function`.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class Guard:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    app : the application behind it
    host : the name or address that the server listens on; always accepted
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = {"localhost", host.lower(), socket.gethostname().lower()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        problem = self._problem(scope)
        if scope["type"] == "websocket":
            if problem is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008, "reason": problem[1]})  # the server makes it a 403
        elif problem is None:
            await self._app(scope, receive, _with_policy(send))
        else:
            await PlainTextResponse(problem[1], status_code=problem[0])(scope, receive, send)

    def _problem(self, scope: Scope) -> tuple[int, str] | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if not self._is_ours(host):
            return 421, "this server does not have that host name"
        origin = headers.get("origin")
        if origin is None and scope["type"] == "websocket":
            return 403, "live frames are sent to the page of this server only"
        if origin is not None and urlsplit(origin).netloc.lower() != host:
            return 403, "requests from other sites are refused"
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            return 405, "this server takes GET and HEAD only"
        path: str = scope["path"]
        if path not in _PATHS and not path.startswith(_FOLDERS):
            return 404, "no such page"
        return None

    def _is_ours(self, host: str) -> bool:
        """A foreign DNS name can be made to resolve to this machine; an IP address cannot."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _with_policy(send: Send) -> Send:
    async def guarded_send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["content-security-policy"] = _POLICY
            headers["referrer-policy"] = "no-referrer"
            headers["x-content-type-options"] = "nosniff"
        await send(message)

    return guarded_send
