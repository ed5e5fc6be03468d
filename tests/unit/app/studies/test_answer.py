"""A study from its files to a folder with the result, whole or not at all."""

from __future__ import annotations

import dataclasses
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest

from tests.ct_engine import NAME, install_ct_engine
from tests.ct_series import make_series
from tools.study_schema import SCHEMA_FILE, write_schema
from usassist.app.studies import (
    StudyDocument,
    StudyOutcome,
    answer_study,
    describe_study,
    draw_montage,
    montage,
    top_planes,
)
from usassist.errors import EngineError, StudyCancelledError, StudyError, UsageError, VolumeError
from usassist.modalities.ct.haemorrhage.task import HaemorrhageTask
from usassist.phantom.ct.head import HeadBleed, make_head
from usassist.phantom.ct.head_anatomy import Tissue
from usassist.records import ResultState
from usassist.sources.volumes import read_labelmap, write_nifti
from usassist.volumes import StudyCause

SHAPE, SPACING = (16, 160, 160), (8.0, 1.4, 1.4)
BLEED = HeadBleed(kind=Tissue.INTRAPARENCHYMAL, semi_mm=(16.0, 16.0, 20.0))
NAMED = {"PatientName": "DOE^JANE", "PatientID": "4711-0815", "InstitutionName": "St. Elsewhere"}


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engines")
    install_ct_engine(folder, measured=True)
    return folder


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``bleed`` as DICOM, ``healthy.nii.gz``, and ``slice.nii.gz`` with the bleed."""
    folder = tmp_path_factory.mktemp("heads")
    hu, labels, affine = make_head(3, SHAPE, SPACING, [BLEED])
    make_series(folder / "bleed", hu, spacing_zyx_mm=SPACING, origin_mm=tuple(affine[:3, 3]), tags=NAMED)
    healthy, _, affine = make_head(4, SHAPE, SPACING)
    write_nifti(folder / "healthy.nii.gz", healthy, affine)
    best = int(np.argmax((labels == BLEED.kind).sum(axis=(1, 2))))
    write_nifti(folder / "slice.nii.gz", hu[best : best + 1], affine)
    return folder


def _answer(path: Path, engines: Path, **options: Any) -> StudyOutcome:
    values: dict[str, Any] = {"engines": engines, "backend": "onnxruntime", "threads": 1}
    return answer_study(path, NAME, **(values | options))


@pytest.fixture(scope="module")
def found(heads: Path, engines: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyOutcome:
    out = tmp_path_factory.mktemp("out") / "result"
    return _answer(heads / "bleed", engines, out=out)


@pytest.fixture(scope="module")
def healthy(heads: Path, engines: Path) -> StudyOutcome:
    return _answer(heads / "healthy.nii.gz", engines)


def test_bleed_is_found_measured_and_outlined_where_it_lies(found: StudyOutcome) -> None:
    result = found.result
    assert result.state is ResultState.FINDING
    assert found.words == "haemorrhage suspected"
    answer = result.answer
    assert answer is not None
    assert answer.labelmap is not None
    volume = next(item for item in answer.measurements if item.name == "haemorrhage_volume")
    assert volume.value == pytest.approx(BLEED.volume_ml, rel=0.12)
    assert volume.reason == "the uncertainty of the spacing was not measured"
    k, j, i = (float(index.mean()) for index in np.nonzero(answer.labelmap))
    centre_mm = result.affine_ijk_to_lps_mm @ (i, j, k, 1.0)
    assert centre_mm[:3] == pytest.approx(BLEED.centre_mm, abs=4.0)
    assert answer.heat is not None
    assert answer.heat[answer.labelmap > 0].min() >= 127


def test_files_agree_with_the_answer_and_the_schema(found: StudyOutcome) -> None:
    assert found.folder is not None
    assert sorted(path.name for path in found.folder.iterdir()) == sorted(found.files)
    text = (found.folder / "result.json").read_bytes()
    assert msgspec.json.decode(text, type=StudyDocument) == describe_study(found, found.files)
    document = json.loads(text)
    assert document["state"] == "finding"
    assert document["labels"][0]["reached"] is True
    assert document["files"] == ["labelmap.nii.gz", "montage.png", "seg.dcm", "report.dcm", "result.json"]
    assert "not a medical device" in document["notice"]
    labelmap, affine = read_labelmap(found.folder / "labelmap.nii.gz")
    answer = found.result.answer
    assert answer is not None
    np.testing.assert_array_equal(labelmap, answer.labelmap)
    np.testing.assert_allclose(affine, found.result.affine_ijk_to_lps_mm, atol=1e-3)
    outlined = sum(plane["outlined_voxels"] for plane in document["planes"])
    assert outlined == np.count_nonzero(labelmap)
    top = document["planes"][document["top_planes"][0]]
    assert top["scores"]["haemorrhage"] == max(plane["scores"]["haemorrhage"] for plane in document["planes"])


def test_nothing_but_the_dicom_objects_says_who_the_patient_is(found: StudyOutcome, heads: Path) -> None:
    assert found.folder is not None
    for path in found.folder.iterdir():
        content = path.read_bytes()
        is_dicom = path.suffix == ".dcm"  # goes to the archive of the images, and belongs to their patient there
        for text in ("DOE^JANE", "4711-0815"):
            assert (text.encode() in content) == is_dicom
        for text in ("Elsewhere", str(heads)):
            assert text.encode() not in content
        assert path.stat().st_mode & 0o777 == 0o600
    text = (found.folder / "result.json").read_text()
    assert not re.search(r"\d(\.\d+){5,}", text)  # no UID


def test_montage_shows_the_best_planes_with_outlines_and_a_colour_bar(found: StudyOutcome) -> None:
    assert found.folder is not None
    picture = cv2.imread(str(found.folder / "montage.png"))
    assert picture is not None
    assert picture.shape[0] > 800
    rgb = picture[..., ::-1].astype(int)
    red = (rgb[..., 0] > 200) & (rgb[..., 1] < 120) & (rgb[..., 2] < 120)
    assert red[66:446].sum() > 100  # outlines in the upper row
    assert len(top_planes(found)) == 3


def test_healthy_head_is_no_finding_and_is_not_called_free_of_haemorrhage(healthy: StudyOutcome) -> None:
    assert healthy.result.state is ResultState.NO_FINDING
    assert healthy.words == "no haemorrhage found"
    assert healthy.folder is None
    document = describe_study(healthy)
    volume = next(item for item in document.measurements if item.name == "haemorrhage_volume")
    assert (volume.value, volume.reason) == (None, "nothing was outlined")  # and not 0 mL
    assert draw_montage(healthy) is not None


def test_single_slice_gets_its_own_score_and_no_volume(heads: Path, engines: Path) -> None:
    outcome = _answer(heads / "slice.nii.gz", engines)
    document = describe_study(outcome)
    assert outcome.result.state is ResultState.FINDING
    assert document.labels[0].score == pytest.approx(document.planes[0].scores["haemorrhage"], abs=1e-3)
    sizes = {item.name: item for item in document.measurements}
    assert sizes["haemorrhage_volume"].reason == "one slice is not a volume"
    assert sizes["haemorrhage_area"].value is not None
    assert draw_montage(outcome) is not None


def test_existing_folder_is_never_written_into(heads: Path, engines: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(StudyError, match="exists already"):
        _answer(heads / "healthy.nii.gz", engines, out=tmp_path / "out")
    with pytest.raises(StudyError, match="its parent is not a folder"):
        _answer(heads / "healthy.nii.gz", engines, out=tmp_path / "none" / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("stage", ["read", "head", "slices", "outlines", "write"])
def test_cancelled_study_leaves_nothing(stage: str, heads: Path, engines: Path, tmp_path: Path) -> None:
    cancel = threading.Event()

    def stop(name: str, share: float) -> None:
        if name == stage:
            cancel.set()

    with pytest.raises(StudyCancelledError):
        _answer(heads / "bleed", engines, out=tmp_path / "out", progress=stop, cancel=cancel)
    assert list(tmp_path.iterdir()) == []


def test_progress_rises_to_one(heads: Path, engines: Path) -> None:
    shares: list[tuple[str, float]] = []
    _answer(heads / "bleed", engines, progress=lambda stage, share: shares.append((stage, share)))
    assert [share for _, share in shares] == sorted(share for _, share in shares)
    assert shares[-1] == ("done", 1.0)
    assert {"read", "head", "slices", "outlines"} <= {stage for stage, _ in shares}


def test_failing_writer_leaves_nothing(heads: Path, engines: Path, tmp_path: Path) -> None:
    def fail(outcome: StudyOutcome, folder: Path) -> tuple[str, ...]:
        raise OSError(28, "No space left on device")

    with pytest.raises(StudyError, match="No space left"):
        _answer(heads / "healthy.nii.gz", engines, out=tmp_path / "out", writers=[fail])
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_head_is_refused_with_the_reason(heads: Path, engines: Path, tmp_path: Path) -> None:
    hu = np.full((4, 96, 96), -1000, np.int16)
    hu[:, 20:76, 10:86] = 40
    write_nifti(tmp_path / "soft.nii.gz", hu, np.diag([1.0, 1.0, 5.0, 1.0]) + 0.0)
    with pytest.raises(VolumeError, match="skull"):
        _answer(tmp_path / "soft.nii.gz", engines, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_of_several_series_the_plain_one_is_taken(engines: Path, tmp_path: Path) -> None:
    hu, _, affine = make_head(4, (3, 96, 96), (30.0, 2.3, 2.3))
    for name, tags in (("a", {"ContrastBolusAgent": "given"}), ("b", {}), ("c", {"ConvolutionKernel": "H60s"})):
        make_series(tmp_path / name, hu, spacing_zyx_mm=(30.0, 2.3, 2.3), origin_mm=tuple(affine[:3, 3]), tags=tags)
    assert _answer(tmp_path, engines, backend="null").input.facts.number == 2
    with pytest.raises(VolumeError, match="contrast medium"):
        _answer(tmp_path, engines, backend="null", series=1)


def test_engine_that_fails_is_no_result_and_nothing_is_written(
    heads: Path, engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: HaemorrhageTask, *args: Any) -> Iterator[None]:
        raise EngineError("output mask_prob is broken")

    monkeypatch.setattr(HaemorrhageTask, "_infer", broken)
    outcome = _answer(heads / "healthy.nii.gz", engines, out=tmp_path / "out")
    assert outcome.result.state is ResultState.NO_RESULT
    assert outcome.result.cause is StudyCause.ENGINE_ERROR
    assert outcome.words == "no result: output mask_prob is broken"
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(StudyError, match="has no document"):
        describe_study(outcome)


def test_null_engine_is_no_result(heads: Path, engines: Path) -> None:
    outcome = _answer(heads / "healthy.nii.gz", engines, backend="null")
    assert outcome.result.cause is StudyCause.NULL_ENGINE


def test_option_that_the_task_does_not_take_is_refused(heads: Path, engines: Path) -> None:
    with pytest.raises(UsageError, match="takes no level"):
        _answer(heads / "healthy.nii.gz", engines, level="L3")


def test_top_planes_lie_apart(found: StudyOutcome) -> None:
    """Neighbours of a thin series show the same; three places are worth more than one place three times."""
    answer = found.result.answer
    assert answer is not None
    scores = np.zeros(SHAPE[0], np.float32)
    scores[[4, 5, 6, 12]] = 0.9, 0.95, 0.85, 0.3
    plane_scores = (dataclasses.replace(answer.plane_scores[0], scores=scores),)
    thin = dataclasses.replace(found.input.volume, affine_ijk_to_lps_mm=np.diag([1.0, 1.0, 1.0, 1.0]))
    outcome = dataclasses.replace(
        found,
        result=dataclasses.replace(found.result, answer=dataclasses.replace(answer, plane_scores=plane_scores)),
        input=dataclasses.replace(found.input, volume=thin),
    )
    assert top_planes(outcome)[:2] == (5, 12)


def test_schema_in_the_package_is_that_of_the_classes() -> None:
    assert SCHEMA_FILE.read_text() == write_schema(), "renew it with: python -m tools.study_schema"


def test_finding_without_a_size_says_so_in_the_picture(
    heads: Path, engines: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts: list[str] = []
    monkeypatch.setattr(montage, "_write", lambda canvas, text, *rest: texts.append(text))
    draw_montage(_answer(heads / "slice.nii.gz", engines))
    assert any("no haemorrhage volume: one slice is not a volume" in text for text in texts)
    assert "slice 1 of 1" in next(text for text in texts if text.startswith("slice"))
    assert {"R", "L", "A", "P"} <= set(texts)
