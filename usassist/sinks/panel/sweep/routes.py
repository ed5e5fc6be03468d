"""Addresses of single frames: the snapshot, and the request to keep a frame for it."""

from __future__ import annotations

import re

from fastapi import FastAPI, Response
from fastapi.responses import PlainTextResponse
from starlette.concurrency import run_in_threadpool

from usassist.sinks.panel.sweep.log import SweepLog
from usassist.sinks.panel.sweep.snapshot import make_snapshot
from usassist.words import languages, load_words

__all__ = ["HOLD_PATH", "SNAPSHOT_PATH", "add_frame_routes"]

SNAPSHOT_PATH = "/snapshot"
HOLD_PATH = "/snapshot/hold"

_UNFIT = re.compile(r"[^A-Za-z0-9_-]")


def add_frame_routes(app: FastAPI, sweep: SweepLog, jpeg_quality: int) -> None:
    """Add both paths.

    ``GET /snapshot?session=ID&frame=NUMBER&language=CODE`` is answered with a PNG to be downloaded,
    ``GET /snapshot/hold?…`` keeps that frame longer, so that a page that has frozen it can still ask for it. Both are
    answered with 404 and one line where the frame is no longer kept.

    Parameters
    ----------
    app : gets the routes
    sweep : has the frames
    jpeg_quality : of the packets
    """

    async def snapshot(session: str, frame: int, language: str = "en") -> Response:
        kept = sweep.kept(session, frame)
        if kept is None:
            return _gone(session, frame)
        known = language if language in languages() else "en"
        data = await run_in_threadpool(make_snapshot, kept, jpeg_quality, language=known)
        name = f"usassist_{_UNFIT.sub('_', session)}_{frame}.png"
        headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
        return Response(data, media_type="image/png", headers=headers)

    async def hold(session: str, frame: int) -> Response:
        return Response(status_code=204) if sweep.hold(session, frame) else _gone(session, frame)

    app.add_api_route(SNAPSHOT_PATH, snapshot)
    app.add_api_route(HOLD_PATH, hold)


def _gone(session: str, frame: int) -> Response:
    words = load_words("en", "sweep")
    return PlainTextResponse(words("snapshot.gone", number=frame, session=session), status_code=404)
