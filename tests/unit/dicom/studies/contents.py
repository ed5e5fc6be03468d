"""Studies with answers, read from series that were written for them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.dicom.studies.test_series import make_volume
from usassist.dicom.objects.content import EngineUsed
from usassist.dicom.studies.series import SeriesHeader, write_series
from usassist.dicom.studies.source import SourceSeries, StudyContent
from usassist.records import ResultState
from usassist.sources.volumes import StudyInput, read_volume
from usassist.volumes import Measurement, StudyAnswer, StudyResult

__all__ = ["HEAD_LABELS", "make_content", "make_labelmap", "make_result", "read_study"]

HEAD_LABELS = {0: "haemorrhage", 1: "intraparenchymal", 2: "intraventricular", 3: "extra_axial"}
ENGINE = EngineUsed(
    engine_id="ct_ich@0.1.0+0123456789ab",
    version="0.1.0",
    backend="openvino",
    precision="fp32",
    intended_use="research on haemorrhage in CT",
    software_version="0.1.0",
    weights_sha256="0123456789ab",
)


def read_study(folder: Path, *, tilt_deg: float = 0.0, shape_zyx: tuple[int, int, int] = (6, 20, 13)) -> StudyInput:
    write_series(make_volume(tilt_deg, shape_zyx=shape_zyx), folder / "series", SeriesHeader(patient_sex="F"))
    return read_volume(folder / "series", session_id="study-1")


def make_labelmap(shape_zyx: tuple[int, int, int]) -> np.ndarray:
    """Two labels on planes 1 to 4, not the same ones; no voxel of label 1."""
    labels = np.zeros(shape_zyx, np.uint8)
    labels[1:4, 3:9, 2:12] = 1
    labels[3:5, 10:15, 4:6] = 3
    labels[2, 4, 4] = 0
    return labels


def make_result(study: StudyInput, answer: StudyAnswer | None, **changes: Any) -> StudyResult:
    state = ResultState.NO_RESULT
    if answer is not None:
        state = ResultState.FINDING if answer.found else ResultState.NO_FINDING
    volume = study.volume
    fields: dict[str, Any] = {
        "session_id": volume.session_id,
        "source_id": volume.source_id,
        "series_id": volume.series_id,
        "modality": volume.modality,
        "shape_zyx": volume.shape_zyx,
        "affine_ijk_to_lps_mm": volume.affine_ijk_to_lps_mm,
        "engine_id": ENGINE.engine_id,
        "backend": ENGINE.backend,
        "t_start_ns": 0,
        "t_end_ns": 1,
        "state": state,
        "answer": answer,
    }
    return StudyResult(**{**fields, **changes})


def make_content(study: StudyInput, result: StudyResult | None = None, **changes: Any) -> StudyContent:
    if result is None:
        answer = StudyAnswer(
            found=True,
            labelmap=make_labelmap(study.volume.shape_zyx),
            measurements=(
                Measurement(name="haemorrhage_volume", value=12.345678901234567, unit="mL", u95=0.25, label_id=0),
                Measurement(name="haemorrhage_mean_hu", value=None, unit="[hnsf'U]", reason="not computed", label_id=0),
                Measurement(name="study_score", value=0.93, unit="1", reason="it is not calibrated", label_id=0),
            ),
        )
        result = make_result(study, answer)
    content = StudyContent(
        study=study, result=result, labels=HEAD_LABELS, engine=ENGINE, source=SourceSeries.read(study)
    )
    return dataclasses.replace(content, digest="", **changes) if changes else content
