"""The folder of state of a worklist, and the locks by which a folder of studies has one worklist process.

::

    STATE/                      mode 0700, files 0600; by default FOLDER/.usassist-worklist
    ├── worklist.json           the list, without identity
    ├── journal.jsonl           what has happened, by pseudonym
    ├── places.jsonl            pseudonym → path: names of folders may hold identity
    ├── key                     from which pseudonyms are made
    ├── inbox/                  marks of readers that were not taken yet
    └── results/KEY/            outcome of each study, its montage and masks; KEY is that of its contents
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import hmac
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec

from usassist.app.worklist.journal import Journal
from usassist.app.worklist.workers.score import UNFINISHED
from usassist.common.private_files import sweep, try_locked, write_atomic
from usassist.errors import UsageError, UsAssistError
from usassist.sinks.worklist import LIST_FILE, PLACES_FILE, RESULTS_FOLDER, STATE_FOLDER, Place, read_places

__all__ = ["StateFolder", "open_state"]

_KEY_FILE, _JOURNAL_FILE, _LOCK = "key", "journal.jsonl", "worklist"
_KEY_BYTES = 32
_FULL = (errno.ENOSPC, errno.EDQUOT)


class StateFolder:
    """What a worklist process keeps. Made by :func:`open_state`, which holds the locks.

    Attributes
    ----------
    path : of the folder
    journal : open
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._key = _read_key(path / _KEY_FILE)
        self._places = read_places(path)
        self.journal = Journal(path / _JOURNAL_FILE)

    def pseudonym(self, place: str) -> str:
        """Of the study at a place. Without the key of this folder, nobody can try names until one fits."""
        digest = hmac.digest(self._key, place.encode("utf-8", "surrogateescape"), hashlib.sha256)
        return f"S-{digest.hex()[:10]}"

    def note_place(self, study: str, path: Path) -> None:
        """Have the path of a study on the disk.

        Raises
        ------
        OSError
            If it cannot be written.
        """
        shown = os.fsencode(path).decode("utf-8", "replace")
        if self._places.get(study) == shown:
            return
        line = msgspec.json.encode(Place(study=study, path=shown))
        descriptor = os.open(self.path / PLACES_FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, b"\n" + line + b"\n")  # the line before may have been cut off
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._places[study] = shown

    def write_list(self, data: bytes) -> None:
        """Put ``worklist.json`` in place, whole or not at all.

        Raises
        ------
        OSError
            If it cannot be written; the one before stays.
        """
        write_atomic(self.path / LIST_FILE, data)

    def tidy(self) -> None:
        """Remove what killed processes left half-written."""
        sweep(self.path)
        for path in (self.path / RESULTS_FOLDER).glob(f"{UNFINISHED}*"):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def open_state(folder: Path, state: Path | None) -> Iterator[StateFolder]:
    """Be the only worklist process of a folder, and have its state.

    Parameters
    ----------
    folder : of the studies
    state : folder of state; None = inside `folder`

    Raises
    ------
    UsageError
        If `folder` is none, or `state` cannot be made there.
    UsAssistError
        If another process watches it, or the state cannot be read or written.
    """
    path = folder / STATE_FOLDER if state is None else state
    try:
        if not folder.is_dir():
            raise UsageError(f"{folder} is no folder; name the folder that holds the studies")
        with _alone(folder), _made(path, asked=state is not None), try_locked(path, _LOCK) as free:
            if not free:
                raise UsAssistError(f"another worklist uses the state in {path}; end it, or give another --state")
            opened = StateFolder(path)
            try:
                opened.tidy()
                yield opened
            finally:
                opened.journal.close()
    except OSError as error:
        if isinstance(error, UsAssistError):
            raise
        if error.errno in _FULL:
            raise UsAssistError(f"the disk of {path} is full; free some space, or give --state DIR") from error
        reason = (error.strerror or "unknown reason").lower()
        raise UsAssistError(f"{path} cannot be used: {reason}; check it, or give --state DIR") from error


@contextlib.contextmanager
def _made(path: Path, *, asked: bool) -> Iterator[None]:
    try:
        for part in (path, path / RESULTS_FOLDER, path / "inbox"):
            part.mkdir(mode=0o700, parents=asked and part is path, exist_ok=True)
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM) and not asked:
            raise UsageError(f"{path.parent} cannot be written; give --state DIR, a folder for the state") from error
        raise
    status = path.stat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise UsageError(f"others may open {path}, which tells where studies are; run: chmod 700 {path}")
    yield


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock the folder itself, so that a second process with another --state is seen too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsAssistError(f"another worklist process watches {folder}; end it first") from None
        except OSError:
            pass  # some network file systems lock no folders; the lock of the state remains
        yield
    finally:
        os.close(descriptor)


def _read_key(path: Path) -> bytes:
    with contextlib.suppress(FileNotFoundError):
        key = path.read_bytes()
        if len(key) == _KEY_BYTES:
            return key
        raise UsAssistError(f"{path} is damaged; move the whole folder of state away: studies are then scored again")
    key = secrets.token_bytes(_KEY_BYTES)
    write_atomic(path, key)
    return key
