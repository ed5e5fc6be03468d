"""The folder that received and fetched studies go to.

::

    FOLDER/                     mode 0700, files 0600
    ├── incoming/STUDY/         objects of a study that is being received, or was cut off
    └── studies/STUDY/          objects of a study that is complete: OBJECT.dcm

STUDY is the Study Instance UID and OBJECT the SOP Instance UID, or a hash where one is no UID; nothing here is named
after a person. A file appears under its name when all of it is on the disk, so whoever answers "success" after
:meth:`StudyStore.keep` has told the truth, whatever happens next. A study moves when its sender is done with it;
objects that come later join it the same way.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from usassist.common.private_files import locked, sweep, sync_folder, try_locked, write_atomic
from usassist.errors import DifferentObjectError, StoreError, StoreFullError

__all__ = ["INCOMING", "STUDIES", "StudyStore", "Unfinished", "data_set_start", "uid_name"]

INCOMING, STUDIES = "incoming", "studies"
_ENDED = ".ended"  # in incoming/STUDY: its last sender said goodbye, so it may be moved after a restart
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_MAX_UID = 64  # characters, PS3.5 section 9.1
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A study of which only a part has arrived.

    Attributes
    ----------
    folder : of its objects
    count : of its objects
    """

    folder: Path
    count: int


class StudyStore:
    """A folder of studies. Several processes and threads may write into it.

    Parameters
    ----------
    folder : made where it is missing, with mode 0700

    Raises
    ------
    StoreError
        If it cannot be made, or others may read it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with _told(folder):
            for part in (folder, folder / INCOMING, folder / STUDIES):
                part.mkdir(mode=0o700, parents=part is folder, exist_ok=True)
            status = folder.stat()
        if status.st_uid != os.getuid() or status.st_mode & 0o077:
            raise StoreError(
                f"others may open {folder}, and studies name patients; run: chmod 700 {folder}, or name another folder"
            )

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Be the only receiver of this folder until the block ends.

        Raises
        ------
        StoreError
            If another process is.
        """
        with _told(self.folder), try_locked(self.folder, "receiver") as free:
            if not free:
                raise StoreError(
                    f"another usassist pacs listen receives into {self.folder}; end it, or name another folder"
                )
            yield

    def keep(self, study_uid: str, sop_uid: str, *parts: bytes) -> bool:
        """Put an object on the disk, under `incoming/`.

        Parameters
        ----------
        study_uid, sop_uid : of the object; neither may be empty
        parts : the file, with preamble and meta header

        Returns
        -------
        is_new : False where the study holds the same data set already, which is not written again

        Raises
        ------
        DifferentObjectError
            If the study holds another data set under this SOP Instance UID. What was there stays.
        StoreFullError
            If the disk is full; nothing of the object stays behind.
        StoreError
            If it cannot be written.
        """
        if not study_uid or not sop_uid:
            raise StoreError("an object without Study or SOP Instance UID cannot be kept; send it with both")
        study, name = uid_name(study_uid), f"{uid_name(sop_uid)}.dcm"
        incoming = self.folder / INCOMING / study
        with _told(self.folder), self._locked(study):
            for held in (self.folder / STUDIES / study / name, incoming / name):
                if held.exists():
                    if _same_data_set(held, parts):
                        return False
                    raise DifferentObjectError(
                        f"object {sop_uid} is here with other content; move {held.parent} away to receive it again"
                    )
            if not incoming.exists():
                incoming.mkdir(mode=0o700)
                sync_folder(incoming.parent)
            if (incoming / _ENDED).exists():
                (incoming / _ENDED).unlink()
            write_atomic(incoming / name, *parts, replace=False)
        return True

    def end(self, study_uid: str) -> None:
        """Note on the disk that the sender of a study is done with it, so that a restart may complete it.

        Raises
        ------
        StoreError
            If that cannot be written.
        """
        study = uid_name(study_uid)
        incoming = self.folder / INCOMING / study
        with _told(self.folder), self._locked(study):
            if incoming.exists():
                write_atomic(incoming / _ENDED)

    def complete(self, study_uid: str) -> Path:
        """Move what has arrived of a study to `studies/`, where others look for it.

        Returns
        -------
        folder : of the study

        Raises
        ------
        StoreError
            If nothing of it is here, or it cannot be moved.
        """
        return self._complete(uid_name(study_uid))

    def unfinished(self) -> list[Unfinished]:
        """Studies of which only a part has arrived, by name. Those of a live sender are among them."""
        with _told(self.folder):
            return [
                Unfinished(folder=folder, count=sum(1 for _ in folder.glob("*.dcm")))
                for folder in sorted((self.folder / INCOMING).iterdir())
                if folder.is_dir()
            ]

    def recover(self) -> list[Path]:
        """After a start: remove half-written files, and complete the studies whose sender was done.

        Returns
        -------
        folders : of the studies that were completed
        """
        done: list[Path] = []
        with _told(self.folder):
            for folder in sorted((self.folder / INCOMING).iterdir()):
                if not folder.is_dir():
                    continue
                sweep(folder)
                if (folder / _ENDED).exists():
                    done.append(self._complete(folder.name))
                elif not any(folder.iterdir()):
                    folder.rmdir()
        return done

    def _complete(self, study: str) -> Path:
        incoming, folder = self.folder / INCOMING / study, self.folder / STUDIES / study
        with _told(self.folder), self._locked(study):
            if not incoming.exists():
                if folder.exists():
                    return folder
                raise StoreError(f"nothing of study {study} has arrived in {self.folder}; send it")
            (incoming / _ENDED).unlink(missing_ok=True)
            if not folder.exists():
                os.rename(incoming, folder)
            else:
                for path in sorted(incoming.glob("*.dcm")):
                    os.rename(path, folder / path.name)  # keep() has seen that none of this name is there
                sync_folder(folder)
                incoming.rmdir()
            sync_folder(folder.parent)
            sync_folder(incoming.parent)
        return folder

    def _locked(self, study: str) -> contextlib.AbstractContextManager[None]:
        return locked(self.folder / INCOMING, study, lambda: None)


def uid_name(uid: str) -> str:
    """Name of a file or folder for a UID: the UID itself, or a hash of what is none (PS3.5 section 9.1)."""
    if len(uid) <= _MAX_UID and _UID.fullmatch(uid):
        return uid
    return "x" + hashlib.sha256(uid.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def data_set_start(file: BinaryIO) -> int:
    """Offset of the data set in a DICOM file, behind preamble and meta header (PS3.10 section 7.1); 0 without these."""
    file.seek(0)
    head = file.read(144)
    if head[128:132] != b"DICM" or head[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        return 0
    return 144 + int.from_bytes(head[140:144], "little")


def _same_data_set(path: Path, parts: tuple[bytes, ...]) -> bool:
    """True when a file and a new one hold the same data set; their meta headers name who wrote them and may differ."""
    with path.open("rb") as file:
        start = data_set_start(file)
        file.seek(0, os.SEEK_END)
        held_bytes = file.tell() - start
        file.seek(start)
        skip = _start_of(parts)
        if sum(len(part) for part in parts) - skip != held_bytes:
            return False
        for part in parts:
            view = memoryview(part)[skip:]
            skip = max(0, skip - len(part))
            for at in range(0, len(view), _PIECE_BYTES):
                piece = view[at : at + _PIECE_BYTES]
                if file.read(len(piece)) != piece:
                    return False
    return True


def _start_of(parts: tuple[bytes, ...]) -> int:
    head = b"".join(part[:144] for part in parts[:3])[:144]
    if head[128:132] != b"DICM" or head[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        return 0
    return 144 + int.from_bytes(head[140:144], "little")


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What the system refuses, as one line."""
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise StoreFullError(f"the disk of {folder} is full; free some space, and send again") from error
        reason = (error.strerror or "unknown reason").lower()
        raise StoreError(f"{folder} cannot be used: {reason}; name another folder, or check this one") from error
