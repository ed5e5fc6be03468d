"""With what the answers of a session were made, and what it says of itself. No path, and no name of a machine."""

from __future__ import annotations

from typing import Any

import msgspec

from usassist.bus import AssociationBody, EngineBody, PointBody, peek_topic
from usassist.errors import MessageError, SchemaVersionError, SessionError
from usassist.session.messages import whole_message
from usassist.session.opening import RecordedSession
from usassist.session.summary.document import Provenance, Sweep
from usassist.session.summary.moments import Moments

__all__ = ["describe_provenance", "describe_sweep", "read_engines"]

_ENGINE_KEYS = (
    "engine_id",
    "backend",
    "precision",
    "device",
    "point",
    "score_calibration_id",
    "answered_by",
    "artifacts",
)
_CALIBRATION_KEYS = ("calibration_id", "kind", "sha256")


def read_engines(session: RecordedSession) -> dict[str, EngineBody]:
    """The last message of each engine that was announced, by its id.

    Raises
    ------
    SessionError
        If the log is damaged.
    """
    engines: dict[str, EngineBody] = {}
    reader = session.log()
    for record in reader:
        if record.without_pixels or not peek_topic(record.data).startswith("engine/"):
            continue
        try:
            message = whole_message(record)
        except (MessageError, SchemaVersionError) as error:
            raise SessionError(f"{session.folder} has a message that cannot be read: {error}") from error
        engines.pop(message.body.engine_id, None)  # the last one is last
        engines[message.body.engine_id] = message.body
    if reader.damaged_at or reader.torn_bytes:
        raise SessionError(
            f"bus.log of {session.folder} is damaged; run usassist session repair and report on the repaired copy"
        )
    return engines


def describe_sweep(session: RecordedSession, moments: Moments) -> Sweep:
    """The session, as its manifest has it."""
    manifest = session.manifest
    cut_from = manifest.cut_from or {}
    return Sweep(
        session_id=manifest.session_id,
        created_utc=manifest.created_utc,
        source=str(manifest.source.get("description", "")),
        state=manifest.state,
        recording="closed" if manifest.recording == "closed" else "stopped",
        complete=manifest.complete,
        frames=len(session.frames),
        length_s=round(moments.length_s, 3),
        time_from="clip" if moments.from_clip else "capture",
        cut_from=str(cut_from["session_id"]) if "session_id" in cut_from else None,
        repaired=manifest.repaired,
    )


def describe_provenance(session: RecordedSession, engines: dict[str, EngineBody]) -> Provenance:
    """Engines, calibrations, operating point and versions.

    Parameters
    ----------
    session : that was recorded
    engines : from :func:`read_engines`; point and association are those of the last one
    """
    manifest = session.manifest
    last = next(reversed(engines.values()), None)
    agreement: dict[str, str] = {}
    for body in engines.values():
        agreement |= body.descriptor_agreement
    return Provenance(
        usassist=manifest.versions.get("usassist", ""),
        engines=tuple(_selected(item, _ENGINE_KEYS) for item in manifest.engines),
        calibrations=tuple(_selected(item, _CALIBRATION_KEYS) for item in manifest.calibrations),
        point=_builtins(None if last is None or last.score_calibration_id is None else last.point),
        association=_builtins(None if last is None else last.association),
        domain="" if last is None else last.domain,
        descriptor_agreement=agreement,
        scores_calibrated=last is not None and last.score_calibration_id is not None,
        versions=dict(manifest.versions),
        machine=str(manifest.machine.get("cpu", "")),
    )


def _selected(item: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: item[key] for key in keys if key in item}


def _builtins(body: PointBody | AssociationBody | None) -> dict[str, Any] | None:
    if body is None:
        return None
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(body))  # lists and not tuples, as a reader gets it
    return found
