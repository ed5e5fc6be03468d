"""Files of lines, one JSON object each: read as far as they can be, and what cannot be read is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from usassist.common.wire_fields import read_fraction
from usassist.errors import SessionError

__all__ = ["LineFile", "MarkLine", "ResultKey", "read_lines"]


class ResultKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is always known of a line of ``results.jsonl``."""

    frame_id: int
    state: str
    engine_id: str
    backend: str
    t_publish_ns: int = 0
    cause: str | None = None


class MarkLine(msgspec.Struct, frozen=True, kw_only=True):
    """One line of ``marks.jsonl``: what a person has marked."""

    frame_id: int
    kind: str
    t_mark_ns: int
    t_publish_ns: int = 0


Line = TypeVar("Line")


@dataclass(slots=True, kw_only=True)
class LineFile(Generic[Line]):
    """What could be read of a file of lines.

    Attributes
    ----------
    items : the lines, in order
    spans : where each lies in the file: first byte, and the byte after its end
    damaged : numbers of lines, from 1, that could not be read, with the reason
    torn_bytes : length of a last line that has no end
    """

    items: list[Line] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    damaged: list[tuple[int, str]] = field(default_factory=list)
    torn_bytes: int = 0

    def problems(self, name: str) -> list[str]:
        """What is wrong with it, one line each."""
        lines = [f"{name} is damaged in line {number}: {reason}" for number, reason in self.damaged]
        if self.torn_bytes:
            lines.append(f"{name} breaks off in the middle of a line: its last {self.torn_bytes} bytes are left out")
        return lines


def read_lines(path: Path, kind: type[Line]) -> LineFile[Line]:
    """Read a file of lines. A line that cannot be read is left out and told.

    Parameters
    ----------
    path : of the file
    kind : struct of one line; keys that it does not know are passed over

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
                if not raw.endswith(b"\n") or not raw.strip(b"\0\n"):  # zeros: it never reached the disk
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
            f"{path.parent} has no {path.name}; usassist session repair rebuilds what the rest tells of it"
        ) from None
    except OSError as error:
        raise SessionError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error
    return found
