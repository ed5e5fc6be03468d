"""What a study is, whatever its files are called: a key of its contents, by which it is known again.

The key is a digest of the sorted digests of all files, a zip being the files in it, together with the hashes of the
series UIDs. So a study that was moved, renamed, copied or zipped has the same key, and one that has grown, or whose
pixels were changed under the same UIDs, has another.
"""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from usassist.app.worklist.units import Unit, content_files, is_ignored
from usassist.errors import SourceError

__all__ = ["Content", "read_content"]

_TAGS = [0x0020000D, 0x0020000E]  # Study and Series Instance UID
_GROUPS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")  # a data set without preamble begins with one of these
_HEAD_BYTES = 1 << 18  # the UIDs lie in groups 0008 and 0020, before anything large
_PIECE_BYTES = 1 << 20
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)
_MAX_BYTES = 16 << 30  # of a study; a zip may claim more than it has


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The contents of a study.

    Attributes
    ----------
    key : 32 hexadecimal digits
    studies : how many Study Instance UIDs there are; 0 = its files state none
    names : names of files and folders in it, which must not be told
    """

    key: str
    studies: int
    names: frozenset[str]


def read_content(unit: Unit, beat: Callable[[], None] = lambda: None) -> Content:
    """Read all of a study once.

    Parameters
    ----------
    unit : of the watched folder
    beat : called after every file

    Raises
    ------
    SourceError
        If it has no files, is too large, or a zip is damaged.
    OSError
        If a file cannot be read; the message has its name.
    """
    digests: list[str] = []
    studies: set[str] = set()
    series: set[str] = set()
    names: set[str] = set()
    left_bytes = _MAX_BYTES
    try:
        for name, file in _files(unit):
            names.update(Path(name).parts)
            digest, head, size = _digest(file, left_bytes)
            left_bytes -= size
            digests.append(digest)
            study, its_series = _uids(head)
            studies.update(filter(None, (study,)))
            series.update(filter(None, (its_series,)))
            beat()
    except _ZIP_ERRORS as error:
        raise SourceError(
            "the zip file is damaged, encrypted, or of a kind that cannot be read; pack it again"
        ) from error
    if not digests:
        raise SourceError("there is no file in it; move the study in again")
    lines = sorted(hashlib.sha256(uid.encode()).hexdigest() for uid in series) + sorted(digests)
    key = hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
    return Content(key=key, studies=len(studies), names=frozenset(names))


def _files(unit: Unit) -> Iterator[tuple[str, IO[bytes]]]:
    for path in content_files(unit):
        if not unit.is_folder and zipfile.is_zipfile(path):
            yield from _members(path)
        else:
            with path.open("rb") as file:
                yield str(path.relative_to(unit.path.parent)), file


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir() and not any(is_ignored(part) for part in Path(info.filename).parts):
                with archive.open(info) as file:
                    yield info.filename, file


def _digest(file: IO[bytes], most_bytes: int) -> tuple[str, bytes, int]:
    """SHA-256 of a file, its first bytes, and its size."""
    digest = hashlib.sha256()
    head = b""
    size = 0
    while piece := file.read(_PIECE_BYTES):
        head = head or piece[:_HEAD_BYTES]
        digest.update(piece)
        size += len(piece)
        if size > most_bytes:
            raise SourceError(f"it has more than {_MAX_BYTES >> 30} GiB; divide it")
    return digest.hexdigest(), head, size


def _uids(head: bytes) -> tuple[str, str]:
    """Study and Series Instance UID of a file that begins so; empty where it states none or is no DICOM."""
    if head[128:132] != b"DICM" and head[:2] not in _GROUPS:  # PS3.10 section 7.1
        return "", ""
    from usassist.sources.dicom.encoding import read_dataset  # these take as long to import as a small study to read
    from usassist.sources.dicom.header import PYDICOM_ERRORS

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # its messages may quote the header
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = read_dataset(io.BytesIO(head), _TAGS)
            return str(dataset.get("StudyInstanceUID") or ""), str(dataset.get("SeriesInstanceUID") or "")
    except PYDICOM_ERRORS:
        return "", ""
