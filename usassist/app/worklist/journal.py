"""The journal of a worklist: what has happened, one line of JSON each, on the disk before anything depends on it.

A line that a crash cut off is removed when the journal is opened; nothing was built on it, because
:meth:`Journal.append` had not returned. A line inside that cannot be read (a damaged disk) is counted, and stays where
it is.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from usassist.common.closeable import Closeable
from usassist.common.private_files import sync_folder
from usassist.sinks.worklist import Version

__all__ = ["Arrived", "Begun", "Ended", "Event", "Journal", "Marked", "Moved"]


class Arrived(msgspec.Struct, frozen=True, kw_only=True, tag="arrived", tag_field="event"):
    """A study was seen for the first time. `boot_s` is the time since the machine was started."""

    study: str
    number: int
    at_utc: str
    boot_id: str
    boot_s: float


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag="begun", tag_field="event"):
    """Scoring of a study with this signature of its files was started."""

    study: str
    signature: str


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended", tag_field="event"):
    """Scoring has ended. `scored` is None where the files have another signature, but the contents are the same."""

    study: str
    signature: str
    scored: Version | None


class Moved(msgspec.Struct, frozen=True, kw_only=True, tag="moved", tag_field="event"):
    """The files of a study have gone, or are back."""

    study: str
    present: bool


class Marked(msgspec.Struct, frozen=True, kw_only=True, tag="marked", tag_field="event"):
    """A reader marked a study read or unread; `name` is that of the file in the inbox."""

    study: str
    is_read: bool
    version: int
    name: str
    at_utc: str
    waited_s: float


Event = Arrived | Begun | Ended | Moved | Marked


class Journal(Closeable):
    """Appends events to a file, and reads those that it holds. One process at a time; see the lock in ``watch.py``.

    Parameters
    ----------
    path : made where it is missing, with mode 0600

    Attributes
    ----------
    events : that it held when it was opened, oldest first
    damaged : lines that could not be read

    Raises
    ------
    OSError
        If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        is_new = not path.exists()
        self._descriptor = os.open(path, flags, 0o600)
        try:
            if is_new:
                sync_folder(path.parent)
            self.events, self.damaged = self._read(path)
        except BaseException:
            os.close(self._descriptor)
            raise

    def _read(self, path: Path) -> tuple[list[Event], int]:
        data = path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            os.ftruncate(self._descriptor, whole)
        self._size = whole
        decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)
        events: list[Event] = []
        damaged = 0
        for line in data[:whole].splitlines():
            try:
                events.append(decoder.decode(line))
            except msgspec.DecodeError:
                damaged += 1
        return events, damaged

    def append(self, *events: Event) -> None:
        """Put events on the disk: all of them when this returns, none where it raises.

        Raises
        ------
        OSError
            If they cannot be written, for example because the disk is full.
        """
        left = memoryview(b"".join(msgspec.json.encode(event) + b"\n" for event in events))
        size = self._size + len(left)
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self._size)
            raise
        self._size = size

    def close(self) -> None:
        """Close the file. May be called twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
