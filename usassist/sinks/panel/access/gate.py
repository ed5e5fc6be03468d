"""The gate before a page's application; what a request has to pass, in this order.

1. It came through the told proxy, if there is one, and names this server (no foreign name that resolves to it).
2. It comes from no other site: header ``Origin``, which browsers send with everything that is not a plain visit.
3. Its visitor is logged in; else it gets the login page, whatever it asked for, and a WebSocket is refused.
4. What it asks for is a part of the page, and its body is not too large.

Connections that are held open end when the server ends, and when their visitor logs out.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from usassist.sinks.panel.access.headers import LOGIN_POLICY, policy, set_headers
from usassist.sinks.panel.access.login import Login
from usassist.sinks.panel.access.proxy import Seen
from usassist.sinks.panel.access.rules import Rules
from usassist.sinks.panel.access.session_cookie import Session

__all__ = ["Gate"]


class Gate:
    """ASGI middleware around the whole application.

    Parameters
    ----------
    app : the application behind it
    rules : of the page
    """

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules
        self._login = None if rules.secrets is None else Login(rules)
        self._policy = policy(rules.frame_ancestors)
        self._framed = rules.frame_ancestors != "'none'"
        self._held: set[tuple[asyncio.Task[None], str, bool]] = set()
        self._closed = False

    def close(self) -> None:
        """End every answer that is held open; called on the server's loop, which ends WebSockets itself."""
        self._closed = True
        for task, _, is_socket in list(self._held):
            if not is_socket:
                task.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request or connection."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        arrived, seen = Headers(scope=scope), self._rules.proxy.see(scope)
        problem = self._problem(arrived, seen)
        if scope["type"] == "websocket":
            await self._socket(seen, problem, receive, send)
        elif problem is not None:
            await self._answer(PlainTextResponse(f"{problem[1]}\n", problem[0]), seen.scope, receive, send)
        else:
            await self._request(seen, receive, send)

    def _problem(self, arrived: Headers, seen: Seen) -> tuple[int, str] | None:
        """Why a request is refused before anything else."""
        if seen.problem:
            return 421, seen.problem
        if not self._rules.hosts.is_ours(arrived.get("host", "")):
            return 421, "this server does not have that host name; see `names` in docs/access.md"
        headers = Headers(scope=seen.scope)
        origin = headers.get("origin")
        if origin is None:
            needed = seen.scope["type"] == "websocket"
            return (403, "live frames are sent to the page of this server only") if needed else None
        if not self._rules.hosts.is_own_origin(origin, seen.scope["scheme"], headers.get("host", "")):
            return 403, "requests from other sites are refused"
        return None

    async def _socket(self, seen: Seen, problem: tuple[int, str] | None, receive: Receive, send: Send) -> None:
        session = None if problem is not None else self._session(seen)
        if problem is None and session is None:
            problem = 401, "log in first"
        if problem is None and not self._rules.paths.is_socket(seen.path):
            problem = 404, "no such page"
        if problem is not None or session is None:
            await send({"type": "websocket.close", "code": 1008, "reason": problem[1] if problem else ""})  # a 403
            return
        if await self._hold(session, seen.scope, receive, send) and not self._closed:
            with contextlib.suppress(RuntimeError):  # it has ended by itself meanwhile
                await send({"type": "websocket.close", "code": 1008, "reason": "logged out"})

    async def _request(self, seen: Seen, receive: Receive, send: Send) -> None:
        headers, method = Headers(scope=seen.scope), seen.scope["method"]
        session, login = self._session(seen), self._login
        if login is not None:
            if seen.path == "/login" and method == "POST":
                await self._answer(await login.log_in(headers, seen, receive), seen.scope, receive, send)
                return
            if seen.path == "/logout" and method in ("GET", "POST"):
                if session is not None and session.id and method == "POST":
                    self._end_session(session.id)
                await self._answer(login.log_out(headers, seen, session), seen.scope, receive, send)
                return
            if session is None:
                await self._answer(login.needed(headers, seen), seen.scope, receive, send)
                return
            if method == "GET" and seen.path == "/" and (plain := login.without_token(seen)):
                await self._answer(RedirectResponse(plain, 303), seen.scope, receive, send)
                return
        refused = self._refused(seen.path, method, headers)
        if refused is not None:
            await self._answer(refused, seen.scope, receive, send)
            return
        assert session is not None
        await self._pass(seen, session, receive, send)

    def _session(self, seen: Seen) -> Session | None:
        if self._login is None:
            return Session("", 0.0)
        return self._login.session_of(Headers(scope=seen.scope), seen.visitor)

    def _refused(self, path: str, method: str, headers: Headers) -> Response | None:
        methods = self._rules.paths.methods(path)
        if not methods:
            return PlainTextResponse("no such page\n", 404)
        if method not in methods:
            return PlainTextResponse(f"this takes {' and '.join(methods)} only\n", 405, {"allow": ", ".join(methods)})
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._rules.paths.body_limit_bytes(path):
            return PlainTextResponse("too large\n", 413)
        return None

    async def _pass(self, seen: Seen, session: Session, receive: Receive, send: Send) -> None:
        """Let the application answer, as long as the body is not too large."""
        left_bytes = self._rules.paths.body_limit_bytes(seen.path)
        begun = ended = False

        async def limited() -> Message:
            nonlocal left_bytes
            if left_bytes < 0:
                return {"type": "http.disconnect"}
            message = await receive()
            left_bytes -= len(message.get("body", b""))
            if left_bytes >= 0:
                return message
            if not begun:
                await self._answer(PlainTextResponse("too large\n", 413), seen.scope, receive, send)
            return {"type": "http.disconnect"}

        async def marked(message: MutableMapping[str, Any]) -> None:
            nonlocal begun, ended
            if left_bytes < 0:
                return
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                kept = self._rules.paths.may_be_kept(seen.path)
                set_headers(headers, policy=self._policy, framed=self._framed, may_be_kept=kept)
                renewed = self._login.renewed(session) if self._login is not None else ""
                if renewed:
                    headers.append("set-cookie", renewed)
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)
            await send(message)

        try:
            cut = await self._hold(session, seen.scope, limited, marked)
        except Exception:
            if left_bytes < 0:  # the application was told that the visitor has gone
                return
            raise
        if cut and begun and not ended:
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _hold(self, session: Session, scope: Scope, receive: Receive, send: Send) -> bool:
        """Run the application; True when it was ended from outside."""

        async def run() -> None:
            await self._app(scope, receive, send)

        task = asyncio.create_task(run())
        held = (task, session.id, scope["type"] == "websocket")
        self._held.add(held)
        try:
            await asyncio.wait((task,))
        finally:
            self._held.discard(held)
            if not task.done():  # the server itself gives up
                task.cancel()
        if task.cancelled():
            return True
        task.result()  # raises what the application raised
        return self._closed

    def _end_session(self, session_id: str) -> None:
        for task, whose, _ in list(self._held):
            if whose == session_id:
                task.cancel()

    async def _answer(self, response: Response, scope: Scope, receive: Receive, send: Send) -> None:
        """Send an answer of the gate itself."""
        set_headers(response.headers, policy=LOGIN_POLICY, referrer="same-origin")
        await response(scope, receive, send)
