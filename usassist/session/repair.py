"""Repairs a recording that was cut off or damaged, into a new folder, and lists what was lost."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
from pathlib import Path
from typing import Any

import msgspec

from usassist.common.private_files import create_private
from usassist.records import FrameLine
from usassist.session.corrections_file import copy_corrections
from usassist.session.frame_images import open_video
from usassist.session.manifest import Manifest
from usassist.session.opening import RecordedSession, open_session
from usassist.session.salvage import Salvaged, copy_log, take_lines
from usassist.session.writing import copy_frames, new_folder, write_manifest
from usassist.sinks.files import without_path
from usassist.sinks.lines import frame_line
from usassist.sinks.manifest import calibration_tables, engine_table, id_ranges, source_table
from usassist.sources.recorded import LineMatcher, file_rate_hz

__all__ = ["repair_session"]

_VIDEO = re.compile(r"frames(?:_(\d+))?\.(?:mkv|nut)")
_COPIED = ("summary.json", "overlay.mkv")
_to_json = msgspec.json.Encoder().encode


def repair_session(folder: Path, target: Path) -> list[str]:
    """Write what can be read of a session into a new folder, and rebuild the rest from it.

    Lost lines are rebuilt from the messages, the index of the video by copying its frames, the manifest from the
    messages. The session itself is not changed.

    Parameters
    ----------
    folder : of the session
    target : a new folder

    Returns
    -------
    lost : what is missing in the new one, one line each

    Raises
    ------
    SessionError
        If the folder holds no session, or the new one cannot be written.
    SchemaVersionError
        If the session is of a newer major version.
    """
    session = open_session(folder)
    known = Salvaged(lost=list(session.problems))
    with new_folder(target) as new:
        take_lines(session, known)
        copy_log(session, known, new)
        _copy_pictures(session, known, new)
        _write_lines(known, new)
        for name in _COPIED:
            if (folder / name).is_file():
                shutil.copyfile(folder / name, new / name)
                os.chmod(new / name, 0o600)
        copy_corrections(folder, new)
        known.lost = [without_path(line, folder, "the session") for line in known.lost]
        write_manifest(new, _manifest(session, known))
    return known.lost


def _copy_pictures(session: RecordedSession, known: Salvaged, new: Path) -> None:
    """Copy the coded frames that have a line or a message; lines without one are removed."""
    there: dict[int, bytes] = {}
    for path in videos(session.folder):
        lines = sorted(
            (line for number, line in known.lines.items() if line.file in ("", path.name) and number not in there),
            key=lambda line: line.frame_id,
        )
        found: list[FrameLine] = []
        problems = _copy_one(path, new / path.name, lines, found)
        known.lost += problems
        for line in found:
            made = _to_json(frame_line(dataclasses.replace(line, file=path.name))) + b"\n"
            there[line.frame_id] = known.frames.get(line.frame_id, made)
    gone = sorted(known.lines.keys() - there.keys())
    known.lost += [f"frame {first} to {last}: no image can be read" for first, last in id_ranges(gone)]
    known.frames = there


def _copy_one(source: Path, target: Path, lines: list[FrameLine], found: list[FrameLine]) -> list[str]:
    try:
        with open_video(source) as container:
            matcher = LineMatcher(lines, file_rate_hz(container.streams.video[0]))
    except OSError as error:
        return [str(error)]
    strange = 0

    def wanted(pts_s: Any, crc32: int) -> bool:
        nonlocal strange
        index = matcher.find(pts_s)
        if index is None:
            strange += 1
            return False
        found.append(dataclasses.replace(lines[index], crc32=crc32))
        return True

    problems = copy_frames(source, target, lines, wanted)
    if strange:
        problems.append(f"{source.name}: {strange} frames are left out, because they have neither a line nor a message")
    return problems


def videos(folder: Path) -> list[Path]:
    """The video files of a recording, in order."""
    numbered = [(int(match[1] or 1), path) for path in folder.iterdir() if (match := _VIDEO.fullmatch(path.name))]
    return [path for _, path in sorted(numbered)]


def _write_lines(known: Salvaged, new: Path) -> None:
    contents = {
        "frames.jsonl": [raw for _, raw in sorted(known.frames.items())],
        "results.jsonl": [raw for _, raw in sorted(known.results.values())],
        "marks.jsonl": known.marks,
    }
    for name, lines in contents.items():
        with create_private(new / name) as file:
            file.writelines(lines)


def _manifest(session: RecordedSession, known: Salvaged) -> Manifest:
    before, body = session.manifest, known.session
    last = max([-1, *known.lines, *known.results, *known.logged["frame"]])
    first = before.cut_from["first_frame_id"] if before.cut_from else 0
    everything = set(range(first, last + 1))
    holes = {
        "frame": everything - known.frames.keys(),
        "result": everything - known.results.keys(),
        "frame message": set(known.frames) - known.logged["frame"],
        "result message": set(known.results) - known.logged["result"],
    }
    missing = [
        {"topic": topic, "first_frame_id": begin, "last_frame_id": end, "reason": "it could not be read any more"}
        for topic, numbers in holes.items()
        for begin, end in id_ranges(sorted(numbers))
    ]
    was = before.recording if before.closed else "it was not closed in order; what came after its last frame is missing"
    changes: dict[str, Any] = {
        "complete": False,
        "recording": f"repaired: {was}",
        "frames": len(known.frames),
        "results": len(known.results),
        "marks": len(known.marks),
        "repaired": tuple(known.lost) or ("nothing but its closing",),
        "missing": tuple(missing),
    }
    if body is not None and not before.session_id:
        changes |= {"session_id": body.session_id, "source": source_table(body)}
    if body is not None:
        changes["state"] = str(body.state)
    if not before.engines:
        changes["engines"] = tuple(engine_table(engine, {}) for engine in known.engines.values())
    if not before.calibrations:
        used = {line.calibration_id for line in known.lines.values() if line.calibration_id is not None}
        changes["calibrations"] = tuple(calibration_tables(used, {}))
    return dataclasses.replace(before, **changes)
