"""What the DICOM objects of a sweep are made of, from its recording."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from usassist import __version__
from usassist.dicom.objects.cine import divide
from usassist.dicom.objects.content import EngineUsed, Image, SweepContent, SweepFrame, Unanswered
from usassist.dicom.study import StudyContext, anonymous_study
from usassist.errors import SessionError
from usassist.records import FrameLine
from usassist.session.export.drawn_frames import draw_frames
from usassist.session.export.sweep_answers import Answers
from usassist.session.export.sweep_nodules import is_shown, sweep_nodule, sweep_run
from usassist.session.opening import RecordedSession
from usassist.session.report.made_view import point_text
from usassist.session.summary import summarise
from usassist.session.summary.document import SweepDocument, Untracked
from usassist.session.summary.moments import find_moments
from usassist.session.summary.parts import Nodule
from usassist.session.text_left import EveryText
from usassist.words import load_words

__all__ = ["sweep_content"]

_LOSSY_CODECS = r"clip, (h264|hevc|mpeg\w+|msmpeg\w+|mjpeg|vp8|vp9|av1|wmv\w+|theora)\b"


def sweep_content(
    session: RecordedSession, study: StudyContext | None = None, on_frame: Callable[[], None] = lambda: None
) -> SweepContent:
    """Read a session: all of it but the pixels, which are decoded once to see that they are there.

    Parameters
    ----------
    session : that was closed and can be read whole
    study : that the objects belong to; None = no identity, and a study UID from the session
    on_frame : called after each frame

    Raises
    ------
    SessionError
        If it is still being recorded, is damaged, or has no frame whose pixels are there.
    """
    document = summarise(session)
    lines, text_free = _readable(session, on_frame)
    frames = tuple(_frames(session, lines))
    place = {line.frame_id: index for index, line in enumerate(lines)}
    answers = Answers(session, [line.frame_id for line in lines])
    begun = _begun(session)
    found: tuple[Nodule | Untracked, ...] = (*document.nodules, *document.untracked)
    manifest, unseen = session.manifest, document.unseen
    offset = begun.astimezone().utcoffset() if study is not None else None
    return SweepContent(
        study=study or anonymous_study(manifest.session_id, begun.isoformat()),
        session_id=manifest.session_id,
        fingerprint=_fingerprint(session),
        begun_utc=begun.isoformat(),
        state=manifest.state,
        engine=_engine(session, document),
        frames=frames,
        images=functools.partial(_images, session, place),
        drawings=functools.partial(_drawings, session, place),
        answers=answers,
        nodules=tuple(sweep_nodule(item, place, answers) for item in document.nodules if is_shown(item, place)),
        untracked=tuple(sweep_run(item, place, answers) for item in document.untracked if is_shown(item, place)),
        not_shown=sum(not is_shown(item, place) for item in found),
        not_listed=document.not_listed.identities,
        parts=divide(frames),
        text_free=text_free,
        unanswered=tuple(Unanswered(name=x.name, frames=x.frames, seconds=x.seconds) for x in unseen.no_result),
        not_live=tuple(Unanswered(name=x.name, frames=x.frames, seconds=x.seconds) for x in unseen.not_live),
        answered_frames=unseen.answered_frames,
        finding_frames=unseen.finding_frames,
        no_finding_frames=unseen.no_finding_frames,
        answered_s=unseen.answered_s,
        length_s=document.sweep.length_s,
        frames_lost=unseen.frames_lost,
        pixels_lost=len(session.frames) - len(lines),
        results_lost=unseen.results_lost,
        marks=tuple(msgspec.to_builtins(item) for item in session.marks),
        utc_offset_min=0 if offset is None else round(offset.total_seconds() / 60),
        source=str(manifest.source.get("description", "")),
        source_lossy=_source_lossy(str(manifest.source.get("description", ""))),
        made_by_version=__version__,
        covered_frames=sum(bool(line.covered_xyxy_px) for line in lines),
    )


def _readable(session: RecordedSession, on_frame: Callable[[], None]) -> tuple[list[FrameLine], bool]:
    """The frames whose pixels are there, and whether the search for text found none left in them."""
    problems: list[str] = []
    text = EveryText()
    lines: list[FrameLine] = []
    for index, (line, image) in enumerate(session.images(problems)):
        _raise(session, problems)
        if image is not None:
            lines.append(line)
            text.add(index, line.frame_id, image)
        on_frame()
    _raise(session, problems)
    text.end()
    if not lines:
        raise SessionError(f"{session.folder} has no frame whose pixels can be read; run usassist session verify")
    return lines, not text.suspected


def _frames(session: RecordedSession, lines: Sequence[FrameLine]) -> Iterator[SweepFrame]:
    moments = find_moments(session.manifest, session.frames)
    first_ns = session.frames[0].t_capture_ns
    at_s = dict(zip((line.frame_id for line in session.frames), moments.t_s, strict=True))
    for line in lines:
        t_ns = round(at_s[line.frame_id] * 1e9) if moments.from_clip else line.t_capture_ns - first_ns
        x1, y1, x2, y2 = line.roi_xyxy_px
        yield SweepFrame(
            frame_id=line.frame_id,
            t_ms=t_ns / 1e6,
            hw_px=(y2 - y1, x2 - x1),
            channels=line.channels,
            spacing_rc_mm=line.spacing_rc_mm,
            spacing_rel_sd=line.spacing_rel_sd,
            calibration_id=line.calibration_id if line.spacing_rc_mm is not None else None,
            picture=str(line.picture),
            picture_reason=line.picture_reason,
        )


def _images(session: RecordedSession, place: Mapping[int, int]) -> Iterator[tuple[int, Image]]:
    problems: list[str] = []
    for line, image in session.images(problems):
        if line.frame_id in place:
            if image is None or problems:
                _raise(session, problems or [f"the pixels of frame {line.frame_id} have gone"])
            assert image is not None
            yield place[line.frame_id], image


def _drawings(session: RecordedSession, place: Mapping[int, int]) -> Iterator[tuple[int, Image]]:
    problems: list[str] = []
    for frame_id, image in draw_frames(session, problems):
        if frame_id in place:
            yield place[frame_id], image


def _raise(session: RecordedSession, problems: Sequence[str]) -> None:
    if problems:
        raise SessionError(
            f"{session.folder} is damaged: {problems[0]}; run usassist session verify, and usassist session repair"
        )


def _begun(session: RecordedSession) -> datetime:
    """When the first frame was, UTC."""
    manifest = session.manifest
    try:
        if not manifest.clock:
            return datetime.fromisoformat(manifest.created_utc)
        reading = manifest.clock[0]
        since_ns = session.frames[0].t_capture_ns - reading.t_monotonic_ns
        return datetime.fromisoformat(reading.utc) + timedelta(microseconds=since_ns // 1000)
    except ValueError as error:
        raise SessionError(
            f"{session.folder} does not say when it was recorded; run usassist session verify"
        ) from error


def _fingerprint(session: RecordedSession) -> str:
    """SHA-256 of what the lines and the manifest say."""
    digest = hashlib.sha256()
    for name in ("session.toml", "frames.jsonl", "results.jsonl", "marks.jsonl"):
        path = session.folder / name
        digest.update(f"{name}\0".encode())
        if path.is_file():
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _engine(session: RecordedSession, document: SweepDocument) -> EngineUsed:
    """The engine that was announced last."""
    tables = session.manifest.engines
    table: Mapping[str, Any] = tables[-1] if tables else {}
    engine_id, precision = str(table.get("engine_id", "")), str(table.get("precision", ""))
    artifacts = table.get("artifacts", {})
    point = document.provenance.point
    weights = artifacts.get("onnx_int8" if precision == "int8" else "onnx", "")
    return EngineUsed(
        engine_id=engine_id,
        version=engine_id.partition("@")[2],
        backend=str(table.get("backend", "")),
        precision=precision,
        intended_use=str(table.get("intended_use", "")),
        software_version=document.provenance.usassist,
        weights_sha256=str(weights),
        point=str(table.get("point") or "") if point is None else point_text(point, load_words("en", "report")),
        score_calibration_id=str(table.get("score_calibration_id") or ""),
        research_use=document.notice,
    )


def _source_lossy(description: str) -> bool | None:
    if description.startswith(("simulated scanner", "test pattern")):
        return False
    return True if re.match(_LOSSY_CODECS, description) else None
