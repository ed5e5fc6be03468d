"""The message log: the bytes that were published, in the order of arrival.

A file starts with ``USBUSLOG`` and a uint32 version. Each record is: uint32 length of the bytes, uint8 kind, uint32
CRC-32 of the bytes (zlib), then the bytes. Kind 0 is a whole message; kind 1 is the head of a ``frame`` message whose
pixels lie in the recording's video. A file that was cut off is read up to its last whole record.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from usassist.bus.topics import TOPICS
from usassist.common.append_file import AppendFile
from usassist.common.closeable import Closeable
from usassist.errors import SchemaVersionError, SessionError

__all__ = ["LogReader", "LoggedMessage", "MessageLogWriter", "read_log"]

_MAGIC = b"USBUSLOG"
_VERSION = 1
_FILE_HEAD = struct.Struct("<8sI")
_RECORD_HEAD = struct.Struct("<IBI")
_RECORD_LIMIT_BYTES = 2**28
_SEARCH_BYTES = 2**20
_TOPIC = re.compile(rb"(?:" + b"|".join(name.encode() for name in TOPICS) + rb")/v\d+/")
_LONGEST_TOPIC = 16


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoggedMessage:
    """One record of a log: the bytes, and whether the pixels were left out."""

    data: bytes
    without_pixels: bool


class MessageLogWriter(Closeable):
    """Appends messages to a new log file.

    Raises
    ------
    SessionError
        If the file cannot be created.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = AppendFile(path)
            self._file.append(_FILE_HEAD.pack(_MAGIC, _VERSION))
        except OSError as error:
            raise SessionError(f"{path} cannot be written: {error.strerror}; choose another --out") from error

    def append(self, data: bytes | memoryview, *, without_pixels: bool = False) -> None:
        """Append one message with one unbuffered write.

        Raises
        ------
        OSError
            If it cannot be written whole; nothing of it is in the file then.
        """
        head = _RECORD_HEAD.pack(len(data), int(without_pixels), zlib.crc32(data))
        self._file.append(b"".join((head, data)))

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()


class LogReader:
    """Reads a log from its beginning to its last whole record.

    Parameters
    ----------
    path : of the log
    past_damage : skip damaged records and resume at the next whole one, instead of raising

    Attributes
    ----------
    damaged_at : positions of damaged records that were skipped, bytes from the start
    torn_bytes : bytes after the last whole record, known once everything is read; 0 where the file ends with one
    """

    def __init__(self, path: Path, *, past_damage: bool = False) -> None:
        self._path = path
        self._past_damage = past_damage
        self.damaged_at: list[int] = []
        self.torn_bytes = 0

    def __iter__(self) -> Iterator[LoggedMessage]:
        """Yield the records in order.

        Raises
        ------
        SessionError
            If the file cannot be read, is no message log, or a record's checksum is wrong.
        SchemaVersionError
            If the log is of a newer version.
        """
        self.damaged_at, self.torn_bytes = [], 0
        try:
            with self._path.open("rb") as file:
                self._read_head(file)
                yield from self._records(file)
        except (SchemaVersionError, SessionError):
            raise
        except OSError as error:
            raise SessionError(
                f"{self._path} cannot be read: {error.strerror}; name a folder that holds a recording"
            ) from error

    def _read_head(self, file: BinaryIO) -> None:
        head = file.read(_FILE_HEAD.size)
        if len(head) < _FILE_HEAD.size or head[:8] != _MAGIC:
            raise SessionError(f"{self._path} is not a message log; name a folder that holds a recording")
        version = _FILE_HEAD.unpack(head)[1]
        if version > _VERSION:
            raise SchemaVersionError(
                f"{self._path} has version {version}, this usassist reads {_VERSION}; update usassist"
            )

    def _records(self, file: BinaryIO) -> Iterator[LoggedMessage]:
        position = _FILE_HEAD.size
        while head := file.read(_RECORD_HEAD.size):
            found = _record(head, file)
            if isinstance(found, LoggedMessage):
                yield found
                position += _RECORD_HEAD.size + len(found.data)
                continue
            following = _next_record(file, position + 1)
            if following is None and not found:  # it reaches beyond the end of the file, and nothing follows
                self.torn_bytes = file.seek(0, 2) - position
                return
            if not self._past_damage:
                raise SessionError(f"{self._path} is damaged at byte {position}; what lies before it can be read")
            self.damaged_at.append(position)
            if following is None:
                return
            position = file.seek(following)


def read_log(path: Path) -> Iterator[LoggedMessage]:
    """Read a log from its beginning to its last whole record; raises as :class:`LogReader` does."""
    return iter(LogReader(path))


def _record(head: bytes, file: BinaryIO) -> LoggedMessage | bool:
    """The record that a head belongs to; False where the file ends before it does, True where it is damaged."""
    if len(head) < _RECORD_HEAD.size:
        return False
    length, kind, checksum = _RECORD_HEAD.unpack(head)
    if length > _RECORD_LIMIT_BYTES:
        return True
    data = file.read(length)
    if len(data) < length or not data:  # zeros: the file was made longer, and its content never reached the disk
        return False
    return True if zlib.crc32(data) != checksum else LoggedMessage(data=data, without_pixels=kind == 1)


def _next_record(file: BinaryIO, start: int) -> int | None:
    """Where the next whole record begins: a message begins with its topic, and its checksum is right."""
    while True:
        file.seek(start)
        window = file.read(_SEARCH_BYTES)
        for match in _TOPIC.finditer(window):
            begin = start + match.start() - _RECORD_HEAD.size
            if begin < start:
                continue
            file.seek(begin)
            if isinstance(_record(file.read(_RECORD_HEAD.size), file), LoggedMessage):
                return begin
        if len(window) < _SEARCH_BYTES:
            return None
        start += _SEARCH_BYTES - _RECORD_HEAD.size - _LONGEST_TOPIC
