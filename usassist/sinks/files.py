"""Folders and files of a session, their checksums, and errors in one line."""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from usassist.common.private_files import create_private
from usassist.errors import SessionError, UsageError, UsAssistError

__all__ = [
    "SESSION_FILES",
    "FileSums",
    "explain",
    "make_private",
    "prepare_folder",
    "reserve_file",
    "sha256_of",
    "without_path",
]

logger = logging.getLogger(__name__)

SESSION_FILES = (
    "session.toml",
    "frames.mkv",
    "frames.nut",
    "frames.jsonl",
    "results.jsonl",
    "marks.jsonl",
    "bus.log",
    "overlay.mkv",
    "summary.json",
    "corrections.jsonl",
    "session.spare",
)
_PIECE_BYTES = 2**20
_FULL = (errno.ENOSPC, errno.EDQUOT)


def prepare_folder(folder: Path) -> None:
    """Create a folder for a session, private to the user.

    Raises
    ------
    UsageError
        If it is a file.
    SessionError
        If it holds a session already, or cannot be created or written.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; give a folder for --out")
    try:
        if any((folder / name).exists() for name in SESSION_FILES):
            raise SessionError(f"{folder} already holds a session; choose another --out or move it away")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except SessionError:
        raise
    except OSError as error:
        raise SessionError(explain(folder, error)) from error


def make_private(path: Path) -> None:
    """Create an empty private file, for a library that opens it by its path.

    Raises
    ------
    SessionError
        If it exists, or cannot be created.
    """
    try:
        create_private(path).close()
    except OSError as error:
        raise SessionError(explain(path, error)) from error


def reserve_file(path: Path, count: int) -> None:
    """Create a private file that occupies `count` bytes of the disk.

    Raises
    ------
    OSError
        If there is no space for it.
    """
    with create_private(path) as file:
        try:
            os.posix_fallocate(file.fileno(), 0, count)
        except OSError:
            path.unlink()
            raise


def sha256_of(path: Path, on_piece: Callable[[int], None] | None = None) -> str:
    """SHA-256 of a file in hexadecimal digits.

    Parameters
    ----------
    path : of the file
    on_piece : called after each piece with its number of bytes
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            digest.update(piece)
            if on_piece is not None:
                on_piece(len(piece))
    return digest.hexdigest()


def explain(folder: Path, error: Exception) -> str:
    """A failure to write, as one line that ends with what to do."""
    if isinstance(error, UsAssistError):
        return str(error)
    number = getattr(error, "errno", None)
    if number in _FULL:
        return f"the disk is full: the recording in {folder} ends here; free some space and choose another --out"
    if number == errno.EROFS:
        return f"the disk of {folder} has become read-only, or was so: nothing more is recorded; choose another --out"
    if number == errno.EIO:
        return f"the disk of {folder} fails: the recording ends here; check the disk and choose another --out"
    return f"{folder} cannot be written: {getattr(error, 'strerror', None) or error}; choose another --out"


def without_path(text: str, folder: Path, name: str) -> str:
    """A text about a folder without the path of the folder, so that it can be passed on."""
    return re.sub(rf"(?<![\w/.-]){re.escape(str(folder))}(?![\w.-])", name, text)


class FileSums:
    """SHA-256 of the files of a recording; a file that is complete before the end is read in a thread of its own.

    Parameters
    ----------
    folder : of the recording
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, str] = {}
        self._threads: list[threading.Thread] = []

    def begin(self, name: str) -> None:
        """Start to read a file that is complete."""
        thread = threading.Thread(target=self._sum, args=(name,), name=f"sum of {name}", daemon=True)
        self._threads = [item for item in self._threads if item.is_alive()] + [thread]
        thread.start()

    def all(self, paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
        """``bytes`` and ``sha256`` of each file, by its name.

        Raises
        ------
        OSError
            If one cannot be read.
        """
        for thread in self._threads:
            thread.join()
        return {
            path.name: {"bytes": path.stat().st_size, "sha256": self._known.get(path.name) or sha256_of(path)}
            for path in sorted(paths)
        }

    def _sum(self, name: str) -> None:
        try:
            self._known[name] = sha256_of(self._folder / name)
        except OSError as error:  # read again at the end, where it raises
            logger.warning("%s cannot be read: %s", name, error)
