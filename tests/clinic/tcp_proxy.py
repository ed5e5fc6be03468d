"""A TCP proxy in a thread: it ends TLS before a server that has none, and can cut connections in the middle."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator

from tests.clinic.certificates import Certificate

__all__ = ["TcpProxy", "tcp_proxy"]


class TcpProxy:
    """A proxy that runs.

    Attributes
    ----------
    port : on 127.0.0.1
    cut_after_bytes : each connection is cut when the client has sent so many bytes; None = never
    cut_before_answer : each connection is cut instead of handing back the first bytes of the server
    """

    def __init__(self, target_port: int, certificate: Certificate | None) -> None:
        self._target_port = target_port
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate.cert, certificate.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut_after_bytes: int | None = None
        self.cut_before_answer = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Hand bytes on in both directions, in one thread: a TLS connection must not be used by two at once."""
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.enter_context(client)
            if self._context is not None:
                client.settimeout(10.0)  # who does not speak TLS does not hold this thread for ever
                client = stack.enter_context(self._context.wrap_socket(client, server_side=True))
                client.settimeout(None)
            server = stack.enter_context(socket.create_connection(("127.0.0.1", self._target_port)))
            stack.callback(_end, client)
            stack.callback(_end, server)
            sent = 0
            while True:
                ready, _, _ = select.select([client, server], [], [])
                if server in ready:
                    data = server.recv(65536)
                    if not data or self.cut_before_answer:
                        return
                    client.sendall(data)
                while client in ready:
                    data = client.recv(65536)
                    sent += len(data)
                    if not data or (self.cut_after_bytes is not None and sent > self.cut_after_bytes):
                        return
                    server.sendall(data)
                    if not isinstance(client, ssl.SSLSocket) or not client.pending():
                        break


def _end(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def tcp_proxy(target_port: int, certificate: Certificate | None = None) -> Iterator[TcpProxy]:
    """Run a proxy before a port of this machine until the block ends, with TLS where a certificate is given."""
    proxy = TcpProxy(target_port, certificate)
    try:
        yield proxy
    finally:
        proxy.close()
