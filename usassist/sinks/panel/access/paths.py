"""What a page's server answers; everything else of Gradio is out of reach.

Gradio's routes of version 6 that are left out on purpose: ``/gradio_api/file=…``, ``/gradio_api/proxy=…``,
``/gradio_api/upload``, ``/gradio_api/stream/…``, ``/gradio_api/process_recording``, ``/gradio_api/vibe-…``,
``/gradio_api/runs``, ``/monitoring`` and its own login.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

__all__ = ["DEMO_PATHS", "LIVE_PATHS", "WORKLIST_PATHS", "Paths"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Paths that are answered; a name that ends with ``/`` or ``=`` stands for all that begin with it.

    Attributes
    ----------
    get : with GET and HEAD
    post : with POST
    sockets : WebSockets
    kept : of `get`, what is the same for everybody and may be kept by a browser; all else is never stored
    max_body_bytes : of a request
    max_upload_bytes : of a request to one of `uploads`
    uploads : of `post`, what takes files
    """

    get: tuple[str, ...]
    post: tuple[str, ...]
    sockets: tuple[str, ...] = ()
    kept: tuple[str, ...] = ("/assets/", "/static/", "/svelte/", "/theme.css", "/favicon.ico")
    max_body_bytes: int = 2**20
    uploads: tuple[str, ...] = ()
    max_upload_bytes: int = 0

    def methods(self, path: str) -> tuple[str, ...]:
        """Methods that a path is answered with; none = it is not there."""
        return ("GET", "HEAD") * _is_in(path, self.get) + ("POST",) * _is_in(path, self.post)

    def is_socket(self, path: str) -> bool:
        """True for a WebSocket that is answered."""
        return _is_in(path, self.sockets)

    def may_be_kept(self, path: str) -> bool:
        """True where a browser may keep the answer."""
        return _is_in(path, self.kept)

    def body_limit_bytes(self, path: str) -> int:
        """The largest body of a request to a path."""
        return self.max_upload_bytes if _is_in(path, self.uploads) else self.max_body_bytes

    def with_uploads(self, max_upload_bytes: int) -> Paths:
        """The same with another largest upload."""
        return dataclasses.replace(self, max_upload_bytes=max_upload_bytes)


def _is_in(path: str, paths: tuple[str, ...]) -> bool:
    return any(path.startswith(one) if one.endswith(("/", "=")) and one != "/" else path == one for one in paths)


_PAGE = (
    "/",
    "/config",
    "/favicon.ico",
    "/gradio_api/info",
    "/gradio_api/startup-events",
    "/gradio_api/theme.css",
    "/manifest.json",
    "/robots.txt",
    "/theme.css",
    "/assets/",
    "/static/",
    "/svelte/",
    "/gradio_api/heartbeat/",
    "/gradio_api/queue/data",
    "/gradio_api/call/",
)
_EVENTS = (
    "/gradio_api/queue/join",
    "/gradio_api/run/",
    "/gradio_api/api/",
    "/gradio_api/call/",
    "/gradio_api/cancel",
    "/gradio_api/reset",
)

LIVE_PATHS = Paths(get=(*_PAGE, "/metrics", "/snapshot", "/snapshot/hold"), post=_EVENTS, sockets=("/live",))
"""The live page: events, and no file of any kind."""

DEMO_PATHS = Paths(
    get=(*_PAGE, "/gradio_api/file=", "/gradio_api/upload_progress"),
    post=(*_EVENTS, "/gradio_api/upload"),
    sockets=("/live",),
    uploads=("/gradio_api/upload",),
    max_upload_bytes=256 * 2**20,
)
"""The demo page: also uploads, and the files that Gradio made from them."""

WORKLIST_PATHS = Paths(
    get=("/", "/favicon.ico", "/worklist.css", "/worklist.js", "/list", "/montage/", "/where/"),
    post=("/read",),
    kept=(),
    max_body_bytes=2**12,
)
"""The page of a worklist, which is not made of Gradio."""
