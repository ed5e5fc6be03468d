"""Opens a recorded session: everything that can be read, and a line for everything that cannot."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from usassist.bus import LoggedMessage, LogReader
from usassist.errors import SessionError
from usassist.records import FrameLine
from usassist.session.frame_images import FrameImage, read_frames, read_wanted
from usassist.session.lines import LineFile, MarkLine, ResultKey, read_lines
from usassist.session.manifest import Manifest, read_manifest
from usassist.sinks.manifest import SESSION_SCHEMA, id_ranges

__all__ = ["MARKERS", "Gap", "RecordedSession", "SessionLine", "open_session"]

MARKERS = ("session.toml", "frames.jsonl", "results.jsonl", "bus.log")
"""A folder that holds one of these holds a session, or what is left of one."""

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A range of frames or results that is missing.

    Attributes
    ----------
    topic : ``frame`` or ``result``
    first_frame_id, last_frame_id : the last is None where the end is not known
    reason : one phrase
    """

    topic: str
    first_frame_id: int
    last_frame_id: int | None
    reason: str

    def __str__(self) -> str:
        """In words."""
        span = f"{self.first_frame_id} to {'the end' if self.last_frame_id is None else self.last_frame_id}"
        if self.first_frame_id == self.last_frame_id:
            span = str(self.first_frame_id)
        return f"{self.topic} {span}: {self.reason}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLine:
    """A frame and its result.

    Attributes
    ----------
    frame : its line of ``frames.jsonl``
    result : its line of ``results.jsonl``; None where it is missing
    """

    frame: FrameLine
    result: dict[str, Any] | None

    @property
    def frame_id(self) -> int:
        """Number of the frame."""
        return self.frame.frame_id


class RecordedSession:
    """A recorded session. Made by :func:`open_session`.

    Attributes
    ----------
    folder : of the session
    manifest : of ``session.toml``; mostly empty where that is lost
    frames, results, marks : lines, in order; of results only the keys that every version has
    gaps : missing frames and results
    problems : what could not be read, one line each
    """

    def __init__(self, folder: Path) -> None:
        problems: list[str] = []
        self.folder = folder
        self.manifest = _manifest(folder, problems)
        self._frames = _lines(folder / "frames.jsonl", FrameLine, problems)
        self._results = _lines(folder / "results.jsonl", ResultKey, problems)
        has_marks = self.manifest.schema >= (2, 0)
        marks = _lines(folder / "marks.jsonl", MarkLine, problems) if has_marks else LineFile()
        self.frames: tuple[FrameLine, ...] = tuple(self._frames.items)
        self.results: tuple[ResultKey, ...] = tuple(self._results.items)
        self.marks: tuple[MarkLine, ...] = tuple(marks.items)
        self._marks = marks
        self._result_at = {item.frame_id: index for index, item in enumerate(self.results)}
        missing = [] if (folder / "bus.log").is_file() else [f"{folder} has no bus.log; its messages are lost"]
        self.problems: tuple[str, ...] = (*problems, *missing)
        self.gaps: tuple[Gap, ...] = tuple(_find_gaps(self.manifest, self.frames, self.results))

    def lines(self) -> Iterator[SessionLine]:
        """Every frame with its result, in order."""
        with self.result_reader() as read:
            for frame in self.frames:
                yield SessionLine(frame=frame, result=read(frame.frame_id))

    @contextlib.contextmanager
    def result_reader(self) -> Iterator[Callable[[int], dict[str, Any] | None]]:
        """A function that returns the line of a frame's result, or None; the file is open inside the block."""
        with _opened(self.folder / "results.jsonl") as file:

            def read(frame_id: int) -> dict[str, Any] | None:
                index = self._result_at.get(frame_id)
                if index is None:
                    return None
                start, end = self._results.spans[index]
                file.seek(start)
                found: dict[str, Any] = _decode(file.read(end - start))
                return found

            yield read

    def images(self, problems: list[str] | None = None) -> Iterator[tuple[FrameLine, FrameImage | None]]:
        """Every frame with its image as it was published, in order: uint8 (H, W) or (H, W, 3) RGB.

        Parameters
        ----------
        problems : gets one line per problem; a frame whose pixels are lost comes with None
        """
        found = [] if problems is None else problems
        for file, lines in itertools.groupby(self.frames, lambda line: line.file):
            yield from read_frames(self.folder / Path(file).name, list(lines), found)

    def wanted_images(self, wanted: Container[int], problems: list[str]) -> Iterator[tuple[FrameLine, FrameImage]]:
        """Some frames with their images, in order; those whose pixels are lost do not come.

        Parameters
        ----------
        wanted : numbers of the frames
        problems : gets one line per problem with one of them
        """
        for file, group in itertools.groupby(self.frames, lambda line: line.file):
            lines = list(group)
            if any(line.frame_id in wanted for line in lines):
                yield from read_wanted(self.folder / Path(file).name, lines, wanted, problems)

    def log(self) -> LogReader:
        """The messages; damaged ones are skipped, and the reader counts them."""
        return LogReader(self.folder / "bus.log", past_damage=True)

    def messages(self) -> Iterator[LoggedMessage]:
        """The messages in the order of their arrival; see ``whole_message`` for those of frames.

        Raises
        ------
        SessionError
            If there is no log, or the file is another one.
        SchemaVersionError
            If the log is of a newer version.
        """
        return iter(self.log())

    def frame_spans(self) -> list[tuple[int, tuple[int, int]]]:
        """Of each line of ``frames.jsonl`` that can be read: its frame, and where it lies in the file."""
        return _spans(self._frames)

    def result_spans(self) -> list[tuple[int, tuple[int, int]]]:
        """As :meth:`frame_spans`, of ``results.jsonl``."""
        return _spans(self._results)

    def mark_spans(self) -> list[tuple[int, tuple[int, int]]]:
        """As :meth:`frame_spans`, of ``marks.jsonl``."""
        return _spans(self._marks)

    @property
    def duration_s(self) -> float:
        """From the first frame to the last."""
        return (self.frames[-1].t_capture_ns - self.frames[0].t_capture_ns) / 1e9 if self.frames else 0.0


def open_session(folder: Path | str) -> RecordedSession:
    """Open a recorded session. Damage or missing files do not prevent the rest from being read.

    Raises
    ------
    SessionError
        If the folder holds no session.
    SchemaVersionError
        If the session is of a newer major version.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise SessionError(f"{folder} is {what}; name the folder of a recorded session")
    if not any((folder / name).exists() for name in MARKERS):
        raise SessionError(f"{folder} holds no recorded session; name the folder of one")
    return RecordedSession(folder)


def _manifest(folder: Path, problems: list[str]) -> Manifest:
    try:
        return read_manifest(folder)
    except SessionError as error:
        problems.append(str(error))
    return Manifest(
        schema=SESSION_SCHEMA,
        session_id="",
        complete=False,
        state="unknown",
        recording="unknown",
        created_utc="",
        frames=0,
        results=0,
    )


def _lines(path: Path, kind: Any, problems: list[str]) -> LineFile[Any]:
    try:
        found = read_lines(path, kind)
    except SessionError as error:
        problems.append(str(error))
        return LineFile()
    problems.extend(found.problems(path.name))
    return found


def _spans(found: LineFile[Any]) -> list[tuple[int, tuple[int, int]]]:
    return [(item.frame_id, span) for item, span in zip(found.items, found.spans, strict=True)]


def _opened(path: Path) -> Any:
    return path.open("rb") if path.is_file() else contextlib.nullcontext()


def _find_gaps(manifest: Manifest, frames: Sequence[FrameLine], results: Sequence[ResultKey]) -> Iterator[Gap]:
    """Frame numbers that are left out, frames without a result, and what came after the end."""
    ids = sorted({line.frame_id for line in frames})
    begins_later = manifest.cut_from is not None or manifest.begun_on_request
    first = ids[0] if begins_later and ids else 0
    for before, after in itertools.pairwise([first - 1, *ids]):
        if after > before + 1:
            yield _gap(manifest, "frame", before + 1, after - 1, "it never arrived, or its line is lost")
    answered = results and {item.frame_id for item in results}
    lacking = [number for number in ids if not answered or number not in answered]
    for start, end in id_ranges(lacking):
        yield _gap(manifest, "result", start, end, "there is no result of it")
    if not manifest.closed:
        last = max(ids[-1] if ids else -1, max((item.frame_id for item in results), default=-1))
        yield Gap(
            topic="frame",
            first_frame_id=last + 1,
            last_frame_id=None,
            reason="the recording was not closed in order; what came after is missing",
        )


def _gap(manifest: Manifest, topic: str, first: int, last: int, reason: str) -> Gap:
    """With the reason of the manifest, where it lists the gap."""
    for item in manifest.missing:
        if item.get("topic") == topic and item.get("first_frame_id", first + 1) <= first <= item["last_frame_id"]:
            reason = str(item.get("reason", reason))
    return Gap(topic=topic, first_frame_id=first, last_frame_id=last, reason=reason)
