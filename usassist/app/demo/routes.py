"""What the page fetches beside Gradio: frames with their results, and downloads. Every address holds a secret.

=============================================== =======================================================
``clip/SECRET/ANSWER/overview``                 all frames with their states, JSON
``clip/SECRET/ANSWER/INDEX``                    one packet, see ``packets``
``clip/SECRET/ANSWER/results.csv``              the table of results, as ``usassist session export --csv``
``clip/SECRET/ANSWER/report-LANGUAGE.html``     the report, as ``usassist report``
=============================================== =======================================================
"""

from __future__ import annotations

import functools
import re
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from usassist.app.demo.packets import Overview, read_overview, read_packet
from usassist.app.demo.visits import Visits
from usassist.errors import UsAssistError
from usassist.session import open_session
from usassist.session.export import ExportTargets, export_session
from usassist.session.report import write_report
from usassist.words import languages

__all__ = ["PREFIX", "clip_routes"]

PREFIX = "clip"
_ANSWER = re.compile(r"answer\d+")
_REPORT = re.compile(r"report-([a-z]{2})\.html")
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def clip_routes(visits: Visits) -> list[Route]:
    """The routes, for the visits of one page."""

    def find(request: Request) -> Path | None:
        visit = visits.find(request.path_params["secret"])
        answer = request.path_params["answer"]
        if visit is None or not _ANSWER.fullmatch(answer) or not (visit.folder / answer / "player.json").is_file():
            return None
        folder: Path = visit.folder / answer
        return folder

    async def give(request: Request) -> Response:
        return await run_in_threadpool(_give, find(request), request.path_params["name"])

    return [Route(f"/{PREFIX}/{{secret}}/{{answer}}/{{name}}", give, methods=["GET"])]


def _give(folder: Path | None, name: str) -> Response:
    """One part of an answer."""
    try:
        if folder is None:
            raise FileNotFoundError
        if name == "overview":
            data = (folder / "player.json").read_bytes()
            return Response(data, media_type="application/json", headers=_HEADERS)
        if name == "results.csv":
            return _download(_write_csv(folder), "usassist-results.csv", "text/csv")
        if (match := _REPORT.fullmatch(name)) and match[1] in languages():
            return _download(_write_report(folder, match[1]), "usassist-report.html", "text/html")
        if name.isdecimal() and len(name) < 9:
            span = _overview(folder).frames[int(name)].span
            if span is not None:
                return Response(read_packet(folder, span), media_type="application/octet-stream", headers=_HEADERS)
    except (OSError, IndexError):
        pass  # it has ended, also in the middle of the request
    except UsAssistError as error:
        return PlainTextResponse(str(error), status_code=500, headers=_HEADERS)
    return PlainTextResponse("there is nothing here; the visit may have ended", status_code=404, headers=_HEADERS)


@functools.lru_cache(maxsize=32)
def _overview(folder: Path) -> Overview:
    """Of a folder, whose name is never used again."""
    return read_overview(folder)


def _write_csv(folder: Path) -> Path:
    path = folder / "results.csv"
    if not path.exists():
        export_session(open_session(folder / "session"), ExportTargets(csv=path), [])
    return path


def _write_report(folder: Path, language: str) -> Path:
    path = folder / f"report-{language}.html"
    if not path.exists():
        session = open_session(folder / "session")
        write_report(session, path, language=language, least_frames=min(5, len(session.frames)), overwrite=True)
    return path


def _download(path: Path, name: str, media_type: str) -> Response:
    return FileResponse(path, media_type=media_type, filename=name, headers=_HEADERS)
