"""What a reverse proxy says of a request, believed only of the proxies that were told.

``X-Forwarded-…`` and its like never reach Gradio. A request that came through a told proxy is turned into what the
visitor's browser asked for: host, scheme and path are those of the public address.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Scope

from usassist.sinks.panel.access.hosts import PublicUrl, is_loopback

__all__ = ["ProxyRules", "Seen"]

_SAYS = ("x-forwarded-", "x-real-ip", "forwarded")


@dataclass(frozen=True, slots=True)
class Seen:
    """A request as its visitor made it.

    Attributes
    ----------
    scope : of it; ``root_path`` is what the proxy has put before the paths of the page
    path : of the page
    visitor : address of who asks
    problem : why it is not answered; empty = it may be
    """

    scope: Scope
    path: str
    visitor: str
    problem: str = ""

    @property
    def root(self) -> str:
        """What stands before the paths of the page, without a slash at the end."""
        root: str = self.scope.get("root_path", "")
        return root


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyRules:
    """Which proxies are believed.

    Attributes
    ----------
    public : address of the page behind the proxy; None = there is none
    proxies : their addresses
    plain : what is sent to this server is not encrypted
    trust_all : a hosting service stands before this server, and its headers are left as they are
    """

    public: PublicUrl | None
    proxies: tuple[str, ...] = ()
    plain: bool = True
    trust_all: bool = False

    def see(self, scope: Scope) -> Seen:
        """A request or connection as its visitor made it."""
        peer = scope["client"][0] if scope.get("client") else ""
        if self.trust_all:
            return Seen(scope, scope["path"], peer)
        headers = Headers(scope=scope)
        said = headers.getlist("x-forwarded-for")
        kept = [(name, value) for name, value in scope["headers"] if not name.decode("latin-1").startswith(_SAYS)]
        scope = {**scope, "headers": kept}
        if self.public is None:
            return Seen(scope, scope["path"], peer)
        if peer not in self.proxies:
            direct = Seen(scope, scope["path"], peer)
            if self.plain and not is_loopback(peer):
                return dataclasses.replace(direct, problem=f"this page is at {self.public}")
            return direct
        if not said:  # somebody on this machine, beside the proxy
            return Seen(scope, scope["path"], peer)
        if headers.get("x-forwarded-proto", self.public.scheme) != self.public.scheme:
            return Seen(scope, scope["path"], peer, f"this page is at {self.public}")
        return self._from_outside(scope, self.public, self._visitor(said, peer))

    def _visitor(self, said: list[str], peer: str) -> str:
        """The last address in the list that no told proxy has; those before it could be invented."""
        for address in reversed([part.strip() for line in said for part in line.split(",")]):
            if address not in self.proxies:
                return address[:64]
        return peer

    def _from_outside(self, scope: Scope, public: PublicUrl, visitor: str) -> Seen:
        path = scope["path"]
        if public.path and (path == public.path or path.startswith(f"{public.path}/")):  # not taken off by the proxy
            path = path[len(public.path) :] or "/"
        web = public.scheme == "https"
        scope["scheme"] = {"http": "https", "ws": "wss"}[scope["scheme"]] if web and self.plain else scope["scheme"]
        scope["root_path"], scope["path"] = public.path, public.path + path
        scope["raw_path"] = scope["path"].encode("utf-8")
        MutableHeaders(scope=scope)["host"] = public.netloc
        return Seen(scope, path, visitor)
