"""A TCP proxy in a thread: it ends TLS before a server that has none, and can cut connections in the middle."""

from __future__ import annotations

import contextlib
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
        with contextlib.suppress(OSError), client:
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
            with client, socket.create_connection(("127.0.0.1", self._target_port)) as server:
                back = threading.Thread(target=self._answer, args=(server, client), daemon=True)
                back.start()
                sent = 0
                while data := client.recv(65536):
                    sent += len(data)
                    if self.cut_after_bytes is not None and sent > self.cut_after_bytes:
                        break
                    server.sendall(data)
                else:
                    server.shutdown(socket.SHUT_WR)
                    back.join()
                    return
                _end(client)
                _end(server)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if self.cut_before_answer:
                    break
                client.sendall(data)
        _end(client)


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
