"""JSON Lines files: read as far as they can be, with a list of what cannot."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from usassist.common.wire_fields import read_fraction
from usassist.errors import SessionError

__all__ = ["LineFile", "MarkLine", "ResultKey", "read_lines"]


class ResultKey(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of a line of ``results.jsonl`` that every version has."""

    frame_id: int
    state: str
    engine_id: str
    backend: str
    t_publish_ns: int = 0
    cause: str | None = None


class MarkLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``marks.jsonl``; the fields after ``t_publish_ns`` are those of its kind, see ``bus.MarkBody``."""

    frame_id: int
    kind: str
    t_mark_ns: int
    t_publish_ns: int = 0
    track_id: int = -1
    plane: str | None = None
    side: str | None = None
    descriptors: dict[str, tuple[str, ...]] = {}
    points_xy_px: tuple[tuple[float, float], tuple[float, float]] | None = None
    distance_mm: float | None = None


Line = TypeVar("Line")


@dataclass(slots=True, kw_only=True)
class LineFile(Generic[Line]):
    """What could be read of a JSON Lines file.

    Attributes
    ----------
    items : the lines, in order
    spans : position of each in the file: first byte, and the byte after its end
    damaged : numbers of lines, from 1, that could not be read, with the reason
    torn_bytes : length of an incomplete last line
    """

    items: list[Line] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    damaged: list[tuple[int, str]] = field(default_factory=list)
    torn_bytes: int = 0

    def problems(self, name: str) -> list[str]:
        """Its problems, one line each."""
        lines = [f"{name} is damaged in line {number}: {reason}" for number, reason in self.damaged]
        if self.torn_bytes:
            lines.append(f"{name} breaks off in the middle of a line: its last {self.torn_bytes} bytes are left out")
        return lines


def read_lines(path: Path, kind: type[Line]) -> LineFile[Line]:
    """Read a JSON Lines file. A line that cannot be read is skipped and listed.

    Parameters
    ----------
    path : of the file
    kind : type of one line; unknown keys are ignored

    Raises
    ------
    SessionError
        If there is no such file, or it cannot be read.
    """
    found: LineFile[Line] = LineFile()
    decode: Any = msgspec.json.Decoder(kind, dec_hook=read_fraction).decode
    try:
        with path.open("rb") as file:
            start = 0
            for number, raw in enumerate(file, 1):
                end = start + len(raw)
                if not raw.endswith(b"\n") or not raw.strip(b"\0\n"):  # zeros: it was never synced
                    found.torn_bytes += len(raw)
                else:
                    try:
                        found.items.append(decode(raw))
                        found.spans.append((start, end))
                    except (msgspec.DecodeError, UnicodeDecodeError) as error:
                        found.damaged.append((number, str(error)))
                start = end
    except FileNotFoundError:
        raise SessionError(
            f"{path.parent} has no {path.name}; usassist session repair rebuilds it from the other files"
        ) from None
    except OSError as error:
        raise SessionError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error
    return found
