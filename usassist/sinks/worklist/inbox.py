"""Requests of readers to the worklist process: one small file each, so that none is lost and none is taken half.

A page writes ``inbox/NAME.json``; the process notes it in its journal, and then removes the file. After a crash between
the two it finds the file again, and the journal tells it that the mark was taken.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from pathlib import Path

import msgspec

from usassist.common.private_files import write_atomic

__all__ = ["INBOX_FOLDER", "Mark", "pending_marks", "put_mark", "take_marks"]

INBOX_FOLDER = "inbox"
_MAX_BYTES = 1000  # of a mark; it has far less


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A study was marked read, or unread again.

    Attributes
    ----------
    study : pseudonym
    is_read : False = unread again
    version : newest version that the reader was shown; 0 = it was not scored then
    """

    study: str
    is_read: bool
    version: int


def put_mark(folder: Path, mark: Mark) -> None:
    """Hand in a mark; it is on the disk when this returns.

    Parameters
    ----------
    folder : of the state of the worklist

    Raises
    ------
    OSError
        If it cannot be written.
    """
    inbox = folder / INBOX_FOLDER
    inbox.mkdir(mode=0o700, exist_ok=True)
    write_atomic(inbox / f"{time.time_ns():020d}-{secrets.token_hex(4)}.json", msgspec.json.encode(mark))


def take_marks(folder: Path) -> list[tuple[Path, Mark | None]]:
    """The marks that wait, oldest first, each with its file, which the caller removes; None = it is no mark."""
    found: list[tuple[Path, Mark | None]] = []
    for path in sorted((folder / INBOX_FOLDER).glob("*.json")):
        mark = None
        with contextlib.suppress(OSError, msgspec.DecodeError):
            if path.stat().st_size <= _MAX_BYTES:
                mark = msgspec.json.decode(path.read_bytes(), type=Mark)
        found.append((path, mark))
    return found


def pending_marks(folder: Path) -> dict[str, bool]:
    """Pseudonym → whether it is to be marked read, of the marks that the process has not taken yet."""
    return {mark.study: mark.is_read for _, mark in take_marks(folder) if mark is not None}
