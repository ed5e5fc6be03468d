"""A web server of tests that answers every request with what it was given: a status, a type and a body."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["AnyServer", "any_server"]


class AnyServer(ThreadingHTTPServer):
    """A server that runs.

    Attributes
    ----------
    url : of its root
    answers : status, content type and body, by method; each request of a method gets the first, and the last stays
    asked : method and path of each request, in their order
    headers : of the newest request
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.answers: dict[str, list[tuple[int, str, bytes]]] = {}
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error."""


class _Handler(BaseHTTPRequestHandler):
    server: AnyServer

    def _answer(self) -> None:
        left = int(self.headers.get("Content-Length") or 0)
        while left > 0 and (piece := self.rfile.read(min(left, 65536))):
            left -= len(piece)
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.headers = dict(self.headers)
        answers = self.server.answers[self.command]
        status, kind, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if 300 <= status < 400:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def any_server() -> Iterator[AnyServer]:
    """Run a server until the block ends."""
    with AnyServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
