"""Records of volumes: what makes no sense cannot be made."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from usassist.errors import RecordError
from usassist.records import Cause, ResultState
from usassist.volumes import Measurement, PlaneScores, StudyAnswer, StudyCause, StudyResult, Volume

SHAPE = (3, 4, 5)


def make_volume(**changes: Any) -> Volume:
    values: dict[str, Any] = {
        "session_id": "s",
        "source_id": "ct0",
        "series_id": "a1b2",
        "modality": "CT",
        "voxels": np.zeros(SHAPE, np.int16),
        "affine_ijk_to_lps_mm": np.diag([0.5, 0.7, 5.0, 1.0]),
        "unit": "HU",
    }
    return Volume(**(values | changes))


def make_labelmap(label: int = 1) -> np.ndarray:
    labelmap = np.zeros(SHAPE, np.uint8)
    labelmap[1, 2, 3] = label
    return labelmap


def make_result(state: ResultState = ResultState.FINDING, **changes: Any) -> StudyResult:
    answers = {
        ResultState.FINDING: StudyAnswer(found=True, labelmap=make_labelmap()),
        ResultState.NO_FINDING: StudyAnswer(found=False, labelmap=make_labelmap(0)),
    }
    failed = state is ResultState.NO_RESULT
    values: dict[str, Any] = {
        "session_id": "s",
        "source_id": "ct0",
        "series_id": "a1b2",
        "modality": "CT",
        "shape_zyx": SHAPE,
        "affine_ijk_to_lps_mm": np.eye(4),
        "engine_id": "organ@1.0.0+000000000000",
        "backend": "openvino",
        "t_start_ns": 1,
        "t_end_ns": 2,
        "state": state,
        "cause": StudyCause.ENGINE_ERROR if failed else None,
        "reason": "because" if failed else "",
        "answer": answers.get(state),
    }
    return StudyResult(**(values | changes))


def test_a_volume_knows_its_spacing_and_the_volume_of_a_voxel() -> None:
    volume = make_volume()
    assert volume.shape_zyx == SHAPE
    assert volume.spacing_zyx_mm == (5.0, 0.7, 0.5)
    assert volume.voxel_volume_mm3 == pytest.approx(1.75)


def test_a_tilted_gantry_makes_a_voxel_no_larger() -> None:
    affine = np.diag([0.5, 0.5, 5.0, 1.0])
    affine[1, 2] = 2.0  # each slice lies 2 mm further back
    volume = make_volume(affine_ijk_to_lps_mm=affine)
    assert volume.voxel_volume_mm3 == pytest.approx(1.25)
    assert volume.spacing_zyx_mm[0] == pytest.approx(np.hypot(5.0, 2.0))


def test_a_voxel_index_leads_to_its_centre_in_the_patient() -> None:
    affine = np.diag([0.5, 0.7, 5.0, 1.0])
    affine[:3, 3] = (-10.0, 20.0, 30.0)
    at_mm = make_volume(affine_ijk_to_lps_mm=affine).affine_ijk_to_lps_mm @ (4, 3, 2, 1)
    np.testing.assert_allclose(at_mm[:3], (-8.0, 22.1, 40.0))


def test_arrays_are_read_only_and_the_affine_is_the_records_own() -> None:
    affine, voxels = np.eye(4), np.zeros(SHAPE, np.float32)
    volume = make_volume(affine_ijk_to_lps_mm=affine, voxels=voxels)
    affine[0, 0] = 9.0
    assert volume.affine_ijk_to_lps_mm[0, 0] == 1.0
    for array in (volume.voxels, volume.affine_ijk_to_lps_mm):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    voxels[0] = 1.0  # the caller's own array stays writable


def test_voxels_in_a_file_stay_there(tmp_path: Path) -> None:
    path = tmp_path / "voxels.npy"
    np.save(path, np.ones(SHAPE, np.int16))
    volume = make_volume(voxels=np.load(path, mmap_mode="r"))
    assert isinstance(volume.voxels, np.memmap)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"voxels": np.zeros(SHAPE, np.uint16)}, "int16 or float32, got uint16"),
        ({"voxels": np.zeros(SHAPE, ">i2")}, "int16 or float32, got >i2"),
        ({"voxels": [[[0]]]}, "numpy array, got list"),
        ({"voxels": np.zeros((4, 5), np.int16)}, r"\(Z, Y, X\) and not empty, got \(4, 5\)"),
        ({"voxels": np.zeros((0, 4, 5), np.int16)}, "not empty"),
        ({"affine_ijk_to_lps_mm": None}, "numpy array, got NoneType"),
        ({"affine_ijk_to_lps_mm": np.eye(3)}, r"\(4, 4\)"),
        ({"affine_ijk_to_lps_mm": np.eye(4, dtype=np.float32)}, "float64, got float32"),
        ({"affine_ijk_to_lps_mm": np.diag([1.0, 1.0, np.nan, 1.0])}, "finite"),
        ({"affine_ijk_to_lps_mm": np.diag([1.0, 1.0, 0.0, 1.0])}, "singular"),
        ({"affine_ijk_to_lps_mm": np.diag([1.0, 1.0, 1.0, 2.0])}, "last row"),
        ({"session_id": ""}, "session_id"),
        ({"series_id": ""}, "series_id"),
        ({"source_id": "CT 0"}, "source_id"),
        ({"modality": "ct"}, "DICOM code"),
        ({"unit": ""}, "unit"),
        ({"spacing_rel_sd": -0.1}, "spacing_rel_sd"),
        ({"spacing_rel_sd": float("nan")}, "spacing_rel_sd"),
    ],
)
def test_a_wrong_volume_cannot_be_made(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        make_volume(**changes)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "Volume left"}, "must match"),
        ({"unit": ""}, "needs a unit"),
        ({"value": float("inf")}, "finite"),
        ({"u95": -1.0}, "u95"),
        ({"u95": float("nan")}, "u95"),
        ({"value": None}, "go with a value"),
        ({"u95": None}, "reason why there is none"),
        ({"reason": "because"}, "reason why there is none"),
        ({"label_id": -1}, "label_id"),
    ],
)
def test_a_number_without_unit_or_uncertainty_needs_a_reason(changes: dict[str, Any], reason: str) -> None:
    values: dict[str, Any] = {"name": "volume", "value": 3.0, "unit": "mL", "u95": 0.2}
    Measurement(**values)
    Measurement(**(values | {"value": None, "u95": None, "reason": "the liver is cut off"}))
    with pytest.raises(RecordError, match=reason):
        Measurement(**(values | changes))


MEASURED = Measurement(name="volume", value=3.0, unit="mL", u95=0.2)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"found": False, "labelmap": make_labelmap()}, "is a finding"),
        ({"found": True, "labelmap": make_labelmap(0)}, "labelmap is empty"),
        ({"found": True}, "needs a labelmap"),
        ({"found": False, "output": make_volume()}, "must be True"),
        ({"found": True, "measurements": (MEASURED, MEASURED)}, "given twice"),
        ({"found": True, "labelmap": make_labelmap()[0]}, "labelmap must be"),
        ({"found": True, "labelmap": make_labelmap().astype(np.int32)}, "uint8"),
    ],
)
def test_an_answer_that_contradicts_itself_cannot_be_made(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        StudyAnswer(**content)


def test_a_score_a_map_or_an_outline_are_each_an_answer() -> None:
    assert StudyAnswer(found=True, measurements=(MEASURED,)).labelmap is None
    assert StudyAnswer(found=True, output=make_volume(unit="1")).found
    assert not StudyAnswer(found=False, measurements=(MEASURED,)).found
    twice = dataclasses.replace(MEASURED, label_id=1)
    assert len(StudyAnswer(found=True, measurements=(MEASURED, twice)).measurements) == 2


@pytest.mark.parametrize("state", [ResultState.FINDING, ResultState.NO_FINDING, ResultState.NO_RESULT])
def test_each_state_can_be_made(state: ResultState) -> None:
    assert (make_result(state).answer is None) == (state is ResultState.NO_RESULT)


@pytest.mark.parametrize(
    ("state", "changes", "reason"),
    [
        (ResultState.STALE, {}, "cannot be stale"),
        (ResultState.NO_RESULT, {"cause": None}, "cause and a reason"),
        (ResultState.NO_RESULT, {"reason": ""}, "cause and a reason"),
        (ResultState.NO_RESULT, {"answer": StudyAnswer(found=False)}, "cannot carry an answer"),
        (ResultState.FINDING, {"reason": "because"}, "has no cause"),
        (ResultState.FINDING, {"cause": StudyCause.BAD_INPUT}, "has no cause"),
        (ResultState.FINDING, {"answer": None}, "must carry an answer"),
        (ResultState.FINDING, {"answer": StudyAnswer(found=False)}, "agrees"),
        (ResultState.NO_FINDING, {"answer": StudyAnswer(found=True, measurements=(MEASURED,))}, "agrees"),
        (ResultState.FINDING, {"shape_zyx": (9, 4, 5)}, "as large as the volume"),
        (ResultState.FINDING, {"t_end_ns": 0}, "before t_start_ns"),
        (ResultState.FINDING, {"engine_id": ""}, "engine_id"),
        (ResultState.FINDING, {"series_id": ""}, "series_id"),
    ],
)
def test_a_result_is_honest_or_cannot_be_made(state: ResultState, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        make_result(state, **changes)


def test_a_cause_with_the_same_value_as_a_frames_means_the_same() -> None:
    shared = {cause.value for cause in StudyCause} & {cause.value for cause in Cause}
    assert shared == {"engine_error", "null_engine", "interrupted"}


def test_scores_of_planes_and_voxels_fit_the_volume() -> None:
    scores = (PlaneScores(name="bleed", label_id=0, scores=np.array([0.1, 0.9, 0.2], np.float32)),)
    answer = StudyAnswer(found=True, labelmap=make_labelmap(0), plane_scores=scores, heat=np.zeros(SHAPE, np.uint8))
    assert make_result(answer=answer).answer is answer  # scored above the threshold, and nothing to outline
    for wrong in ({"heat": np.zeros((3, 4, 4), np.uint8)}, {"plane_scores": _scores(2)}):
        with pytest.raises(RecordError, match=r"as large as the volume|a score for each of 3 planes"):
            make_result(answer=dataclasses.replace(answer, **wrong))


def _scores(count: int, **changes: Any) -> tuple[PlaneScores, ...]:
    values: dict[str, Any] = {"name": "bleed", "label_id": 0, "scores": np.zeros(count, np.float32)}
    return (PlaneScores(**(values | changes)),)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": ""}, "need a name"),
        ({"label_id": -1}, "label_id from 0"),
        ({"scores": np.zeros(3)}, "float32"),
        ({"scores": np.zeros((3, 1), np.float32)}, "not empty"),
        ({"scores": np.array([0.5, np.nan], np.float32)}, "from 0 to 1"),
        ({"scores": np.array([1.5], np.float32)}, "from 0 to 1"),
    ],
)
def test_wrong_scores_of_planes_cannot_be_made(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        _scores(3, **changes)


def test_a_label_is_scored_once_and_heat_is_bytes() -> None:
    with pytest.raises(RecordError, match="scored twice"):
        StudyAnswer(found=False, plane_scores=_scores(3) + _scores(3, name="other"))
    with pytest.raises(RecordError, match="heat must be uint8"):
        StudyAnswer(found=False, heat=np.zeros(SHAPE, np.float32))
