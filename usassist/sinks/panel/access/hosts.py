"""Names under which the page may be asked for, and pages that may ask it."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from usassist.errors import UsageError

__all__ = ["Hosts", "PublicUrl", "is_loopback", "parse_public_url"]

_WEB = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class PublicUrl:
    """The address under which a reverse proxy offers the page.

    Attributes
    ----------
    scheme, netloc : of the address
    path : below which the page lies, without a slash at the end; empty = the root
    """

    def __init__(self, scheme: str, netloc: str, path: str) -> None:
        self.scheme, self.netloc, self.path = scheme, netloc, path

    @property
    def origin(self) -> str:
        """As browsers name the page's origin."""
        return f"{self.scheme}://{self.netloc}"

    def __str__(self) -> str:
        """The address, with a slash at the end."""
        return f"{self.origin}{self.path}/"


def parse_public_url(text: str) -> PublicUrl | None:
    """Parse the setting; None where it is empty.

    Raises
    ------
    UsageError
        If it is no address of a page.
    """
    if not text:
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    plain = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not parts.hostname or not plain or parts.query or parts.fragment or parts.username:
        raise UsageError(f"--public-url {text} is no address of a page; write https://HOST or https://HOST/PATH")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = port in (None, 443 if parts.scheme == "https" else 80)
    return PublicUrl(parts.scheme, host if default else f"{host}:{port}", parts.path.rstrip("/"))


def is_loopback(host: str) -> bool:
    """True for an address, or a name, that only this machine can reach."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Hosts:
    """Judges the headers ``Host`` and ``Origin``.

    Parameters
    ----------
    names : under which the page may be asked for, besides addresses and ``localhost``; None = any
    """

    def __init__(self, names: set[str] | None) -> None:
        self._names = None if names is None else {name.lower() for name in names} | {"localhost"}

    def is_ours(self, host: str) -> bool:
        """True for a name of this server. A foreign name can be made to resolve to it; an IP address cannot."""
        try:
            name = urlsplit(f"//{host.lower()}").hostname or ""
        except ValueError:
            return False
        if self._names is None or name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def is_own_origin(self, origin: str, scheme: str, host: str) -> bool:
        """True when the page that asks is this server's own.

        Parameters
        ----------
        origin : header of the request
        scheme : of the connection, ``http``, ``https``, ``ws`` or ``wss``
        host : header of the request
        """
        if self._names is None:  # behind a host that ends the TLS, and does not say so
            return urlsplit(origin).netloc.lower() == host.lower()
        return origin.lower() == f"{_WEB[scheme]}://{host.lower()}"
