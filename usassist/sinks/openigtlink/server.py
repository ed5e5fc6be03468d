"""Listens for OpenIGTLink clients, and gives each of them the newest bundle."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import socket
import threading

from usassist.common.closeable import Closeable
from usassist.config import OpenIgtLinkConfig
from usassist.errors import UsageError
from usassist.sinks.openigtlink.bundle import Bundle
from usassist.sinks.openigtlink.client import Client

__all__ = ["Server", "check_port"]

_log = logging.getLogger(__name__)

_MAX_CLIENTS = 8
_JOIN_S = 1.0


class Server(Closeable):
    """Accepts clients in a thread of its own.

    Parameters
    ----------
    config : where it listens; port 0 = any free one

    Attributes
    ----------
    port : where it listens

    Raises
    ------
    UsageError
        If it cannot listen there.
    """

    def __init__(self, config: OpenIgtLinkConfig) -> None:
        self._socket = _listen(config)
        self.port = int(self._socket.getsockname()[1])
        if not _is_loopback(config.host):
            _log.warning(
                "OpenIGTLink has neither encryption nor a password: everyone who reaches the port sees the images"
            )
        self._lock = threading.Lock()
        self._clients: list[Client] = []
        self._accepted = 0
        self._thread = threading.Thread(target=self._accept, name="openigtlink", daemon=True)
        self._thread.start()

    @property
    def clients(self) -> int:
        """How many are connected."""
        with self._lock:
            self._clients = [client for client in self._clients if client.is_alive()]
            return len(self._clients)

    def publish(self, bundle: Bundle) -> None:
        """Give every client a bundle. Never waits."""
        with self._lock:
            clients = [*self._clients]
        for client in clients:
            client.offer(bundle)

    def close(self) -> None:
        """End all connections. May be called twice."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread
        self._socket.close()
        self._thread.join(_JOIN_S)
        with self._lock:
            clients, self._clients = self._clients, []
        for client in clients:
            client.close()
        for client in clients:
            client.join(_JOIN_S)

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._socket.accept()
            except OSError:
                return  # it was closed
            if self.clients >= _MAX_CLIENTS:
                _log.warning("an OpenIGTLink client was refused: %d are connected already", _MAX_CLIENTS)
                connection.close()
                continue
            self._accepted += 1
            client = Client(connection, self._accepted)
            _log.info("OpenIGTLink client %d connected from %s", self._accepted, peer[0])
            client.start()
            with self._lock:
                self._clients.append(client)


def check_port(config: OpenIgtLinkConfig) -> None:
    """Check that a server could listen, before anything else is started.

    Raises
    ------
    UsageError
        If it cannot.
    """
    _listen(config).close()


def _listen(config: OpenIgtLinkConfig) -> socket.socket:
    try:
        family, kind, proto, _, place = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, proto)
    except OSError:
        raise UsageError(f"OpenIGTLink cannot listen on {config.host}; name an address of this machine") from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(_MAX_CLIENTS)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"OpenIGTLink cannot listen on {config.host}, port {config.port} ({error.strerror}); choose another port"
        ) from None
    return listening


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
