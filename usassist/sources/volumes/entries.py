"""The files of an input: a folder, one file, or the members of a zip.

A member of a zip is unpacked when it is opened, into a file without a name that goes when it is closed: no path of the
archive is ever written to, and nothing is left behind. Names of files may name a patient, so no message quotes them.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, BinaryIO, cast

from usassist.errors import SourceError, SourceFormatError, UsageError

__all__ = ["Entry", "find_entries", "is_nifti_name"]

_MAX_FILES = 50_000
_MAX_MEMBER_BYTES = 4 << 30
_MAX_TOTAL_BYTES = 32 << 30
_MAX_RATIO = 400  # of unpacked to packed; of images of air about 100, of a zip bomb 1000
_RATIO_FROM_BYTES = 1 << 20
_IN_MEMORY_BYTES = 16 << 20
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an input.

    Attributes
    ----------
    path : the file, or the zip that it is a member of
    member : name in the zip; None for a file
    archive : the zip, open; its members share it
    """

    path: Path
    member: str | None = None
    archive: zipfile.ZipFile | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Path, or path and member. May name a patient."""
        return str(self.path) if self.member is None else f"{self.path}!{self.member}"

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """The file, at its start; it can be moved in.

        Raises
        ------
        OSError
            If it cannot be read.
        SourceFormatError
            If the member is damaged, locked with a password, or larger than its zip states.
        """
        if self.archive is None:
            with self.path.open("rb") as file:
                yield file
            return
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as unpacked:
            self._unpack(self.archive, cast("IO[bytes]", unpacked))
            unpacked.seek(0)
            yield cast("BinaryIO", unpacked)

    def _unpack(self, archive: zipfile.ZipFile, target: IO[bytes]) -> None:
        try:
            info = archive.getinfo(self.member or "")
            left = info.file_size
            with archive.open(info) as packed:
                while chunk := packed.read(min(_CHUNK, left + 1)):
                    left -= len(chunk)
                    if left < 0:
                        raise SourceFormatError("is larger than its zip states")
                    target.write(chunk)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError):
            raise SourceFormatError("cannot be unpacked (the zip is damaged, or locked with a password)") from None


def find_entries(path: Path) -> list[Entry]:
    """The files of an input, in the order of their names; hidden files and DICOMDIR are left out.

    Raises
    ------
    UsageError
        If there is no such file or folder.
    SourceError, SourceFormatError
        If it cannot be read, is empty, or a zip that is damaged or unpacks to more than is plausible.
    """
    if not path.exists():
        raise UsageError(f"{path} does not exist; name a folder, a DICOM file, a zip or a NIfTI file")
    try:
        if path.is_dir():
            entries = _of_folder(path)
        elif zipfile.is_zipfile(path):
            entries = _of_zip(path)
        elif path.is_file():
            entries = [Entry(path)]
        else:
            raise UsageError(f"{path} is no plain file; name a folder, a DICOM file, a zip or a NIfTI file")
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    if not entries:
        raise SourceFormatError(f"{path} holds no files; name the folder with the images")
    return entries


def is_nifti_name(name: str) -> bool:
    """True for the names that NIfTI files of one part have."""
    return name.lower().endswith((".nii", ".nii.gz"))


def _of_folder(folder: Path) -> list[Entry]:
    found: list[Entry] = []

    def fail(error: OSError) -> None:
        raise error

    for parent, folders, names in os.walk(folder, onerror=fail):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(parent, name)
            if _is_wanted(name) and path.is_file():
                found.append(Entry(path))
        if len(found) > _MAX_FILES:
            raise SourceFormatError(f"{folder} holds more than {_MAX_FILES} files; name the folder of one study")
    return found


def _of_zip(path: Path) -> list[Entry]:
    try:
        archive = zipfile.ZipFile(path)  # closes itself when the last entry is gone
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError):
        raise SourceFormatError(f"{path.name} is a damaged zip; pack or copy it again") from None
    infos = [info for info in archive.infolist() if not info.is_dir()]
    if len(infos) > _MAX_FILES:
        raise SourceFormatError(f"{path.name} holds more than {_MAX_FILES} files; pack one study")
    if sum(info.file_size for info in infos) > _MAX_TOTAL_BYTES:
        raise SourceFormatError(f"{path.name} unpacks to more than {_MAX_TOTAL_BYTES >> 30} GB; pack one study")
    for info in infos:
        ratio = info.file_size / max(1, info.compress_size)
        if info.file_size > _MAX_MEMBER_BYTES or (info.file_size > _RATIO_FROM_BYTES and ratio > _MAX_RATIO):
            raise SourceFormatError(
                f"{path.name} holds a file that unpacks to {info.file_size >> 20} MB, {ratio:.0f} times its packed "
                "size, which no image does; it was not unpacked"
            )
    names = (info.filename for info in infos)
    return [Entry(path, name, archive) for name in sorted(names) if all(map(_is_wanted, name.split("/")))]


def _is_wanted(name: str) -> bool:
    return not name.startswith(".") and name.upper() != "DICOMDIR" and name != "__MACOSX"
