"""The file ``corrections.jsonl`` beside a session: what readers corrected elsewhere, one line for each import.

Recorded files are never changed by it. Lines are only added, and each holds the SHA-256 of everything before it, so
that a change is noticed. Of a frame that several imports have, the last one holds; the earlier ones stay in the file.
The file is written whole under a temporary name, so an import that is killed has never been.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

import msgspec

from usassist.common.private_files import write_atomic
from usassist.errors import SchemaVersionError, SessionError
from usassist.session.corrections.regions import Region
from usassist.session.corrections_file import CORRECTIONS_FILE

__all__ = [
    "CORRECTIONS_FILE",
    "CORRECTIONS_SCHEMA",
    "Change",
    "CorrectedFrame",
    "CorrectedOutline",
    "ImportLine",
    "ImportedFile",
    "RemovedNodule",
    "append_import",
    "current_frames",
    "read_imports",
]

CORRECTIONS_SCHEMA = (1, 0)

Change = Literal["accepted", "changed", "added"]


class ImportedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was imported. Its name is not kept.

    Attributes
    ----------
    kind : ``coco`` or ``dicom_seg``
    sha256 : of the file
    polygons : of COCO, how they were taken: along the ``edges`` of pixels, or through their ``centres``; else empty
    """

    kind: str
    sha256: str
    polygons: str = ""


class CorrectedOutline(msgspec.Struct, frozen=True, kw_only=True):
    """A nodule as the reader has it.

    Attributes
    ----------
    label_id, label : of the session's engine
    change : ``accepted``, ``changed`` or ``added``, relative to the result
    iou : intersection over union with the nodule of the result; None where it was added
    track_id : of that nodule; -1 where there is none
    area_px2 : number of its pixels
    parts : ``contour_xy_px`` (through the centres of the outermost pixels) and ``fills``, to be filled in this order
    """

    label_id: int
    label: str
    change: Change
    iou: float | None
    track_id: int
    area_px2: int
    parts: list[dict[str, Any]]


class RemovedNodule(msgspec.Struct, frozen=True, kw_only=True):
    """A nodule of the result that the reader has not: its row there, from 0, track id and score."""

    row: int
    track_id: int
    score: float


class CorrectedFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A frame as the reader has it: the full list of its nodules, and none where there is none.

    Attributes
    ----------
    frame_id : of the session
    image_hw_px : of its image
    result_state : of the result that it is compared with: ``finding``, …; ``missing`` where there is none
    outlines, removed : all nodules, and what was taken away
    state : ``corrected``
    """

    frame_id: int
    image_hw_px: tuple[int, int]
    result_state: str
    outlines: tuple[CorrectedOutline, ...]
    removed: tuple[RemovedNodule, ...] = ()
    state: str = "corrected"

    @property
    def is_untouched(self) -> bool:
        """True where nothing differs from the result."""
        return not self.removed and all(item.change == "accepted" for item in self.outlines)

    def regions(self) -> list[Region]:
        """The pixels of each outline.

        Raises
        ------
        SessionError
            If an outline is not what was written.
        """
        found = []
        for item in self.outlines:
            try:
                region = Region.of_parts(item.parts, self.image_hw_px)
            except (KeyError, TypeError, ValueError) as error:
                raise SessionError(
                    f"frame {self.frame_id} of {CORRECTIONS_FILE} is damaged: {error}; {_AGAIN}"
                ) from None
            if region is None or region.area_px2 != item.area_px2:
                raise SessionError(f"an outline of frame {self.frame_id} of {CORRECTIONS_FILE} is damaged; {_AGAIN}")
            found.append(region)
        return found


_AGAIN = "move the file away and import the corrections again"


class ImportLine(msgspec.Struct, frozen=True, kw_only=True):
    """One import.

    Attributes
    ----------
    schema : version of the line
    imported_utc : when, ISO 8601
    role : of who corrected, as the command lists them; never a name
    session_id : of the session
    engine_ids : whose results were corrected
    files : what was imported
    reviewed : True = frames without a change were looked at, too, and are accepted as they are
    untouched : number of frames that the files have and that are not in `frames`, because nothing differs
    previous_sha256 : of the bytes of the file before this line
    frames : that were corrected
    """

    schema: tuple[int, int]
    imported_utc: str
    role: str
    session_id: str
    engine_ids: tuple[str, ...]
    files: tuple[ImportedFile, ...]
    reviewed: bool
    untouched: int
    previous_sha256: str
    frames: tuple[CorrectedFrame, ...]


def read_imports(folder: Path) -> list[ImportLine]:
    """The imports of a session, in order; empty where nothing was imported.

    Raises
    ------
    SessionError
        If the file cannot be read, or is not what was written.
    SchemaVersionError
        If it is of a newer major version.
    """
    return _parse(folder, _content(folder))


def current_frames(lines: list[ImportLine]) -> dict[int, CorrectedFrame]:
    """Frame → its correction, by the last import that has it."""
    found = {frame.frame_id: frame for line in lines for frame in line.frames}
    return dict(sorted(found.items()))


def append_import(folder: Path, line: ImportLine) -> None:
    """Add a line; its `previous_sha256` is set here. The caller holds the lock.

    Raises
    ------
    SessionError
        If the file is damaged.
    OSError
        If it cannot be written; it is then as it was.
    """
    content = _content(folder)
    _parse(folder, content)
    line = msgspec.structs.replace(line, previous_sha256=hashlib.sha256(content).hexdigest())
    write_atomic(folder / CORRECTIONS_FILE, content, msgspec.json.encode(line), b"\n")


def _content(folder: Path) -> bytes:
    path = folder / CORRECTIONS_FILE
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise SessionError(f"{path} cannot be read: {error.strerror}; check its permissions") from error


def _parse(folder: Path, content: bytes) -> list[ImportLine]:
    path = folder / CORRECTIONS_FILE
    lines: list[ImportLine] = []
    digest = hashlib.sha256()
    if content and not content.endswith(b"\n"):
        raise SessionError(f"{path} breaks off in the middle of a line; {_AGAIN}")
    for number, raw in enumerate(content.splitlines(keepends=True), 1):
        try:
            schema = msgspec.json.decode(raw, type=_Schema).schema
            if schema[0] != CORRECTIONS_SCHEMA[0]:
                raise SchemaVersionError(f"{path} is of version {schema[0]}.{schema[1]}; use a newer usassist")
            line = msgspec.json.decode(raw, type=ImportLine)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise SessionError(f"{path} is damaged in line {number}: {error}; {_AGAIN}") from None
        if line.previous_sha256 != digest.hexdigest():
            raise SessionError(f"{path} was changed before line {number}: the SHA-256 is another; {_AGAIN}")
        digest.update(raw)
        lines.append(line)
    return lines


class _Schema(msgspec.Struct):
    schema: tuple[int, int]
