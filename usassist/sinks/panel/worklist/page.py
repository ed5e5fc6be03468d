"""The page: its file, the list as JSON, the montage of a study, where a study is, and the mark that it was read.

Where a study is, is told on this machine alone: names of folders may hold identity. So the page tells it only where it
listens on this machine, asks for a secret, and is behind no proxy.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from usassist.config import PanelConfig
from usassist.sinks.panel.access import WORKLIST_PATHS
from usassist.sinks.panel.access.hosts import is_loopback
from usassist.sinks.panel.listen import check_panel
from usassist.sinks.panel.serve import run_server
from usassist.sinks.panel.worklist.watch import ListWatch
from usassist.sinks.worklist import (
    RESULTS_FOLDER,
    Mark,
    find_list,
    pending_marks,
    put_mark,
    read_places,
)
from usassist.words import languages, load_words

__all__ = ["make_worklist_app", "run_worklist_page"]

_RESULT = re.compile(r"[0-9a-f]{32}")
_TYPES = {"worklist.css": "text/css", "worklist.js": "text/javascript"}


def run_worklist_page(
    path: Path,
    config: PanelConfig,
    *,
    around: contextlib.AbstractContextManager[object] | None = None,
    on_ready: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve the page of a list until SIGINT, SIGTERM or `stop`.

    Parameters
    ----------
    path : of ``worklist.json``, of its folder of state, or of the watched folder
    config : where to listen (port 0 = any free port), and who may see the page
    around : entered before the first request, left after the last
    on_ready : called once with the URL of the page, with the token in it
    stop : set it to end

    Raises
    ------
    BusError
        If the port is in use or not permitted.
    UsageError
        If there is no list, the host is invalid, or others than those who have the secret could see the page.
    """
    check_panel(config)
    found = find_list(path)
    run_server(
        lambda: make_worklist_app(found, tells_where=tells_where(config)),
        config,
        paths=WORKLIST_PATHS,
        with_gradio=False,
        around=around,
        on_ready=on_ready,
        stop=stop,
    )


def tells_where(config: PanelConfig) -> bool:
    """Whether the page tells where studies are: only on this machine, and after a login."""
    return is_loopback(config.host) and not config.public_url and config.token


def make_worklist_app(path: Path, *, tells_where: bool) -> ASGIApp:
    """The application behind the gate.

    Parameters
    ----------
    path : of ``worklist.json``
    tells_where : it tells the paths of studies
    """
    page = _Page(path, tells_where)
    return Starlette(
        routes=[
            Route("/", page.index),
            Route("/favicon.ico", page.no_icon),
            Route("/worklist.css", page.file),
            Route("/worklist.js", page.file),
            Route("/list", page.listed),
            Route("/montage/{study}", page.montage),
            Route("/where/{study}", page.where),
            Route("/read", page.read, methods=["POST"]),
        ]
    )


class _Page:
    def __init__(self, path: Path, tells_where: bool) -> None:
        self._folder, self._tells_where = path.parent, tells_where
        self._watch = ListWatch(path)
        self._lock = threading.Lock()

    async def index(self, _: Request) -> Response:
        return Response(_text("worklist.html"), media_type="text/html")

    async def no_icon(self, _: Request) -> Response:
        return Response(status_code=204)

    async def file(self, request: Request) -> Response:
        name = request.url.path.rsplit("/", 1)[1]
        text = _text(name)
        if name == "worklist.js":
            words = {code: load_words(code, "worklist").texts for code in languages()}
            text = text.replace("@WORDS@", json.dumps(words))
        return Response(text, media_type=_TYPES[name])

    async def listed(self, request: Request) -> Response:
        return await run_in_threadpool(self._listed, request.query_params.get("seen", ""))

    def _listed(self, seen: str) -> Response:
        with self._lock:
            now = self._watch.look()
        told: dict[str, Any] = {
            "alive": now.alive,
            "age_s": round(now.age_s, 1),
            "revision": now.revision,
            "problem": now.problem,
            "pending": pending_marks(self._folder),
            "tells_where": self._tells_where,
        }
        if now.worklist is not None and now.revision != seen:
            told["list"] = now.worklist
        return Response(msgspec.json.encode(told), media_type="application/json")

    async def montage(self, request: Request) -> Response:
        path = await run_in_threadpool(self._montage, request.path_params["study"])
        if path is None:
            return PlainTextResponse("there is no picture of this study\n", 404)
        return FileResponse(path, media_type="image/png")

    def _montage(self, study: str) -> Path | None:
        with self._lock:
            now = self._watch.look()
        for row in now.worklist.studies if now.worklist is not None else ():
            if row.study == study:
                for version in reversed(row.versions):
                    path = self._folder / RESULTS_FOLDER / version.result / "montage.png"
                    if version.montage and _RESULT.fullmatch(version.result) and path.is_file():
                        return path
        return None

    async def where(self, request: Request) -> Response:
        if not self._tells_where:
            return PlainTextResponse("where a study is, is told on its own machine alone, after a login\n", 403)
        places = await run_in_threadpool(read_places, self._folder)
        place = places.get(request.path_params["study"])
        return PlainTextResponse("not known\n", 404) if place is None else PlainTextResponse(place)

    async def read(self, request: Request) -> Response:
        try:
            mark = msgspec.json.decode(await request.body(), type=Mark)
        except msgspec.DecodeError:
            return PlainTextResponse("this page does not match its server; reload it\n", 400)
        with self._lock:
            now = self._watch.look()
        if now.worklist is None or mark.study not in {row.study for row in now.worklist.studies}:
            return PlainTextResponse("this study is not in the list\n", 404)
        try:
            await run_in_threadpool(put_mark, self._folder, mark)
        except OSError as error:
            return PlainTextResponse(f"{(error.strerror or 'it cannot be written').lower()}\n", 507)
        return Response(status_code=204)


def _text(name: str) -> str:
    return resources.files("usassist.sinks.panel.worklist").joinpath(name).read_text(encoding="utf-8")
