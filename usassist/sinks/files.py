"""Folders and files of a session: private, whole or not at all, and errors in one clear line."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from usassist.errors import SessionError, UsageError

__all__ = ["SESSION_FILES", "explain", "prepare_folder", "write_atomic"]

SESSION_FILES = (
    "session.toml",
    "frames.mkv",
    "frames.jsonl",
    "results.jsonl",
    "bus.log",
    "overlay.mkv",
    "summary.json",
)


def prepare_folder(folder: Path) -> None:
    """Make a folder for a session, private to the user.

    Raises
    ------
    UsageError
        If it is a file.
    SessionError
        If it holds a session already, or cannot be made or written.
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


def write_atomic(path: Path, data: bytes) -> None:
    """Write a whole file or leave it as it was; private to the user."""
    temporary = path.with_name(path.name + ".part")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def explain(folder: Path, error: Exception) -> str:
    """One line about a failure to write."""
    if isinstance(error, SessionError):
        return str(error)
    number = getattr(error, "errno", None)
    if number == errno.ENOSPC:
        return f"the disk is full: the recording in {folder} ends here; free some space and choose another --out"
    return f"{folder} cannot be written: {getattr(error, 'strerror', None) or error}; choose another --out"
