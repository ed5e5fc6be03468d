"""The document of a sweep: what ``report.json`` holds, and what the page is written from.

Its parts about one nodule, and the units of all of it: ``summary/parts.py``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from usassist.session.summary.parts import Interval, Nodule, Section

__all__ = [
    "DOCUMENT_VERSION",
    "SCHEMA_NAME",
    "CauseTime",
    "MarkOfSweep",
    "NotListed",
    "Provenance",
    "ScaleTime",
    "Sweep",
    "SweepDocument",
    "Unseen",
    "Untracked",
    "json_schema",
]

SCHEMA_NAME = "usassist.report"
DOCUMENT_VERSION = (1, 0)


class Untracked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An unbroken run of frames with findings that have no identity, and its best section."""

    first_frame_id: int
    last_frame_id: int
    first_s: float
    last_s: float
    frames: int
    most_at_once: int
    best: Section


class NotListed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Identities that are not listed one by one: seen too rarely, or too many to list."""

    least_frames: int
    most_listed: int
    identities: int
    seen_too_rarely: int
    beyond_most: int
    frames: int
    track_ids: tuple[int, ...]


class MarkOfSweep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mark that a person made."""

    kind: str
    frame_id: int
    t_s: float | None
    track_id: int | None
    plane: str | None
    side: str | None


class CauseTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frames with one cause or state, and how long they lasted."""

    name: str
    frames: int
    seconds: float


class ScaleTime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Frames with one scale, and how long it held."""

    calibration_id: str | None
    kind: str
    spacing_rc_mm: tuple[float, float] | None
    spacing_u95_percent: float | None
    frames: int
    seconds: float
    first_s: float


class Unseen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of the sweep was looked at, and what was not seen."""

    answered_frames: int
    answered_s: float
    finding_frames: int
    no_finding_frames: int
    no_result: tuple[CauseTime, ...]
    not_live: tuple[CauseTime, ...]
    abstained_frames: int
    abstained_s: float
    frames_lost: int
    without_frames_s: float
    results_lost: int
    messages_lost: int
    pixels_lost: int
    scale: tuple[ScaleTime, ...]
    without_scale_frames: int
    without_scale_s: float
    timeline: tuple[Interval, ...]


class Sweep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The session that the document is about."""

    session_id: str
    created_utc: str
    source: str
    state: str
    recording: str
    complete: bool
    frames: int
    length_s: float
    time_from: Literal["capture", "clip"]
    cut_from: str | None
    repaired: tuple[str, ...]


class Provenance(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """With what the answers were made."""

    usassist: str
    engines: tuple[dict[str, Any], ...]
    calibrations: tuple[dict[str, Any], ...]
    point: dict[str, Any] | None
    association: dict[str, Any] | None
    domain: str
    descriptor_agreement: dict[str, str]
    scores_calibrated: bool
    versions: dict[str, str]
    machine: str


class SweepDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it."""

    schema: str
    version: tuple[int, int]
    notice: str
    sweep: Sweep
    identities_known: bool
    nodules: tuple[Nodule, ...]
    not_listed: NotListed
    untracked: tuple[Untracked, ...]
    marks: tuple[MarkOfSweep, ...]
    unseen: Unseen
    provenance: Provenance


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document, from these classes."""
    schema = msgspec.json.schema(SweepDocument)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA_NAME}:{DOCUMENT_VERSION[0]}.{DOCUMENT_VERSION[1]}",
        "title": "A sweep, as usassist report writes it",
        **schema,
    }
