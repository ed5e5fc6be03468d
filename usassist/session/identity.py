"""Shows that a recording holds no identity, as far as that can be shown, and says what it cannot show.

Every text in every file is looked at: keys and values of ``session.toml``, of the lines, of ``summary.json``, and of
every message of ``bus.log``; the metadata and the streams of every video; and whether there are files that no recorder
writes. A finding names the file and the key, never the value.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import socket
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from usassist.bus import LogReader
from usassist.common.pyav import av
from usassist.errors import BusError, SessionError
from usassist.session.messages import whole_message

__all__ = ["IdentityReport", "find_identity"]

_KEYS = re.compile(
    r"(^|_)(patient|person|surname|forename|birth|born|dob|mrn|accession|physician|doctor|operator|sonographer"
    r"|institution|hospital|clinic|ward|address|phone|email|host|hostname|user|username|login|password|path|folder)(_|$)",
    re.IGNORECASE,
)
_SPEAKING = {  # what is found → how it looks
    "the path of a file": re.compile(
        r"(?:^|[\s\"'=(:,])(?:~|/(?!dev/)[\w.@+-]+)/[^\s\"']+|(?:^|[^\w])[A-Za-z]:[\\/]|\\\\\w"
    ),
    "an address of the net": re.compile(r"\b(?!ipc\b)[a-z][a-z0-9+.-]*://|\b\d{1,3}(?:\.\d{1,3}){3}\b", re.IGNORECASE),
    "an e-mail address": re.compile(r"\b[\w.+-]+@[\w-]+\.[a-z]{2,}\b", re.IGNORECASE),
    "a name as DICOM writes it": re.compile(r"\b[^\W\d_]{2,}\^[^\W\d_]*"),
    "a file name of a medical image": re.compile(r"\.(?:dcm|dicom|ima)\b", re.IGNORECASE),
}
_WRITTEN_BY_PEOPLE = frozenset({"measured_by", "method", "command", "valid_for", "comment", "note", "notes"})
_COMMON_USERS = frozenset({"root", "user", "admin", "ubuntu", "debian", "runner", "usassist", "localhost", "test"})
_VERSIONS, _VERSION = "versions", re.compile(r"\d+(\.\d+){3}")  # looks like an address
_LEAST_LETTERS = 4  # of the name of a host or a user that is looked for
_OURS = re.compile(
    r"session\.toml|(frames|results|marks|corrections)\.jsonl|frames(_\d+)?\.(mkv|nut)|overlay(_\d+)?\.mkv|bus\.log|summary\.json"
    r"|session\.spare"
)
_METADATA = frozenset({"encoder", "duration", "creation_time", "language", "handler_name", "vendor_id"})
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_. -]{1,40}")
_MOST_OF_A_KIND = 5


@dataclass(slots=True, kw_only=True)
class IdentityReport:
    """What was looked at, and what was found.

    Attributes
    ----------
    texts, files, videos : how many were looked at
    findings : one line each, without the value
    not_shown : what was not looked at or cannot be told, one line each
    """

    texts: int = 0
    files: int = 0
    videos: int = 0
    findings: list[str] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=list)


class _Texts:
    """Looks at texts, each only once."""

    def __init__(self, report: IdentityReport) -> None:
        self._report = report
        self._seen: set[tuple[str, str]] = set()
        self._found: dict[str, int] = {}
        self.written_by_people = 0
        names = [socket.gethostname(), _user()]
        self._names = [name.lower() for name in names if len(name) >= _LEAST_LETTERS and name not in _COMMON_USERS]

    def look(self, file: str, value: Any, key: str = "", table: str = "") -> None:
        """Look at a value and what is in it."""
        if isinstance(value, str):
            self._text(file, key, value, table)
        elif isinstance(value, msgspec.Struct):
            for name in value.__struct_fields__:
                self.look(file, getattr(value, name), name, key)
        elif isinstance(value, Mapping):
            for name, item in value.items():
                self._key(file, str(name))
                self.look(file, item, str(name), key)
        elif isinstance(value, list | tuple):
            for item in value:
                self.look(file, item, key, table)

    def end(self) -> None:
        """Report what was found: a few places of each kind."""
        for what, count in sorted(self._found.items())[: 4 * _MOST_OF_A_KIND]:
            self._report.findings.append(f"{what}, {count} times" if count > 1 else what)

    def _key(self, file: str, name: str) -> None:
        if _KEYS.search(name):
            self._note(f"{file} has a key that names identity: {name if _PLAIN_KEY.fullmatch(name) else '…'}")

    def _text(self, file: str, key: str, text: str, table: str) -> None:
        self._report.texts += 1
        if (key, text) in self._seen:
            return
        self._seen.add((key, text))
        if key in _WRITTEN_BY_PEOPLE:
            self.written_by_people += 1
        place = f"{file}, key {key}" if key and _PLAIN_KEY.fullmatch(key) else file
        if key == "content":  # of a calibration: a file of its own
            try:
                self.look(file, tomllib.loads(text))
            except tomllib.TOMLDecodeError:
                self._note(f"{place}: a calibration that cannot be read")
            return
        if key not in _WRITTEN_BY_PEOPLE:
            for what, looks in _SPEAKING.items():
                if looks.search(text) and not (table == _VERSIONS and _VERSION.fullmatch(text)):
                    self._note(f"{place}: {what}")
        low = text.lower()
        if any(re.search(rf"(?<![\w]){re.escape(name)}(?![\w])", low) for name in self._names):
            self._note(f"{place}: the name of this machine or of its user")

    def _note(self, what: str) -> None:
        self._found[what] = self._found.get(what, 0) + 1


def find_identity(folder: Path) -> IdentityReport:
    """Look at everything in the folder of a recorded session but its pixels.

    Parameters
    ----------
    folder : of the session
    """
    report = IdentityReport()
    texts = _Texts(report)
    strangers = 0
    for path in sorted(folder.iterdir()):
        name = path.name
        if not path.is_file() or path.is_symlink() or not _OURS.fullmatch(name):
            strangers += 1
            continue
        report.files += 1
        try:
            _file(path, texts, report)
        except (OSError, ValueError, SessionError, BusError, av.FFmpegError):
            report.not_shown.append(f"{name} cannot be read, so nothing is known of what it holds")
    texts.end()
    if strangers:
        which = "1 file or folder is" if strangers == 1 else f"{strangers} files or folders are"
        report.findings.append(f"{which} no part of a recording and may hold anything; move them out of the folder")
    if texts.written_by_people:
        report.not_shown.append(
            f"{texts.written_by_people} texts of calibrations were written by people (who measured, how); read them"
        )
    report.not_shown.append("the date and time of the recording are in it")
    return report


def _file(path: Path, texts: _Texts, report: IdentityReport) -> None:
    name = path.name
    if path.suffix in (".mkv", ".nut"):
        report.videos += 1
        _video(path, report)
    elif path.suffix == ".toml":
        content = path.read_bytes()
        texts.look(name, tomllib.loads(content.decode("utf-8")))
        for line in content.decode("utf-8").splitlines():
            if line.lstrip().startswith("#"):
                texts.look(name, line, "comment line")
    elif path.suffix == ".json":
        texts.look(name, json.loads(path.read_bytes()))
    elif path.suffix == ".jsonl":
        for item in _lines(path):
            texts.look(name, item)
    elif name == "bus.log":
        for body in _bodies(path):
            texts.look(name, body)
    elif path.stat().st_size and any(_pieces(path)):  # room that is kept for the last words
        report.findings.append(f"{name} holds something, and is to hold nothing but zeros")


def _lines(path: Path) -> Iterator[Any]:
    """Lines of JSON; one that was cut off is looked at as a text."""
    with path.open("rb") as file:
        for line in file:
            try:
                yield msgspec.json.decode(line)
            except msgspec.DecodeError:
                yield line.decode("utf-8", "replace")


def _bodies(path: Path) -> Iterator[Any]:
    for record in LogReader(path):
        try:
            yield whole_message(record).body
        except BusError:
            yield record.data[:4096].decode("utf-8", "replace")


def _pieces(path: Path) -> Iterable[bytes]:
    with path.open("rb") as file:
        while piece := file.read(2**20):
            yield piece.strip(b"\0")


def _video(path: Path, report: IdentityReport) -> None:
    with av.open(str(path)) as container:
        metadata = [dict(container.metadata), *(dict(stream.metadata) for stream in container.streams)]
        others = [stream.type for stream in container.streams if stream.type != "video"]
    strange = sorted({key for item in metadata for key in item if key.lower() not in _METADATA})
    if strange:
        shown = ", ".join(key if _PLAIN_KEY.fullmatch(key) else "…" for key in strange[:_MOST_OF_A_KIND])
        report.findings.append(f"{path.name} has metadata that no recorder writes: {shown}")
    if others:
        report.findings.append(f"{path.name} has streams besides its video: {', '.join(map(str, others))}")


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""
