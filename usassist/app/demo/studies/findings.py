"""From a study's result to what the viewer and the table show of it; no word of any modality."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from usassist.app.demo.studies.bundle import Curve, Findings, Label
from usassist.engine import EngineSpec
from usassist.records import ResultState
from usassist.volumes import StudyResult

__all__ = ["Line", "StudyDocument", "document_of", "findings_of", "read_document", "write_document"]

_DOCUMENT = "study.json"


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement: its name, the name of the label it is of (empty = the study), and as in ``Measurement``."""

    name: str
    label: str
    value: float | None
    unit: str
    u95: float | None
    reason: str


class StudyDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says.

    Attributes
    ----------
    state : ``finding``, ``no_finding`` or ``no_result``
    reason : why there is no result; empty where there is one
    engine, backend : what answered
    seconds : from reading to writing
    lines : measurements
    notes : to be read with them
    """

    state: str
    reason: str
    engine: str
    backend: str
    seconds: float
    lines: list[Line] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)


def findings_of(result: StudyResult, spec: EngineSpec) -> Findings:
    """What the planes show of a result. Planes are marked that reach the threshold of the first label; where
    planes are not scored, those with a label."""
    answer = result.answer
    if answer is None:
        return Findings(state=str(result.state))
    labels = [
        Label(value=number + 1, name=label.name, rgb=_rgb(label.color_rgb)) for number, label in enumerate(spec.labels)
    ]
    curves = [
        Curve(
            name=item.name,
            values=[round(float(score), 4) for score in item.scores],
            threshold=float(spec.labels[item.label_id].score_threshold),
        )
        for item in answer.plane_scores
    ]
    marks: set[int] = set()
    if curves and curves[0].threshold is not None:
        threshold = curves[0].threshold
        marks = {z for z, score in enumerate(curves[0].values) if score >= threshold}
    areas: list[int] = []
    if answer.labelmap is not None:
        areas = [int(np.count_nonzero(plane)) for plane in answer.labelmap]
        present = {int(value) for plane in answer.labelmap for value in np.flatnonzero(np.bincount(plane.ravel()))}
        labels = [label for label in labels if label.value in present]
    if not curves:
        marks = {z for z, area in enumerate(areas) if area}
    middle = sorted(marks)[len(marks) // 2] if marks else None
    first = int(np.argmax(curves[0].values)) if curves else middle
    return Findings(
        state=str(result.state),
        labelmap=answer.labelmap,
        heat=answer.heat,
        labels=labels if answer.labelmap is not None else [],
        curves=curves,
        marks=sorted(marks),
        first=first,
    )


def document_of(
    result: StudyResult, spec: EngineSpec, seconds: float = 0.0, notes: list[str] | None = None
) -> StudyDocument:
    """What a result says, without arrays."""
    measurements = () if result.answer is None else result.answer.measurements
    return StudyDocument(
        state=str(result.state),
        reason=result.reason if result.state is ResultState.NO_RESULT else "",
        engine=result.engine_id,
        backend=result.backend,
        seconds=seconds,
        lines=[
            Line(
                name=item.name,
                label="" if item.label_id is None else spec.labels[item.label_id].name,
                value=item.value,
                unit=item.unit,
                u95=item.u95,
                reason=item.reason,
            )
            for item in measurements
        ],
        notes=notes or [],
    )


def write_document(folder: Path, document: StudyDocument) -> None:
    """Into the folder of an answer."""
    (folder / _DOCUMENT).write_bytes(msgspec.json.encode(document))


def read_document(folder: Path) -> StudyDocument:
    """Of the folder of an answer."""
    return msgspec.json.decode((folder / _DOCUMENT).read_bytes(), type=StudyDocument)


def _rgb(color: tuple[int, ...]) -> tuple[int, int, int]:
    red, green, blue = color
    return int(red), int(green), int(blue)
