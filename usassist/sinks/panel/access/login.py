"""Logging in and out: a token in the address, a secret in the form, a bearer token of a program, a cookie."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive

from usassist.sinks.panel.access.attempts import Attempts
from usassist.sinks.panel.access.login_page import login_page, logout_page
from usassist.sinks.panel.access.proxy import Seen
from usassist.sinks.panel.access.rules import Rules
from usassist.sinks.panel.access.run_secrets import same_text
from usassist.sinks.panel.access.session_cookie import Session, Sessions

__all__ = ["Login", "read_body"]

_BEARER = Session("", 0.0)
_MAX_FORM_BYTES = 4096


class Login:
    """Knows visitors by what they bring.

    Parameters
    ----------
    rules : of the page; they have secrets
    """

    def __init__(self, rules: Rules) -> None:
        assert rules.secrets is not None
        self._token, self._password = rules.secrets.token, rules.password
        self._sessions = Sessions(
            bytes.fromhex(rules.secrets.key_hex),
            name=rules.cookie,
            path=(rules.proxy.public.path if rules.proxy.public else "") or "/",
            secure=rules.secure,
        )
        self._passwords = Attempts()
        self._tokens = Attempts(per_address=60, overall=600)
        self._hashing = asyncio.Lock()  # one at a time: it takes a core, and the stream needs both

    def session_of(self, headers: Headers, visitor: str) -> Session | None:
        """The session of a request; None = the visitor is not logged in."""
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return _BEARER if self._is_token(given.strip(), visitor) else None
        return self._sessions.find(headers.get("cookie", ""))

    def renewed(self, session: Session) -> str:
        """A ``Set-Cookie`` for a session whose cookie has become old; empty = not needed."""
        return self._sessions.begin(session.id) if session.is_old and session is not _BEARER else ""

    def needed(self, headers: Headers, seen: Seen) -> Response:
        """The answer to who is not logged in. A right token in the address begins a session."""
        query = parse_qsl(seen.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        tokens = [value for name, value in query if name == "token"]
        if not tokens or seen.scope["method"] != "GET":
            return self._page(headers, seen, retry=headers.get("sec-fetch-site") == "cross-site")
        if wait_s := self._tokens.wait_s(seen.visitor):
            return self._page(headers, seen, f"wait:{wait_s}", 429, wait_s)
        if not self._is_token(tokens[-1], seen.visitor):
            return self._page(headers, seen, "wrong_token")
        return self._begin(seen, self.without_token(seen))

    @staticmethod
    def without_token(seen: Seen) -> str:
        """The path of a request without the token, with what else was asked for; empty where it has no token."""
        query = parse_qsl(seen.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        left = [(name, value) for name, value in query if name != "token"]
        return "" if len(left) == len(query) else f"{seen.root}{seen.path}" + (f"?{urlencode(left)}" if left else "")

    async def log_in(self, headers: Headers, seen: Seen, receive: Receive) -> Response:
        """The answer to the form."""
        attempts = self._tokens if self._password is None else self._passwords
        async with self._hashing:  # the limit is asked with no other attempt under way
            if wait_s := attempts.wait_s(seen.visitor):
                return self._page(headers, seen, f"wait:{wait_s}", 429, wait_s)
            body = await read_body(receive, _MAX_FORM_BYTES)
            given = parse_qs((body or b"").decode("utf-8", "replace")).get("secret", [""])[0].strip()
            right = self._is_token(given, "") if self._token else False
            if not right and self._password is not None and given:
                right = await asyncio.to_thread(self._password.matches, given)
            if not right:
                attempts.failed(seen.visitor)
                return self._page(headers, seen, "wrong_password" if self._password is not None else "wrong_token")
            attempts.succeeded(seen.visitor)
        return self._begin(seen, f"{seen.root}/")

    def log_out(self, headers: Headers, seen: Seen, session: Session | None) -> Response:
        """The answer to ``/logout``: a question to GET, done by POST."""
        if seen.scope["method"] != "POST":
            return logout_page(headers, root=seen.root, done=session is None)
        answer = logout_page(headers, root=seen.root, done=True)
        if session is not None:
            answer.headers.append("set-cookie", self._sessions.end(session))
        return answer

    def _begin(self, seen: Seen, path: str) -> Response:
        # A single slash: two at the beginning would name another host.
        answer = RedirectResponse("/" + path.lstrip("/\\"), 303)
        answer.headers.append("set-cookie", self._sessions.begin())
        return answer

    def _is_token(self, given: str, visitor: str) -> bool:
        if visitor and self._tokens.wait_s(visitor):
            return False
        right = bool(self._token) and same_text(given, self._token)
        if not right and visitor:
            self._tokens.failed(visitor)
        return right

    def _page(
        self,
        headers: Headers,
        seen: Seen,
        problem: str = "",
        status: int = 401,
        wait_s: int = 0,
        *,
        retry: bool = False,
    ) -> Response:
        answer = login_page(
            headers,
            root=seen.root,
            with_password=self._password is not None,
            problem=problem,
            status=status,
            retry=retry,
        )
        if wait_s:
            answer.headers["retry-after"] = str(wait_s)
        return answer


async def read_body(receive: Receive, limit_bytes: int) -> bytes | None:
    """The body of a request; None where it is larger, or the visitor has gone."""
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > limit_bytes:
            return None
        if not message.get("more_body", False):
            return body
