"""Objects that wait to be sent, on the disk: one folder for each archive.

::

    STATE/pacs/ARCHIVE/         mode 0700, files 0600; ARCHIVE as the user calls it, percent-encoded
    ├── TIME-RANDOM.dcm         copy of an object
    ├── TIME-RANDOM.json        its UIDs, and what has become of it so far
    └── sent.jsonl              a line for each object that the archive has confirmed

An object is queued when its .json is on the disk, and sent when its line in ``sent.jsonl`` is; what a killed process
leaves between the two is finished by the next one. Names of files say nothing about the patient.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

import msgspec

from usassist.common.private_files import create_private, locked, sweep, sync_folder, try_locked, write_atomic
from usassist.dicom.network.nodes import Instance
from usassist.errors import DicomError, UsageError

__all__ = ["Entry", "SendQueue", "all_queues"]

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An object that waits.

    Attributes
    ----------
    name : of its files, without the suffix
    sop_class_uid, sop_instance_uid, study_instance_uid, series_instance_uid, transfer_syntax_uid : of the object
    queued_utc : when, ISO 8601
    state : ``waiting``; ``sending``: it left, and the archive alone knows whether it arrived; ``refused``: it is kept,
        and not sent before it is asked for
    attempts : how often it was tried and failed
    detail : of the last failure
    """

    name: str
    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    queued_utc: str
    state: Literal["waiting", "sending", "refused"] = "waiting"
    attempts: int = 0
    detail: str = ""


class _Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ``sent.jsonl``."""

    name: str
    sop_instance_uid: str
    at_utc: str
    detail: str = ""


class SendQueue:
    """The objects that wait for one archive. Many processes may add to it; one at a time sends.

    Parameters
    ----------
    folder : for all queues; made where it is missing
    to : the archive, as the user calls it

    Raises
    ------
    DicomError
        If the folder cannot be made.
    """

    def __init__(self, folder: Path, to: str) -> None:
        self.to = to
        self.folder = folder / quote(to, safe="")
        self._sent_path = self.folder / "sent.jsonl"
        with _told(self.folder):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, instances: Sequence[Instance]) -> tuple[int, int]:
        """Copy objects into the queue: all of them, or none where this raises.

        Returns
        -------
        queued, known : how many were added, and how many are in the queue already, with the same SOP instance UID

        Raises
        ------
        DicomError
            If they cannot be written, for example because the disk is full.
        """
        self.tidy()
        with _told(self.folder), locked(self.folder, "adding", lambda: None):
            waiting = {entry.sop_instance_uid for entry in self.entries()}
            wanted = [instance for instance in instances if instance.sop_instance_uid not in waiting]
            entries = [_entry(instance) for instance in wanted]
            try:
                for entry, instance in zip(entries, wanted, strict=True):
                    self._copy(instance.path, self._object(entry))
                sync_folder(self.folder)
                for entry in entries:
                    self._write(entry)
            except BaseException:
                for entry in entries:
                    self._remove(entry)
                raise
        return len(entries), len(instances) - len(entries)

    def tidy(self) -> None:
        """Remove what a killed process left: half-written files, objects without an entry, entries that were sent."""
        with _told(self.folder), locked(self.folder, "adding", lambda: None):
            self._sweep()

    def entries(self) -> list[Entry]:
        """What is queued, in the order in which it was queued.

        Raises
        ------
        DicomError
            If a file of the queue cannot be read.
        """
        done = {line.name for line in self._sent()}
        found = []
        for path in sorted(self.folder.glob("*.json")):
            try:
                entry = msgspec.json.decode(path.read_bytes(), type=Entry)
            except FileNotFoundError:
                continue  # another process has just sent it
            except (OSError, msgspec.DecodeError) as error:
                raise DicomError(
                    f"{path} of the queue cannot be read; move it and its .dcm away, and send that"
                ) from error
            if entry.name not in done:
                found.append(entry)
        return found

    def instance(self, entry: Entry) -> Instance:
        """The queued object as a file."""
        path = self._object(entry)
        try:
            size = path.stat().st_size
        except OSError as error:
            raise DicomError(f"{path} of the queue is missing; usassist pacs queue drop removes its entry") from error
        return Instance(
            path=path,
            size_bytes=size,
            sop_class_uid=entry.sop_class_uid,
            sop_instance_uid=entry.sop_instance_uid,
            study_instance_uid=entry.study_instance_uid,
            series_instance_uid=entry.series_instance_uid,
            transfer_syntax_uid=entry.transfer_syntax_uid,
        )

    def put(self, entry: Entry) -> None:
        """Write what has become of an entry; it is on the disk when this returns."""
        with _told(self.folder, "what is queued stays so"):
            self._write(entry)

    def done(self, entry: Entry, detail: str) -> None:
        """The archive has it: noted on the disk, and then removed from the queue."""
        line = _Sent(name=entry.name, sop_instance_uid=entry.sop_instance_uid, at_utc=_now(), detail=detail)
        with _told(self.folder, "what is queued stays so"):
            self._append(msgspec.json.encode(line))
            self._remove(entry)

    def drop(self, entries: Sequence[Entry]) -> None:
        """Remove entries without sending them."""
        for entry in entries:
            self._remove(entry)

    def sent_before(self) -> dict[str, str]:
        """SOP instance UIDs that the archive has ever confirmed, and when, ISO 8601."""
        return {line.sop_instance_uid: line.at_utc for line in self._sent()}

    @contextlib.contextmanager
    def sending(self, *, wait: bool, on_wait: Callable[[], None] = lambda: None) -> Iterator[bool]:
        """Be the only sender of this queue until the block ends.

        Parameters
        ----------
        wait : for another sender to end; else yield False where there is one
        on_wait : called once when it has to be waited for
        """
        if not wait:
            with try_locked(self.folder, "sending") as free:
                yield free
            return
        with locked(self.folder, "sending", on_wait):
            yield True

    def _sent(self) -> list[_Sent]:
        try:
            data = self._sent_path.read_bytes()
        except FileNotFoundError:
            return []
        lines = []
        for line in data.split(b"\n"):
            with contextlib.suppress(msgspec.DecodeError):  # a line that a crash cut off confirms nothing
                lines.append(msgspec.json.decode(line, type=_Sent))
        return lines

    def _append(self, line: bytes) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._sent_path, flags, 0o600)
        with open(descriptor, "r+b", buffering=0) as file:
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            file.write((b"\n" if torn else b"") + line + b"\n")
            os.fsync(descriptor)
        if size == 0:
            sync_folder(self.folder)

    def _copy(self, source: Path, target: Path) -> None:
        with source.open("rb") as original, create_private(target) as copy:
            shutil.copyfileobj(original, copy, 1 << 20)
            copy.flush()
            os.fsync(copy.fileno())

    def _write(self, entry: Entry) -> None:
        write_atomic(self.folder / f"{entry.name}.json", msgspec.json.encode(entry))

    def _object(self, entry: Entry) -> Path:
        return self.folder / f"{entry.name}.dcm"

    def _remove(self, entry: Entry) -> None:
        (self.folder / f"{entry.name}.json").unlink(missing_ok=True)
        self._object(entry).unlink(missing_ok=True)

    def _sweep(self) -> None:
        sweep(self.folder)
        done = {line.name for line in self._sent()}
        for path in self.folder.glob("*.json"):
            if path.stem in done:
                path.unlink(missing_ok=True)
        for path in self.folder.glob("*.dcm"):
            if not path.with_suffix(".json").exists():
                path.unlink(missing_ok=True)


def all_queues(folder: Path) -> list[SendQueue]:
    """The queues that there are, by the name of their archive."""
    if not folder.is_dir():
        return []
    return [SendQueue(folder, unquote(path.name)) for path in sorted(folder.iterdir()) if path.is_dir()]


def _entry(instance: Instance) -> Entry:
    return Entry(
        name=f"{time.time_ns():020d}-{secrets.token_hex(4)}",
        sop_class_uid=instance.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid,
        study_instance_uid=instance.study_instance_uid,
        series_instance_uid=instance.series_instance_uid,
        transfer_syntax_uid=instance.transfer_syntax_uid,
        queued_utc=_now(),
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@contextlib.contextmanager
def _told(folder: Path, kept: str = "nothing was queued") -> Iterator[None]:
    try:
        yield
    except (DicomError, UsageError):
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise DicomError(
                f"the disk of the queue {folder} is full: {kept}; free some space, "
                "or name another folder with USASSIST_STATE"
            ) from error
        reason = (error.strerror or str(error)).lower()
        raise DicomError(f"the queue {folder} cannot be written: {reason}; check the folder") from error
