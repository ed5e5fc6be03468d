"""Sessions of visitors: a signed cookie, so that a page that is restarted knows them again.

The value is ``ID.TIME.SIGNATURE``. A session that ends by logging out is remembered until its cookie would expire.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from usassist.sinks.panel.access.run_secrets import same_text

__all__ = ["LIFETIME_S", "Session", "Sessions"]

LIFETIME_S = 12 * 3600
"""A session ends so long after its last request, at most; see :attr:`Session.is_old`."""

_RENEW_AFTER_S = LIFETIME_S // 4
_AHEAD_S = 60
_MAX_ENDED = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """A visitor who is logged in.

    Attributes
    ----------
    id : random; the same when its cookie is renewed
    age_s : of its cookie
    """

    id: str
    age_s: float

    @property
    def is_old(self) -> bool:
        """True when the cookie is to be renewed."""
        return self.age_s > _RENEW_AFTER_S


class Sessions:
    """Makes and checks cookies.

    Parameters
    ----------
    key : signs them
    name : of the cookie. Browsers send a cookie to all ports of a host, so the port is part of it.
    path : below which browsers send it
    secure : browsers send it over TLS only
    now : clock, s since 1970
    """

    def __init__(
        self, key: bytes, *, name: str, path: str = "/", secure: bool = False, now: Callable[[], float] = time.time
    ) -> None:
        self.name = name
        self._key, self._now = key, now
        self._attributes = f"Path={path}; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
        self._ended: dict[str, float] = {}

    def begin(self, session_id: str = "") -> str:
        """A ``Set-Cookie`` that begins a session, or renews one."""
        value = f"{session_id or secrets.token_urlsafe(18)}.{int(self._now())}"
        return f"{self.name}={value}.{self._sign(value)}; Max-Age={LIFETIME_S}; {self._attributes}"

    def end(self, session: Session) -> str:
        """End a session; gives the ``Set-Cookie`` that removes the cookie."""
        now = self._now()
        self._ended = {key: at for key, at in self._ended.items() if now - at < LIFETIME_S}
        while len(self._ended) >= _MAX_ENDED:
            self._ended.pop(next(iter(self._ended)))
        self._ended[session.id] = now
        return f"{self.name}=; Max-Age=0; {self._attributes}"

    def find(self, cookies: str) -> Session | None:
        """The session of a request.

        Parameters
        ----------
        cookies : its header ``Cookie``
        """
        for pair in cookies.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == self.name and (session := self._check(value)) is not None:
                return session
        return None

    def _check(self, value: str) -> Session | None:
        signed, _, signature = value.rpartition(".")
        session_id, _, issued = signed.rpartition(".")
        if not same_text(signature, self._sign(signed)) or not issued.isdecimal() or session_id in self._ended:
            return None
        age_s = self._now() - int(issued)
        return Session(session_id, age_s) if -_AHEAD_S <= age_s < LIFETIME_S else None

    def _sign(self, value: str) -> str:
        return hmac.digest(self._key, f"{self.name}={value}".encode("utf-8", "surrogatepass"), hashlib.sha256).hex()
