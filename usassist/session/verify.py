"""Verifies a recorded session: finds what is missing, damaged or inconsistent."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from usassist.bus import EngineBody, LogReader, result_from
from usassist.errors import BusError, SessionError
from usassist.session.corrections.checking import corrections_problems
from usassist.session.identity import IdentityReport, find_identity
from usassist.session.messages import frame_line, same_frame, same_result, whole_message
from usassist.session.opening import Gap, RecordedSession, open_session
from usassist.session.text_left import EveryText, Reader, TextLeft
from usassist.sinks.files import sha256_of
from usassist.sinks.lines import result_line
from usassist.sinks.manifest import is_unchanged

__all__ = ["VerifyReport", "verify_session"]

_MAX_OF_A_KIND = 5  # lines, then a count


@dataclass(slots=True, kw_only=True)
class VerifyReport:
    """What was checked, and the problems.

    Attributes
    ----------
    frames, pictures, results, marks, messages : that could be read; pictures are decoded frames
    problems : one line each; empty where there is none
    text_looked_at : number of images that were searched for burnt-in text
    text_suspected : numbers of frames that may hold some; bright spots of tissue are among them, so it is no problem
        in itself
    text_read : numbers of frames on which a text reader read some; None where none was asked to
    identity : what was looked at outside the pixels, and what was found; None where it was not asked for
    """

    frames: int = 0
    pictures: int = 0
    results: int = 0
    marks: int = 0
    messages: int = 0
    problems: list[str] = field(default_factory=list)
    text_looked_at: int = 0
    text_suspected: list[int] = field(default_factory=list)
    text_read: list[int] | None = None
    identity: IdentityReport | None = None

    @property
    def holds_identity(self) -> bool:
        """True where identity, or something that may be, was found."""
        return bool(self.text_read) or (self.identity is not None and bool(self.identity.findings))

    def add(self, problems: list[str]) -> None:
        """Add several of one kind: the first few, and a count of the rest."""
        self.problems += problems[:_MAX_OF_A_KIND]
        if len(problems) > _MAX_OF_A_KIND:
            self.problems.append(f"… and {len(problems) - _MAX_OF_A_KIND} more of that kind")


def verify_session(
    folder: Path,
    *,
    look_for_text: bool = True,
    every_frame: bool = False,
    reader: Reader | None = None,
    look_for_identity: bool = False,
) -> VerifyReport:
    """Check everything: checksums, lines, messages, images, counts, and that every frame has a result or is a gap.

    Parameters
    ----------
    folder : of the session
    look_for_text : also search at most 200 images for burnt-in text
    every_frame : search all images
    reader : of text, which reads all images too; implies `every_frame`
    look_for_identity : also look at every text outside the pixels, see :func:`find_identity`

    Raises
    ------
    SessionError
        If the folder holds no session.
    SchemaVersionError
        If the session is of a newer major version.
    """
    session = open_session(folder)
    report = VerifyReport(frames=len(session.frames), results=len(session.results), marks=len(session.marks))
    report.problems += session.problems
    report.add(_files(session))
    _log(session, report)
    text: TextLeft | EveryText | None = None
    if every_frame or reader is not None:
        text = EveryText(reader)
    elif look_for_text:
        text = TextLeft(len(session.frames))
    _pictures(session, report, text)
    if look_for_identity:
        report.identity = find_identity(folder)
    report.add([str(gap) for gap in session.gaps if not _is_listed(session, gap)])
    report.add(_counts(session))
    report.add(_names(session))
    report.add(corrections_problems(session))
    return report


def _files(session: RecordedSession) -> list[str]:
    problems = []
    manifest = session.folder / "session.toml"
    if manifest.is_file():
        content = manifest.read_bytes()
        if session.manifest.schema >= (2, 0) and not is_unchanged(content):
            problems.append("session.toml is not what was written: its SHA-256 is another")
    for name, wanted in session.manifest.files.items():
        path = session.folder / Path(name).name
        try:
            size = path.stat().st_size
            if size != wanted.get("bytes"):
                problems.append(f"{name} has {size} bytes, and had {wanted.get('bytes')} when it was closed")
            elif sha256_of(path) != wanted.get("sha256"):
                problems.append(f"{name} is not what it was when it was closed: its SHA-256 is another")
        except FileNotFoundError:
            problems.append(f"{name} is missing")
        except OSError as error:
            problems.append(f"{name} cannot be read: {error.strerror}")
    return problems


def _log(session: RecordedSession, report: VerifyReport) -> None:
    if not (session.folder / "bus.log").is_file():
        return  # a problem of the session already
    reader = session.log()
    mismatches: list[str] = []
    frames: set[int] = set()
    results: set[int] = set()
    try:
        _messages(session, reader, frames, results, report, mismatches)
    except (SessionError, BusError) as error:
        report.problems.append(str(error))
        return
    mismatches += [f"bus.log is damaged at byte {position}" for position in reader.damaged_at]
    if reader.torn_bytes:
        mismatches.append(
            f"bus.log breaks off in the middle of a message: its last {reader.torn_bytes} bytes are left out"
        )
    report.add(mismatches)
    for topic, known, lines in (
        ("frame", frames, {line.frame_id for line in session.frames}),
        ("result", results, {item.frame_id for item in session.results}),
    ):
        report.add(
            [
                f"the {topic} message of frame {n} has no line"
                for n in sorted(known - lines)
                if not _in(session, topic, n)
            ]
        )
        report.add(
            [
                f"{topic} {n} has a line and is not in bus.log"
                for n in sorted(lines - known)
                if not _in(session, f"{topic} message", n)
            ]
        )


def _messages(
    session: RecordedSession,
    reader: LogReader,
    frames: set[int],
    results: set[int],
    report: VerifyReport,
    mismatches: list[str],
) -> None:
    """Decode every message; it must agree with its line."""
    engines: dict[str, EngineBody] = {}
    lines = {line.frame_id: line for line in session.frames}
    same = session.manifest.schema >= (2, 0)  # older ones wrote fewer keys
    with session.result_reader() as read:
        for number, record in enumerate(reader):
            report.messages += 1
            try:
                message = whole_message(record)
                name, body = message.topic.name, message.body
                if name == "engine":
                    engines[body.engine_id] = body
                elif name == "frame":
                    frames.add(body.frame_id)
                    line = lines.get(body.frame_id)
                    if same and line is not None and not same_frame(line, frame_line(message, line.file)):
                        mismatches.append(f"the line of frame {body.frame_id} in frames.jsonl differs from its message")
                elif name == "result":
                    results.add(body.frame_id)
                    said = read(body.frame_id)
                    expected = result_line(result_from(message), engines.get(body.engine_id), message.t_publish_ns)
                    if same and said is not None and not same_result(said, expected):
                        mismatches.append(
                            f"the line of frame {body.frame_id} in results.jsonl differs from its message"
                        )
                if getattr(body, "session_id", session.manifest.session_id) != session.manifest.session_id:
                    mismatches.append(f"message {number} belongs to another session, {body.session_id}")
            except BusError as error:
                mismatches.append(f"message {number} cannot be read: {error}")


def _pictures(session: RecordedSession, report: VerifyReport, text: TextLeft | EveryText | None) -> None:
    mismatches: list[str] = []
    lost = []
    for index, (line, image) in enumerate(session.images(mismatches)):
        if image is None:
            if not _in(session, "picture", line.frame_id):
                lost.append(f"frame {line.frame_id} has no image in {line.file}")
            continue
        report.pictures += 1
        x1, y1, x2, y2 = line.roi_xyxy_px
        if image.shape[:2] != (y2 - y1, x2 - x1):
            lost.append(f"frame {line.frame_id} is {image.shape[0]} x {image.shape[1]} px, unlike in its line")
        if text is not None:
            text.add(index, line.frame_id, image)
    if text is not None:
        text.end()
        report.text_looked_at, report.text_suspected = text.looked_at, text.suspected
    if isinstance(text, EveryText) and text.reader is not None:
        report.text_read = text.read
    report.add(mismatches)
    report.add(lost)


def _is_listed(session: RecordedSession, gap: Gap) -> bool:
    """True when the manifest lists this as missing."""
    if gap.last_frame_id is None:
        return False
    if all(_in(session, gap.topic, number) for number in range(gap.first_frame_id, gap.last_frame_id + 1)):
        return True
    lost = sum(
        item.last_frame_id - item.first_frame_id + 1
        for item in session.gaps
        if item.topic == gap.topic and item.last_frame_id is not None
    )
    return session.manifest.closed and lost <= session.manifest.gaps.get(gap.topic, 0)


def _in(session: RecordedSession, topic: str, number: int) -> bool:
    return any(
        item.get("topic") == topic and item["first_frame_id"] <= number <= item["last_frame_id"]
        for item in session.manifest.missing
    )


def _counts(session: RecordedSession) -> list[str]:
    manifest = session.manifest
    if not manifest.closed:
        return []
    found = {"frames": len(session.frames), "results": len(session.results), "marks": len(session.marks)}
    problems = [
        f"session.toml counts {getattr(manifest, name)} {name}, and {count} can be read"
        for name, count in found.items()
        if getattr(manifest, name) != count
    ]
    for name, numbers in (
        ("frame", [x.frame_id for x in session.frames]),
        ("result", [x.frame_id for x in session.results]),
    ):
        twice = [number for number, count in Counter(numbers).items() if count > 1]
        problems += [f"there are several lines of {name} {number}" for number in twice]
    return problems


def _names(session: RecordedSession) -> list[str]:
    """Engines of results and calibrations of frames must be in the manifest."""
    if session.manifest.state == "unknown":
        return []
    engines = {str(item.get("engine_id")) for item in session.manifest.engines}
    named = {item.engine_id for item in session.results}
    problems = [
        f"results are of the engine {name}, which session.toml does not name" for name in sorted(named - engines)
    ]
    known = {str(item.get("calibration_id")) for item in session.manifest.calibrations}
    used = {line.calibration_id for line in session.frames if line.calibration_id is not None}
    problems += [
        f"frames are of the calibration {name}, which session.toml does not name" for name in sorted(used - known)
    ]
    for item in session.manifest.calibrations:
        content = item.get("content")
        if content is not None and hashlib.sha256(content.encode("utf-8")).hexdigest() != item.get("sha256"):
            problems.append(f"the content of calibration {item.get('calibration_id')} does not match its SHA-256")
    return problems
