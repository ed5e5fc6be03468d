import dataclasses
import logging
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom
import pytest

from tests.ct_series import NAME, make_series
from tests.unit.dicom.studies.contents import HEAD_LABELS, make_content, make_result, read_study
from usassist.app.studies.answer import StudyOutcome
from usassist.app.studies.dicom_objects import write_dicom_objects
from usassist.records import LabelSpec
from usassist.sources.volumes import read_volume
from usassist.volumes import StudyAnswer


def make_outcome(study: Any, result: Any = None) -> StudyOutcome:
    spec: Any = SimpleNamespace(
        labels=tuple(
            LabelSpec(
                id=label,
                name=name,
                scheme="99USASSIST",
                value="X",
                meaning=name,
                color_rgb=(1, 2, 3),
                score_threshold=0.5,
            )
            for label, name in HEAD_LABELS.items()
        ),
        artifacts={"onnx": (Path("model.onnx"), "ab" * 32)},
        version="0.1.0",
        intended_use="research",
    )
    return StudyOutcome(input=study, result=result or make_content(study).result, spec=spec, precision="fp32")


def test_a_study_from_dicom_gets_segmentation_and_report_that_only_this_user_can_read(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    assert list(write_dicom_objects(make_outcome(study), tmp_path)) == ["seg.dcm", "report.dcm"]
    seg, report = pydicom.dcmread(tmp_path / "seg.dcm"), pydicom.dcmread(tmp_path / "report.dcm")
    assert seg.StudyInstanceUID == report.StudyInstanceUID
    assert "ab" * 32 in str(report)
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("seg.dcm", "report.dcm")} == {0o600}


def test_a_study_without_outlines_gets_the_report_alone(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    result = make_result(study, StudyAnswer(found=False))
    assert list(write_dicom_objects(make_outcome(study, result), tmp_path)) == ["report.dcm"]


def test_a_study_from_nifti_gets_none(tmp_path: Path) -> None:
    study = dataclasses.replace(read_study(tmp_path), slices=())
    assert list(write_dicom_objects(make_outcome(study, make_result(study, StudyAnswer(found=False))), tmp_path)) == []


@pytest.mark.parametrize("removed", ["FrameOfReferenceUID", "SeriesInstanceUID"])
def test_images_that_allow_no_object_leave_the_result_and_a_reason_without_identity(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, removed: str
) -> None:
    volume = read_study(tmp_path).volume
    make_series(tmp_path / "images", volume.voxels)
    study = read_volume(tmp_path / "images", session_id="study-1")
    outcome = make_outcome(study)
    for file in (tmp_path / "images").iterdir():
        image = pydicom.dcmread(file)
        delattr(image, removed)
        image.save_as(file)
    with caplog.at_level(logging.WARNING):
        assert list(write_dicom_objects(outcome, tmp_path)) == []
    assert not (tmp_path / "report.dcm").exists()
    assert "no DICOM objects were written" in caplog.text
    assert NAME.split("^", maxsplit=1)[0] not in caplog.text
    assert "4711" not in caplog.text


def test_what_a_writer_has_to_say_stands_in_the_report(tmp_path: Path) -> None:
    study = read_study(tmp_path)
    note = "The skeletal muscle index rests on a height of 1.7 m (header)."
    write_dicom_objects(make_outcome(study), tmp_path, notes=[note])
    texts = [item.value for item in pydicom.dcmread(tmp_path / "report.dcm").iterall() if item.keyword == "TextValue"]
    assert note in texts
