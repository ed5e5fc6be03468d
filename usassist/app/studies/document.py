"""``result.json``: one study, its scores and measurements. The units are in the names or beside the values."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

__all__ = [
    "DOCUMENT_VERSION",
    "SCHEMA_NAME",
    "EngineOfStudy",
    "LabelScore",
    "MeasurementOfStudy",
    "PlaneOfStudy",
    "SeriesOfStudy",
    "StudyDocument",
    "json_schema",
]

SCHEMA_NAME = "usassist.study"
DOCUMENT_VERSION = (1, 0)


class EngineOfStudy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What answered."""

    engine_id: str
    backend: str
    precision: str
    failovers: tuple[str, ...]


class SeriesOfStudy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was answered. ``series_id`` is a pseudonym; the affine takes a voxel index (i, j, k, 1) to LPS mm."""

    series_id: str
    modality: str
    unit: str
    shape_zyx: tuple[int, int, int]
    spacing_zyx_mm: tuple[float, float, float]
    spacing_is_known: bool
    slice_thickness_mm: float | None
    tilt_deg: float
    affine_ijk_to_lps_mm: tuple[tuple[float, float, float, float], ...]
    kernel: str
    contrast: bool | None
    problems: tuple[str, ...]


class LabelScore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One label in the whole study. `reached` = its score is at least its threshold."""

    label_id: int
    name: str
    meaning: str
    score: float | None
    threshold: float
    reached: bool | None
    planes_reached: int | None


class PlaneOfStudy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One plane. ``index`` counts from 0 towards the head; the position is that of the centre of the plane."""

    index: int
    centre_lps_mm: tuple[float, float, float]
    scores: dict[str, float]
    outlined_voxels: int


class MeasurementOfStudy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One number with its UCUM unit and its 95 % interval (half-width `u95`), or the reason for what is missing."""

    name: str
    label: str | None
    value: float | None
    unit: str
    u95: float | None
    reason: str


class StudyDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The document. It is only written where there is an answer: a study without a result has no document."""

    schema: Literal["usassist.study"]
    version: tuple[int, int]
    usassist: str
    notice: str
    intended_use: str
    state: Literal["finding", "no_finding"]
    words: str
    engine: EngineOfStudy
    series: SeriesOfStudy
    labels: tuple[LabelScore, ...]
    measurements: tuple[MeasurementOfStudy, ...]
    top_planes: tuple[int, ...]
    planes: tuple[PlaneOfStudy, ...]
    seconds: float
    files: tuple[str, ...]


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document, from these classes."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA_NAME}:{DOCUMENT_VERSION[0]}.{DOCUMENT_VERSION[1]}",
        "title": "A study, as usassist ct writes it",
        **msgspec.json.schema(StudyDocument),
    }
