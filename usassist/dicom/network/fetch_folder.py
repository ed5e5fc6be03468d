"""A fetched study becomes a folder when all of it is there."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from pathlib import Path

from usassist.common.private_files import sync_folder
from usassist.dicom.network.nodes import Archive
from usassist.errors import DicomError, UsageError

__all__ = ["fetch_into"]


def fetch_into(archive: Archive, study_uid: str, folder: Path) -> int:
    """Fetch a study into a new folder, mode 0700, which is there only when the whole study is.

    Returns
    -------
    count : of objects

    Raises
    ------
    UsageError
        If `study_uid` is no UID, or the folder exists.
    ArchiveError
        See :meth:`~usassist.dicom.network.nodes.Archive.fetch`.
    DicomError
        If it cannot be written.
    """
    if not re.fullmatch(r"[0-9.]{1,64}", study_uid):
        raise UsageError(f"{study_uid} is no study instance UID; usassist pacs find shows them")
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists; name a folder that does not, or remove it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    except OSError as error:
        raise DicomError(f"{folder} cannot be made: {(error.strerror or 'error').lower()}; name another") from error
    try:
        count = archive.fetch(study_uid, temporary)
        os.rename(temporary, folder)
        sync_folder(folder.parent)
    except OSError as error:
        _remove(temporary)
        if isinstance(error, DicomError) or error.errno is None:
            raise  # it says what to do
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        said = "the disk is full" if full else (error.strerror or "error").lower()
        raise DicomError(f"{folder} was not written: {said}; name another folder") from error
    except BaseException:
        _remove(temporary)
        raise
    return count


def _remove(folder: Path) -> None:
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
