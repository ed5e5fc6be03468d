"""The recordings in a folder, each by its manifest and the ends of its list of frames: quick, however long they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from usassist.errors import SchemaVersionError, SessionError
from usassist.session.manifest import Manifest, read_manifest
from usassist.session.opening import MARKERS

__all__ = ["ListedSession", "list_sessions"]

_TAIL_BYTES = 2**16


class _Frame(msgspec.Struct, frozen=True):
    frame_id: int
    t_capture_ns: int


_decode = msgspec.json.Decoder(_Frame).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSession:
    """One recording.

    Attributes
    ----------
    folder : it lies in
    created_utc : when it began; empty where that is not known
    duration_s : from the first frame to the last; None where no frame can be read
    frames : how many; of a recording that was not closed by the numbers of its first and last frame
    engine : name and version of the first engine; empty where there is none
    state : ``complete``, ``incomplete`` (frames or results are missing), ``not closed``, ``cannot be read``, or why the
        recording stopped
    size_bytes : of its files
    problem : why it cannot be read; empty where it can
    """

    folder: str
    created_utc: str
    duration_s: float | None
    frames: int | None
    engine: str
    state: str
    size_bytes: int
    problem: str = ""


def list_sessions(folder: Path) -> list[ListedSession]:
    """The recordings in a folder, or the one that it is, the oldest first.

    Raises
    ------
    SessionError
        If it is no folder, or cannot be read.
    """
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise SessionError(f"{folder} is {what}; name the folder that holds the recordings, usually out")
    if _is_session(folder):
        return [_listed(folder)]
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError as error:
        raise SessionError(f"{folder} cannot be read: {error.strerror}; check its permissions") from error
    found = [_listed(path) for path in inside if _is_session(path)]
    return sorted(found, key=lambda item: item.created_utc)


def _is_session(folder: Path) -> bool:
    try:
        return any((folder / name).exists() for name in MARKERS)
    except OSError:  # it may not be entered
        return True


def _listed(folder: Path) -> ListedSession:
    manifest: Manifest | None = None
    problem = ""
    try:
        manifest = read_manifest(folder)
    except (SessionError, SchemaVersionError) as error:
        problem = str(error)
    first, last = _ends(folder / "frames.jsonl")
    counted = None if first is None or last is None else last.frame_id - first.frame_id + 1
    return ListedSession(
        folder=str(folder),
        created_utc="" if manifest is None else manifest.created_utc,
        duration_s=None if first is None or last is None else (last.t_capture_ns - first.t_capture_ns) / 1e9,
        frames=manifest.frames if manifest is not None and manifest.closed else counted,
        engine=_engine(manifest),
        state=_state(manifest),
        size_bytes=_size_bytes(folder),
        problem=problem,
    )


def _engine(manifest: Manifest | None) -> str:
    if manifest is None or not manifest.engines:
        return ""
    return str(manifest.engines[0].get("engine_id", "")).partition("+")[0]


def _state(manifest: Manifest | None) -> str:
    if manifest is None:
        return "cannot be read"
    if manifest.complete:
        return "complete"
    if not manifest.closed:
        return "not closed"
    return "incomplete" if manifest.recording == "closed" else manifest.recording


def _size_bytes(folder: Path) -> int:
    try:
        return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    except OSError:
        return 0


def _ends(path: Path) -> tuple[_Frame | None, _Frame | None]:
    """The first and the last line that can be read."""
    try:
        with path.open("rb") as file:
            first = _frame(file.readline())
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]  # what has no end is not whole
    except OSError:
        return None, None
    last = next((found for line in reversed(lines) if (found := _frame(line)) is not None), None)
    return first, last


def _frame(line: bytes) -> _Frame | None:
    try:
        return _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
