"""The message log: the bytes that were published, in the order of arrival.

A file starts with ``USBUSLOG`` and a uint32 version. Each record is: uint32 length of the bytes, uint8 kind, uint32
CRC-32 of the bytes (zlib), then the bytes. Kind 0 is a whole message; kind 1 is the head of a ``frame`` message whose
pixels lie in the recording's video. A file that was cut off is read up to its last whole record.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from usassist.closing import Closing
from usassist.errors import SchemaVersionError, SessionError

__all__ = ["LoggedMessage", "MessageLogWriter", "read_log"]

_MAGIC = b"USBUSLOG"
_VERSION = 1
_FILE_HEAD = struct.Struct("<8sI")
_RECORD_HEAD = struct.Struct("<IBI")
_RECORD_LIMIT_BYTES = 2**28


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoggedMessage:
    """One record of a log: the bytes, and whether the pixels were left out."""

    data: bytes
    without_pixels: bool


class MessageLogWriter(Closing):
    """Appends messages to a new log file.

    Raises
    ------
    SessionError
        If the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("xb")
        except OSError as error:
            raise SessionError(f"{path} cannot be written: {error.strerror}; choose another --out") from error
        self._file.write(_FILE_HEAD.pack(_MAGIC, _VERSION))

    def append(self, data: bytes | memoryview, *, without_pixels: bool = False) -> None:
        """Add one message and hand it to the operating system."""
        self._file.write(_RECORD_HEAD.pack(len(data), int(without_pixels), zlib.crc32(data)))
        self._file.write(data)
        self._file.flush()

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()


def read_log(path: Path) -> Iterator[LoggedMessage]:
    """Read a log from its beginning to its last whole record.

    Raises
    ------
    SessionError
        If the file cannot be read, is no message log, or a record's checksum is wrong.
    SchemaVersionError
        If the log is of a newer version.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise SessionError(f"{path} cannot be read: {error.strerror}; name a folder that holds a recording") from error
    with file:
        head = file.read(_FILE_HEAD.size)
        if len(head) < _FILE_HEAD.size or head[:8] != _MAGIC:
            raise SessionError(f"{path} is not a message log; name a folder that holds a recording")
        version = _FILE_HEAD.unpack(head)[1]
        if version > _VERSION:
            raise SchemaVersionError(f"{path} has version {version}, this usassist reads {_VERSION}; update usassist")
        position = _FILE_HEAD.size
        while len(record := file.read(_RECORD_HEAD.size)) == _RECORD_HEAD.size:
            length, kind, checksum = _RECORD_HEAD.unpack(record)
            data = file.read(length) if length <= _RECORD_LIMIT_BYTES else b""
            if length <= _RECORD_LIMIT_BYTES and len(data) < length:
                return
            if len(data) != length or zlib.crc32(data) != checksum:
                raise SessionError(f"{path} is damaged at byte {position}; what lies before it can be read")
            yield LoggedMessage(data=data, without_pixels=kind == 1)
            position += _RECORD_HEAD.size + length
