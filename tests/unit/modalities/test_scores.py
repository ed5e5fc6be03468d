"""Calibrated scores and operating points in the ultrasound task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.samples import make_frame, make_scores, score_file
from tests.unit.modalities.test_postprocess import LABELS, add_nodule, empty_outputs
from usassist.calibrate import ScoreCalibration, load_score_calibration
from usassist.errors import CalibrationError, UsageError
from usassist.frames import find_scan_border
from usassist.modalities.ultrasound import UltrasoundTask
from usassist.records import Detections

ENGINE_ID = "tiny@1.0.0+0123456789ab"
INPUT_HW_PX = (256, 384)
FRAME = make_frame(hw=INPUT_HW_PX)
# slope 1.5 and intercept -0.4, as in the file: raw score → calibrated score
RAW, CALIBRATED = (0.5, 0.6, 0.8, 0.9), (0.401312, 0.551862, 0.842831, 0.947640)


class Outputs:
    """An engine that always gives the same."""

    def __init__(self, *scores: float) -> None:
        self._outputs = empty_outputs()
        for index, score in enumerate(scores):
            add_nodule(self._outputs, (20 + 90 * index, 60, 80 + 90 * index, 110), score)

    def infer(self, inputs: Any) -> Any:
        return self._outputs


@pytest.fixture
def scores(tmp_path: Path) -> ScoreCalibration:
    (tmp_path / "x.toml").write_text(score_file(ENGINE_ID))
    calibration = load_score_calibration(ENGINE_ID, tmp_path)
    assert calibration is not None
    return calibration


def found(task: UltrasoundTask, *raw: float) -> Detections:
    return task(FRAME, Outputs(*raw)).detections


def test_scores_without_calibration_stay_raw() -> None:
    task = UltrasoundTask(INPUT_HW_PX, LABELS, None)
    np.testing.assert_array_equal(found(task, *RAW).score, np.array(RAW[::-1], np.float32))


@pytest.mark.parametrize(("point", "kept"), [("sensitive", 4), ("balanced", 3), ("quiet", 2)])
def test_scores_are_calibrated_and_cut_at_the_operating_point(scores: ScoreCalibration, point: str, kept: int) -> None:
    task = UltrasoundTask(INPUT_HW_PX, LABELS, None, scores, point)
    answer = task(FRAME, Outputs(*RAW))
    detections = answer.detections
    np.testing.assert_allclose(detections.score, CALIBRATED[::-1][:kept], rtol=1e-5)
    assert len(answer.segmentation) == len(answer.measurements) == kept
    assert (detections.score >= scores.point(point).score).all()


def test_a_point_finds_what_the_engines_own_threshold_leaves_out(scores: ScoreCalibration) -> None:
    raw = 0.45
    assert raw < LABELS[0].score_threshold
    assert len(found(UltrasoundTask(INPUT_HW_PX, LABELS, None), raw)) == 0
    assert len(found(UltrasoundTask(INPUT_HW_PX, LABELS, None, scores, "sensitive"), raw)) == 1


def test_nothing_found_stays_nothing(scores: ScoreCalibration) -> None:
    assert len(found(UltrasoundTask(INPUT_HW_PX, LABELS, None, scores))) == 0


@settings(deadline=None)
@given(st.floats(0.05, 0.95), st.floats(0.5, 3.0), st.floats(-2.0, 2.0), st.integers(-2, 2))
def test_no_score_that_is_published_lies_below_the_threshold(
    score: float, slope: float, intercept: float, steps: int
) -> None:
    scores = make_scores(slope, intercept, score)
    raw = np.float32(scores.raw_threshold("balanced", 0))
    for _ in range(abs(steps)):  # a few float32 steps around the cut
        raw = np.nextafter(raw, np.float32(2 * (steps > 0)))
    detections = found(UltrasoundTask(INPUT_HW_PX, LABELS, None, scores), float(raw))
    assert len(detections) == (steps >= 0)
    for value in detections.score:
        assert float(value) >= score
        assert float(value) == pytest.approx(score, abs=1e-4)


def test_a_calibration_of_other_labels_and_a_point_that_is_not_there_are_refused(
    scores: ScoreCalibration, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no operating point loud"):
        UltrasoundTask(INPUT_HW_PX, LABELS, None, scores, "loud")
    (tmp_path / "x.toml").write_text(score_file(ENGINE_ID, label="cyst"))
    other = load_score_calibration(ENGINE_ID, tmp_path)
    with pytest.raises(CalibrationError, match=r"has the labels \['cyst'\]"):
        UltrasoundTask(INPUT_HW_PX, LABELS, None, other)


def test_the_border_of_the_scan_is_found_once_for_a_frame_and_not_for_one_without_a_candidate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []

    def find(image: Any) -> Any:
        found.append(image)
        return find_scan_border(image)

    monkeypatch.setattr("usassist.modalities.ultrasound.task.find_scan_border", find)
    task = UltrasoundTask(INPUT_HW_PX, LABELS, 0.05)
    answer = task(FRAME, Outputs(0.9, 0.8))
    assert len(answer.measurements) == 2
    assert len(found) == 1
    assert len(task(FRAME, Outputs()).detections) == 0
    assert len(found) == 1
