"""Collects what can still be read of a recorded session, from its lines and its messages."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from usassist.bus import EngineBody, Message, MessageLogWriter, SessionBody, result_from
from usassist.errors import BusError, SessionError
from usassist.records import FrameLine
from usassist.session.messages import frame_line, same_frame, same_result, whole_message
from usassist.session.opening import RecordedSession
from usassist.sinks.lines import mark_line, result_line

__all__ = ["Salvaged", "copy_log", "take_lines"]

_to_json = msgspec.json.Encoder().encode


@dataclass(slots=True, kw_only=True)
class Salvaged:
    """What could be read of a session.

    Attributes
    ----------
    frames, results : by frame id, one line each, with its end
    marks : lines
    lines : of each frame; the file is empty where it is not known
    logged : numbers of the frames and results that are in the log
    lost : what is missing, one line each
    """

    frames: dict[int, bytes] = field(default_factory=dict)
    results: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    marks: list[bytes] = field(default_factory=list)
    lines: dict[int, FrameLine] = field(default_factory=dict)
    logged: dict[str, set[int]] = field(default_factory=lambda: {"frame": set(), "result": set()})
    engines: dict[tuple[str, str], EngineBody] = field(default_factory=dict)
    engine: dict[str, EngineBody] = field(default_factory=dict)
    session: SessionBody | None = None
    lost: list[str] = field(default_factory=list)


def take_lines(session: RecordedSession, known: Salvaged) -> None:
    """Take the lines as they are."""
    for raw, line in _raw(session.folder / "frames.jsonl", session.frame_spans(), session.frames):
        known.frames.setdefault(line.frame_id, raw)
        known.lines.setdefault(line.frame_id, line)
    for raw, key in _raw(session.folder / "results.jsonl", session.result_spans(), session.results):
        known.results.setdefault(key.frame_id, (key.t_publish_ns, raw))
    known.marks = [raw for raw, _ in _raw(session.folder / "marks.jsonl", session.mark_spans(), session.marks)]


def _raw(path: Path, spans: list[tuple[int, tuple[int, int]]], items: tuple[Any, ...]) -> Any:
    if not path.is_file():
        return
    with path.open("rb") as file:
        for (_, (start, end)), item in zip(spans, items, strict=True):
            file.seek(start)
            yield file.read(end - start), item


def copy_log(session: RecordedSession, known: Salvaged, new: Path) -> None:
    """Copy every whole message, and take from it what no line has."""
    log, trusted = session.log(), session.manifest.schema >= (2, 0)
    with MessageLogWriter(new / "bus.log") as copy:
        try:
            for record in log:
                try:
                    message = whole_message(record)
                except BusError as error:
                    known.lost.append(f"a message that cannot be read is left out: {error}")
                    continue
                copy.append(record.data, without_pixels=record.without_pixels)
                _take_message(message, known, has_marks=bool(session.marks), trusted=trusted)
        except (SessionError, BusError) as error:
            if (session.folder / "bus.log").is_file():  # else that is a problem of the session already
                known.lost.append(str(error))
    known.lost += [f"bus.log was damaged at byte {position}; a message is lost there" for position in log.damaged_at]
    if log.torn_bytes:
        known.lost.append(f"bus.log broke off in the middle of a message of {log.torn_bytes} bytes or more")


def _take_message(message: Message, known: Salvaged, *, has_marks: bool, trusted: bool) -> None:
    """Take in a message. `trusted`: it wins over its line, which has no checksum; older lines had other keys."""
    name, body = message.topic.name, message.body
    if name in known.logged:
        known.logged[name].add(body.frame_id)
    if name == "engine":
        known.engine[body.engine_id] = body
        known.engines.setdefault((body.engine_id, body.backend), body)
    elif name == "session":
        known.session = body
    elif name == "frame":
        line = known.lines.get(body.frame_id)
        expected = frame_line(message, "" if line is None else line.file)
        same = line is not None and same_frame(line, expected)
        if line is not None and not same and trusted:
            known.lost.append(f"the line of frame {body.frame_id} was damaged and is rebuilt from its message")
            del known.frames[body.frame_id]
            expected = dataclasses.replace(expected, covered_xyxy_px=line.covered_xyxy_px or expected.covered_xyxy_px)
        if line is None or (trusted and not same):
            known.lines[body.frame_id] = expected
    elif name == "result":
        before = known.results.get(body.frame_id)
        made = result_line(result_from(message), known.engine.get(body.engine_id), message.t_publish_ns)
        same = before is not None and same_result(json.loads(before[1]), made)
        if before is not None and trusted and not same:
            known.lost.append(f"the line of result {body.frame_id} was damaged and is rebuilt from its message")
        if before is None or (trusted and not same):
            known.results[body.frame_id] = message.t_publish_ns, _to_json(made) + b"\n"
    elif name == "mark" and not has_marks:
        known.marks.append(_to_json(mark_line(body, message.t_publish_ns)) + b"\n")
