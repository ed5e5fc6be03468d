"""The format of one entry of the cache.

One file::

    magic, 8 bytes | length of the header, 4 bytes | SHA-256 of the header, 32 bytes | header, JSON | content

The header holds the key, facts that are worth listing, the SHA-256 of the content, and when it was made.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from usassist.common.private_files import open_private

__all__ = ["Entry", "file_sha256", "key_digest", "pack", "read_entry", "read_header"]

_MAGIC = b"USACACH1"
_PREFIX = struct.Struct(">8sI32s")
_MAX_HEADER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry, with everything checked.

    Attributes
    ----------
    content : as stored
    header : ``key``, ``facts``, ``sha256`` of the content and ``created`` (UTC)
    path : of the file
    """

    content: bytes
    header: Mapping[str, Any]
    path: Path


def pack(key: Mapping[str, Any], content: bytes, facts: Mapping[str, Any]) -> tuple[bytes, bytes, bytes]:
    """The parts of a file, to be written one after the other.

    Raises
    ------
    ValueError
        If key and facts are no JSON, or longer than a header may be.
    """
    table = {
        "key": key,
        "facts": facts,
        "sha256": hashlib.sha256(content).hexdigest(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    header = _canonical(table)
    if len(header) > _MAX_HEADER_BYTES:
        raise ValueError(f"the header of an entry would have {len(header)} bytes")
    return _PREFIX.pack(_MAGIC, len(header), hashlib.sha256(header).digest()), header, content


def read_entry(path: Path, key: Mapping[str, Any]) -> Entry:
    """Read a file and check every byte of it.

    Raises
    ------
    OSError
        As :func:`usassist.common.private_files.open_private`.
    ValueError
        If it is damaged, cut off, of another version, or belongs to another key.
    """
    header, content = _read(path, content=True)
    if _canonical(header.get("key")) != _canonical(key):
        raise ValueError("it belongs to another key")
    if hashlib.sha256(content).hexdigest() != header.get("sha256"):
        raise ValueError("its content is damaged")
    return Entry(content=content, header=header, path=path)


def read_header(path: Path) -> Mapping[str, Any]:
    """The header alone, checked; the content is not read. Raises as :func:`read_entry`."""
    return _read(path, content=False)[0]


def key_digest(key: Mapping[str, Any]) -> str:
    """SHA-256 of a key, hexadecimal digits. The same table in another order is the same key."""
    return hashlib.sha256(_canonical(key)).hexdigest()


def file_sha256(path: Path, *, private: bool = False) -> str:
    """SHA-256 of a file's content, hexadecimal digits.

    Parameters
    ----------
    private : refuse a file that others could have written, as :func:`usassist.common.private_files.open_private` does

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open(open_private(path) if private else path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _canonical(table: Any) -> bytes:
    return json.dumps(table, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _read(path: Path, *, content: bool) -> tuple[dict[str, Any], bytes]:
    with open(open_private(path), "rb") as file:
        prefix = file.read(_PREFIX.size)
        if len(prefix) != _PREFIX.size:
            raise ValueError("it is cut off")
        magic, length, digest = _PREFIX.unpack(prefix)
        if magic != _MAGIC or length > _MAX_HEADER_BYTES:
            raise ValueError("it is damaged, or of another version")
        header = file.read(length)
        if hashlib.sha256(header).digest() != digest:
            raise ValueError("its header is damaged")
        found = json.loads(header)
        if not isinstance(found, dict):
            raise ValueError("its header is no table")
        return found, file.read() if content else b""
