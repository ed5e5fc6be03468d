"""Reads ``session.toml``; its keys are listed in ``sinks/manifest.py``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from usassist.common.clock import ClockPair
from usassist.errors import SessionError
from usassist.session.migrations import migrate, migration
from usassist.sinks.manifest import SESSION_SCHEMA

__all__ = ["ClockReading", "Manifest", "parse_manifest", "read_manifest"]

_NAME = "session.toml"
_RUNNING = ("waiting", "running")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockReading:
    """The same instant on both clocks, and the occasion: ``begin``, ``jump`` or ``end``."""

    event: str
    t_monotonic_ns: int
    utc: str

    @property
    def pair(self) -> ClockPair:
        """Without the event."""
        return ClockPair(t_monotonic_ns=self.t_monotonic_ns, utc=self.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The content of ``session.toml``, in the form of this version.

    Attributes
    ----------
    schema : version that the file was written in
    session_id : of the stream; empty where no session message arrived
    complete : closed in order, and every frame has its result
    state : of the stream: ``waiting``, ``running``, ``ended``, ``interrupted``, ``failed``; ``unknown`` where the file
        is lost
    recording : ``running`` (then it was never closed), ``closed``, or why it stopped
    created_utc : when it began
    begun_on_request, ended_on_request : it does not hold the stream from its beginning, or to its end, because somebody
        asked for that
    frames, results, marks : how many the recorder counted; exact only when it was closed
    gaps : topic → messages that never arrived
    clock : readings of both clocks, in order
    source, configuration, versions, machine : tables as they stand
    engines, calibrations : lists of tables
    files : name → ``bytes`` and ``sha256``, of a recording that was closed in order
    longest_unsynced_ms : the longest time for which anything was written and not yet synced
    cut_from : what this was cut out of, None where it is whole
    repaired : what was lost, one line each, where this is a repaired copy
    missing : results or frames that are known to be missing: ``topic``, ``first_frame_id``, ``last_frame_id``,
        ``reason``
    """

    schema: tuple[int, int]
    session_id: str
    complete: bool
    state: str
    created_utc: str
    frames: int
    results: int
    recording: str
    marks: int = 0
    begun_on_request: bool = False
    ended_on_request: bool = False
    gaps: dict[str, int] = field(default_factory=dict)
    clock: tuple[ClockReading, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)
    configuration: dict[str, Any] = field(default_factory=dict)
    engines: tuple[dict[str, Any], ...] = ()
    calibrations: tuple[dict[str, Any], ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    longest_unsynced_ms: float | None = None
    cut_from: dict[str, Any] | None = None
    repaired: tuple[str, ...] = ()
    missing: tuple[dict[str, Any], ...] = ()

    @property
    def closed(self) -> bool:
        """True when its recorder closed it, for whatever reason."""
        return self.recording not in ("running", "unknown")


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a session, of any version up to this one's.

    Raises
    ------
    SessionError
        If it is missing, cannot be read, or is damaged.
    SchemaVersionError
        If it is of a newer major version.
    """
    try:
        content = (folder / _NAME).read_bytes()
    except FileNotFoundError:
        raise SessionError(
            f"{folder} has no {_NAME}; usassist session repair makes it anew from the messages"
        ) from None
    except OSError as error:
        raise SessionError(f"{folder / _NAME} cannot be read: {error.strerror}; check its permissions") from error
    return parse_manifest(content, folder / _NAME)


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """As :func:`read_manifest`, of bytes that are there already."""
    try:
        document = tomllib.loads(content.decode("utf-8"))
        schema = msgspec.convert(document.get("schema"), tuple[int, int])
        versions = document.get("versions")
        wrote = versions.get("usassist", "") if isinstance(versions, dict) else ""
        document = migrate(_NAME, document, schema, SESSION_SCHEMA, str(wrote))
        return msgspec.convert(document, Manifest)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise SessionError(f"{path} is damaged: {error}; usassist session repair makes it anew") from error


@migration(_NAME, 1, 2)
def _one_clock_becomes_readings_and_calibrations_become_tables(document: dict[str, Any]) -> dict[str, Any]:
    """1.0 and 1.1 had one reading of the clocks, names of geometry calibrations alone, and no word on the recording."""
    clock = document.get("clock", {})
    calibrations = document.get("calibrations", [])
    if not isinstance(clock, dict) or not isinstance(calibrations, list):
        raise msgspec.ValidationError("clock or calibrations are of another type")
    return document | {
        "clock": [{"event": "begin", **clock}] if clock else [],
        "calibrations": [{"calibration_id": name, "kind": "geometry"} for name in calibrations],
        "recording": "running" if document.get("state") in _RUNNING else "closed",
    }
