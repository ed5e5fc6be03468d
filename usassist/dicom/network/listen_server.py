"""The server side of an association: pynetdicom's, guarded against senders that are none.

pynetdicom shakes hands over TLS in the loop that accepts connections, where one silent client would stop all others,
and reads as many bytes as the header of a PDU promises, up to 4 GiB. Both are put right here.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import ssl
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.transport import ThreadedAssociationServer

__all__ = ["MAX_PDU_BYTES", "guard_tls", "make_server"]

MAX_PDU_BYTES = 131_072  # that we allow senders, PS3.8 annex D.1
_MOST_PDU_BYTES = 1 << 20  # an association request has no limit of its own
_HEAD_BYTES = 6  # type, reserved, length: PS3.8 section 9.3.1


class _PduGuard:
    """Part of a socket: closes the connection at a PDU that promises more than any PDU has."""

    _head = b""
    _left = 0

    def recv(self, size: int = 1024, flags: int = 0) -> bytes:
        """As of a socket.

        Raises
        ------
        OSError
            At such a PDU.
        """
        data: bytes = super().recv(size, flags)  # type: ignore[misc]
        rest = data
        while rest:
            if self._left:
                taken = min(self._left, len(rest))
                self._left -= taken
            else:
                taken = min(_HEAD_BYTES - len(self._head), len(rest))
                self._head += rest[:taken]
                if len(self._head) == _HEAD_BYTES:
                    self._left, self._head = int.from_bytes(self._head[2:], "big"), b""
                if self._left > _MOST_PDU_BYTES:
                    raise OSError("a PDU of this length is none")
            rest = rest[taken:]
        return data


class _PlainSocket(_PduGuard, socket.socket):
    """A connection without TLS."""


class _TlsSocket(_PduGuard, ssl.SSLSocket):
    """A connection with TLS."""


def guard_tls(context: ssl.SSLContext) -> None:
    """Have the connections of a context guarded."""
    context.sslsocket_class = _TlsSocket


def make_server(
    entity: ApplicationEntity, address: tuple[str, int], context: ssl.SSLContext | None, handlers: list[Any]
) -> ThreadedAssociationServer:
    """A server that listens, and accepts once ``serve_forever`` runs.

    Parameters
    ----------
    entity : with its titles, contexts and timeouts
    address : host and port; port 0 = one that is free
    context : for TLS, or None
    handlers : of pynetdicom's events

    Raises
    ------
    OSError
        If the address cannot be listened on.
    """
    from pynetdicom.transport import ThreadedAssociationServer

    class Server(ThreadedAssociationServer):
        """Shakes hands in the thread of the connection."""

        daemon_threads = True
        block_on_close = False

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.connections: weakref.WeakSet[socket.socket] = weakref.WeakSet()
            super().__init__(*args, **kwargs)

        def get_request(self) -> tuple[socket.socket, Any]:
            listener: socket.socket = self.socket  # type: ignore[assignment]
            connection, client = listener.accept()
            connection.settimeout(entity.network_timeout)
            if context is None:
                timeout_s = connection.gettimeout()
                connection = _PlainSocket(fileno=connection.detach())
                connection.settimeout(timeout_s)
            else:
                connection = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            self.connections.add(connection)
            return connection, client

        def finish_request(self, request: Any, client_address: Any) -> None:
            if isinstance(request, ssl.SSLSocket):
                request.do_handshake()
            super().finish_request(request, client_address)

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A connection that fails in its handshake ends, and no other does."""
            with contextlib.suppress(OSError):
                request.close()

        def shutdown(self) -> None:
            """End accepting, close the port, and end every connection."""
            socketserver.BaseServer.shutdown(self)
            self.server_close()
            for connection in list(self.connections):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
                connection.close()

    return entity.make_server(address, evt_handlers=handlers, server_class=Server)
