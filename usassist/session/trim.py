"""Trims a recorded session: a part of it as a new session."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from pathlib import Path
from typing import Any

from usassist.bus import LoggedMessage, MessageLogWriter
from usassist.errors import BusError, SessionError, UsageError
from usassist.session.corrections_file import copy_corrections
from usassist.session.frame_images import open_video
from usassist.session.messages import whole_message
from usassist.session.opening import RecordedSession, open_session
from usassist.session.writing import copy_frames, new_folder, write_manifest
from usassist.sources.recorded import LineMatcher, file_rate_hz

__all__ = ["parse_moment", "trim_session"]

_ROUNDING_NS = 500_000  # seconds are given to the millisecond
_BY_FRAME = ("frame", "result", "mark")


def parse_moment(session: RecordedSession, text: str, *, last: bool) -> int:
    """A frame number: ``120``, or the frame at so many seconds from the first: ``4.5s``.

    Parameters
    ----------
    session : opened
    text : as given by the user
    last : the last frame up to that time, instead of the first from it on

    Raises
    ------
    UsageError
        If it is neither.
    """
    try:
        if not text.endswith("s"):
            return int(text)
        t_ns = session.frames[0].t_capture_ns + round(float(text[:-1]) * 1e9)
    except (ValueError, OverflowError):
        raise UsageError(f"{text!r} is neither; give a frame number, or seconds like 4.5s") from None
    before = [line.frame_id for line in session.frames if line.t_capture_ns <= t_ns + _ROUNDING_NS]
    after = [line.frame_id for line in session.frames if line.t_capture_ns >= t_ns - _ROUNDING_NS]
    found = (before or [session.frames[0].frame_id])[-1] if last else (after or [session.frames[-1].frame_id])[0]
    return found


def trim_session(folder: Path, begin: str | None, end: str | None, target: Path) -> dict[str, Any]:
    """Write a new session with some of the frames of another, and their results, marks and messages.

    Coded frames and messages are copied unchanged. Frames keep their numbers and times.

    Parameters
    ----------
    folder : of the session, which is not changed
    begin, end : first and last frame, see :func:`parse_moment`; None = from the first, to the last
    target : a new folder

    Returns
    -------
    counts : ``frames``, ``results``, ``marks``, ``first_frame_id``, ``last_frame_id``

    Raises
    ------
    UsageError
        If there is no such frame.
    SessionError
        If the session cannot be read, or the new one cannot be written.
    """
    session = open_session(folder)
    if not session.frames:
        raise SessionError(f"{folder} holds no frame that can be read; there is nothing to cut")
    first = session.frames[0].frame_id if begin is None else parse_moment(session, begin, last=False)
    last = session.frames[-1].frame_id if end is None else parse_moment(session, end, last=True)
    kept = [line for line in session.frames if first <= line.frame_id <= last]
    if not kept:
        known = f"{session.frames[0].frame_id} to {session.frames[-1].frame_id}"
        raise UsageError(f"no frame lies in {first} to {last}; the session has {known}")
    with new_folder(target) as new:
        problems = _copy_frames(session, first, last, new)
        results = _copy_lines(session.folder, "results.jsonl", session.result_spans(), first, last, new)
        marks = _copy_lines(session.folder, "marks.jsonl", session.mark_spans(), first, last, new)
        _copy_lines(session.folder, "frames.jsonl", session.frame_spans(), first, last, new)
        _copy_log(session, first, last, (kept[0].t_capture_ns, _end_ns(session, last)), new)
        copy_corrections(folder, new)
        if problems:
            raise SessionError(f"{problems[0]}; repair the session first: usassist session repair {folder}")
        counts: dict[str, Any] = {"frames": len(kept), "results": results, "marks": marks}
        write_manifest(new, _manifest(session, first, last, counts))
    return counts | {"first_frame_id": kept[0].frame_id, "last_frame_id": kept[-1].frame_id}


def _copy_frames(session: RecordedSession, first: int, last: int, new: Path) -> list[str]:
    problems: list[str] = []
    for name, group in itertools.groupby(session.frames, lambda line: line.file):
        lines = list(group)
        source = session.folder / Path(name).name
        with open_video(source) as container:
            matcher = LineMatcher(lines, file_rate_hz(container.streams.video[0]))

        def wanted(pts_s: Any, _crc32: int, matcher: LineMatcher = matcher, lines: list[Any] = lines) -> bool:
            index = matcher.find(pts_s)
            return index is not None and first <= lines[index].frame_id <= last

        if any(first <= line.frame_id <= last for line in lines):
            problems += copy_frames(source, new / source.name, lines, wanted)
    return problems


def _copy_lines(
    folder: Path, name: str, spans: list[tuple[int, tuple[int, int]]], first: int, last: int, new: Path
) -> int:
    """Copy the lines of frames in a range; returns how many."""
    count = 0
    target = new / name
    target.touch(mode=0o600)
    if not (folder / name).is_file():
        return 0
    with (folder / name).open("rb") as source, target.open("wb") as copy:
        for frame_id, (start, end) in spans:
            if first <= frame_id <= last:
                source.seek(start)
                copy.write(source.read(end - start))
                count += 1
    return count


def _copy_log(session: RecordedSession, first: int, last: int, span_ns: tuple[int, int], new: Path) -> None:
    """Copy the messages of the frames, the others of that time, and the last ``engine`` and ``session`` before it."""
    before: dict[str, LoggedMessage] = {}
    with MessageLogWriter(new / "bus.log") as log:
        for record in session.messages():
            try:
                message = whole_message(record)
            except BusError as error:
                raise SessionError(f"a message cannot be read: {error}; repair the session first") from error
            name = message.topic.name
            if name in _BY_FRAME:
                if not first <= message.body.frame_id <= last:
                    continue
            elif message.t_publish_ns > span_ns[1]:
                continue
            elif message.t_publish_ns < span_ns[0]:
                if name in ("engine", "session"):
                    before[name] = record
                continue
            for earlier in before.values():
                log.append(earlier.data, without_pixels=earlier.without_pixels)
            before = {}
            log.append(record.data, without_pixels=record.without_pixels)


def _end_ns(session: RecordedSession, last: int) -> int:
    """When the last result of the part was published, monotonic ns."""
    times = [item.t_publish_ns for item in session.results if item.frame_id <= last]
    return max([*times, *(line.t_capture_ns for line in session.frames if line.frame_id <= last)])


def _manifest(session: RecordedSession, first: int, last: int, counts: dict[str, Any]) -> Any:
    manifest = session.manifest
    path = session.folder / "session.toml"
    return dataclasses.replace(
        manifest,
        **counts,
        recording="closed" if manifest.recording == "closed" else f"cut out of a recording: {manifest.recording}",
        cut_from={
            "session_id": manifest.session_id,
            "frames": len(session.frames),
            "first_frame_id": first,
            "last_frame_id": last,
            "manifest_sha256": hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None,
        },
        missing=tuple(
            item for item in manifest.missing if item["first_frame_id"] <= last and item["last_frame_id"] >= first
        ),
    )
