"""What the viewer of slices fetches beside Gradio, and downloads. Every address holds a secret.

=============================================== =======================================================
``study/SECRET/FOLDER/overview``                the overview, JSON; see ``bundle``
``study/SECRET/FOLDER/INDEX``                   the packet of a plane
``study/SECRET/FOLDER/NAME``                    a file of the result, one of :data:`FILES`
=============================================== =======================================================
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from usassist.app.demo.studies.bundle import read_overview, read_packet
from usassist.app.demo.visits import Visits

__all__ = ["FILES", "FOLDER", "PREFIX", "RESULT", "study_routes"]

PREFIX = "study"
RESULT = "result"
"""Folder of an answer's files, in the folder of the answer."""

FILES = {
    "result.json": "application/json",
    "measurements.csv": "text/csv",
    "bodycomp.json": "application/json",
    "measures.csv": "text/csv",
    "labelmap.nii.gz": "application/gzip",
    "seg.dcm": "application/dicom",
    "report.dcm": "application/dicom",
    "montage.png": "image/png",
}
"""Files that can be downloaded, and their media types."""

FOLDER = re.compile(r"study\d+")
_HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


def study_routes(visits: Visits) -> list[Route]:
    """The routes, for the visits of one page."""

    def find(request: Request) -> Path | None:
        visit = visits.find(request.path_params["secret"])
        name = request.path_params["folder"]
        if visit is None or not FOLDER.fullmatch(name):
            return None
        folder: Path = visit.folder / name
        return folder

    async def give(request: Request) -> Response:
        return await run_in_threadpool(_give, find(request), request.path_params["name"])

    return [Route(f"/{PREFIX}/{{secret}}/{{folder}}/{{name}}", give, methods=["GET"])]


def _give(folder: Path | None, name: str) -> Response:
    try:
        if folder is None:
            raise FileNotFoundError
        if name == "overview":
            data = msgspec.json.encode(read_overview(folder))
            return Response(data, media_type="application/json", headers=_HEADERS)
        if name in FILES and (folder / RESULT / name).is_file():
            path = folder / RESULT / name
            return FileResponse(path, media_type=FILES[name], filename=f"usassist-{name}", headers=_HEADERS)
        if name.isascii() and name.isdecimal() and len(name) < 6:
            data = read_packet(folder, int(name))
            return Response(data, media_type="application/octet-stream", headers=_HEADERS)
    except (OSError, IndexError):
        pass  # it has ended, also in the middle of the request
    return PlainTextResponse("there is nothing here; the visit may have ended", status_code=404, headers=_HEADERS)
