"""The document of a sweep: what ``report.json`` holds, and what the page is written from.

Times are seconds from the first frame of the session, lengths mm and px, volumes mL; ``u95`` is the half-width of the
95 % interval. What is not known is null. Every field is described in ``docs/report.md``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "DOCUMENT_VERSION",
    "SCHEMA_NAME",
    "ApT",
    "CategoryOfNodule",
    "CauseTime",
    "DescriptorOfNodule",
    "Dimensions",
    "Interval",
    "MarkOfSweep",
    "NearBest",
    "NotListed",
    "Nodule",
    "PlaneScore",
    "Provenance",
    "Quantity",
    "ScaleTime",
    "Section",
    "Size",
    "Spread",
    "Sweep",
    "SweepDocument",
    "ThresholdOfNodule",
    "Unseen",
    "Untracked",
    "json_schema",
]

SCHEMA_NAME = "usassist.report"
DOCUMENT_VERSION = (1, 0)


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Quantity(_Part):
    """A value with the half-width of its 95 % interval."""

    value: float
    u95: float


class Size(_Part):
    """One length or area of an outline, in px and, with a scale, in mm (areas: px² and mm²)."""

    px: float
    mm: float | None
    u95_mm: float | None


class ApT(_Part):
    """AP over transverse extent, and what may be said of it."""

    value: float
    low: float | None
    high: float | None
    verdict: Literal["taller", "wider", "uncertain", "plane_not_marked", "not_transverse", "no_scale"]


class PlaneScore(_Part):
    """How good a plane is: the product of three factors, 0 to 1 each."""

    size: float
    sharpness: float | None
    certainty: float
    total: float


class Section(_Part):
    """A nodule on one frame."""

    frame_id: int
    t_s: float
    score: float
    box_xyxy_px: tuple[float, float, float, float]
    cut: bool | None
    plane: str | None
    side: str | None
    spacing_rc_mm: tuple[float, float] | None
    calibration_id: str | None
    sizes: dict[str, Size | None]
    ap_t: ApT | None
    plane_score: PlaneScore


class Spread(_Part):
    """Median and quartiles of a length over several frames, in `unit`."""

    unit: Literal["mm", "px"]
    median: float
    p25: float
    p75: float


class NearBest(_Part):
    """What was measured on the frames near the best plane."""

    window_s: float
    frames: int
    sizes: dict[str, Spread]


class Dimensions(_Part):
    """Three diameters from two orthogonal planes, and the volume of the ellipsoid."""

    length_mm: Quantity
    width_mm: Quantity
    depth_mm: Quantity
    volume_ml: Quantity
    longitudinal_frame_id: int
    transverse_frame_id: int


class DescriptorOfNodule(_Part):
    """One descriptor of a nodule, and where it comes from."""

    name: str
    basis: Literal["confirmed", "measured", "estimated", "needs_clinician"]
    words: tuple[str, ...]
    probability: float | None = None
    same_in_frames: float | None = None
    described_frames: int = 0
    agreement: str | None = None
    frame_id: int | None = None


class ThresholdOfNodule(_Part):
    """A size threshold of a system, compared with the longest diameter and its interval."""

    kind: Literal["fna", "follow_up"]
    threshold_mm: float
    state: Literal["reached", "not_reached", "within", "cut", "no_scale"]


class CategoryOfNodule(_Part):
    """The category of one system, from confirmed descriptors alone."""

    system_id: str
    name: str
    edition: str
    source: str
    level: str | None
    meaning: str
    points: int | None
    risk_text: str
    note: str
    missing: tuple[str, ...]
    reason: str
    size_sign: Literal["≥", ">"]
    compared_mm: Quantity | None
    thresholds: tuple[ThresholdOfNodule, ...]


class Interval(_Part):
    """A stretch of the sweep, s from its first frame."""

    first_s: float
    last_s: float
    kind: str


class Nodule(_Part):
    """One identity, as it was seen over the sweep."""

    track_id: int
    name: str
    label: str | None
    frames: int
    frames_cut: int
    first_frame_id: int
    last_frame_id: int
    first_s: float
    last_s: float
    seen: tuple[Interval, ...]
    sides: tuple[str, ...]
    best: Section
    transverse: Section | None
    longitudinal: Section | None
    near_best: NearBest
    dimensions: Dimensions | None
    descriptors: tuple[DescriptorOfNodule, ...]
    categories: tuple[CategoryOfNodule, ...]


class Untracked(_Part):
    """An unbroken run of frames with findings that have no identity, and its best section."""

    first_frame_id: int
    last_frame_id: int
    first_s: float
    last_s: float
    frames: int
    most_at_once: int
    best: Section


class NotListed(_Part):
    """Identities that are not listed one by one: seen too rarely, or too many to list."""

    least_frames: int
    most_listed: int
    identities: int
    seen_too_rarely: int
    beyond_most: int
    frames: int
    track_ids: tuple[int, ...]


class MarkOfSweep(_Part):
    """A mark that a person made."""

    kind: str
    frame_id: int
    t_s: float | None
    track_id: int | None
    plane: str | None
    side: str | None


class CauseTime(_Part):
    """Frames with one cause or state, and how long they lasted."""

    name: str
    frames: int
    seconds: float


class ScaleTime(_Part):
    """Frames with one scale, and how long it held."""

    calibration_id: str | None
    kind: str
    spacing_rc_mm: tuple[float, float] | None
    spacing_u95_percent: float | None
    frames: int
    seconds: float
    first_s: float


class Unseen(_Part):
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


class Sweep(_Part):
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


class Provenance(_Part):
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


class SweepDocument(_Part):
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
