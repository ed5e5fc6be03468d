from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tests.unit.evaluation.scenes import counted
from usassist.calibrate import OperatingPoint, load_score_calibration
from usassist.errors import CalibrationError
from usassist.evaluation.operating_points import choose_points
from usassist.evaluation.score_calibration import calibration_toml, fit_label, fit_scale

pytest.importorskip("sklearn", reason="needs the extra `eval`")


def drawn(count, slope, intercept, seed=0):
    """Raw scores whose true meaning is known."""
    rng = np.random.default_rng(seed)
    score = rng.uniform(0.05, 0.95, count)
    chance = 1 / (1 + np.exp(-(slope * np.log(score / (1 - score)) + intercept)))
    return score, rng.random(count) < chance


def scattered(cases, seed=0):
    """Frames with one detection each, correct as often as its calibrated score."""
    score, is_hit = drawn(cases, 2.0, 0.5, seed)
    return [
        counted(f"{index}_1", [value], [[0.8 if hit else 0.0]])
        for index, (value, hit) in enumerate(zip(score, is_hit, strict=True))
    ]


def test_the_scale_that_generated_the_hits_is_recovered():
    scale = fit_scale(*drawn(20000, 2.0, 0.5))
    assert scale.slope == pytest.approx(2.0, rel=0.05)
    assert scale.intercept == pytest.approx(0.5, abs=0.06)


def test_perfectly_separating_scores_give_a_finite_slope():
    scale = fit_scale(np.array([0.2, 0.3, 0.7, 0.8]), np.array([False, False, True, True]))
    assert 0 < scale.slope < 50
    assert scale.of(np.array([0.8]))[0] < 1.0


def test_a_fit_reduces_the_calibration_error_and_reports_the_cross_validated_one():
    label = fit_label(scattered(400), "nodule")
    assert label.slope == pytest.approx(2.0, rel=0.3)
    assert label.ece < 0.08
    assert 0 < label.ece_cross_validated < 0.1
    assert (label.detections, label.nodules) == (400, 400)


@pytest.mark.parametrize("is_hit", [[True, True], [False, False]])
def test_only_hits_or_only_misses_cannot_be_fitted(is_hit):
    with pytest.raises(CalibrationError, match="cannot be fitted"):
        fit_scale(np.array([0.3, 0.6]), np.array(is_hit))


def test_scores_that_fall_with_hits_are_refused():
    with pytest.raises(CalibrationError, match="not more often correct"):
        fit_scale(np.array([0.2, 0.3, 0.7, 0.8]), np.array([True, True, False, False]))


def test_one_case_cannot_be_cross_validated():
    with pytest.raises(CalibrationError, match="one case"):
        fit_label([counted("1_1", [0.9, 0.2], [[0.8], [0.0]])], "nodule")


def test_points_are_chosen_within_their_limits_and_as_high_as_possible():
    frames = [counted(f"{i}_1", [0.70 + 0.002 * i], [[0.8]]) for i in range(97)]
    frames += [counted("97_1", [0.6, 0.5], [[0.0], [0.8]]), counted("98_1", [0.3], [[0.8]]), counted("99_1", [], [])]
    negatives = [counted(f"{i}_n", [0.71] if i == 0 else [], [], nodule_px=()) for i in range(100)]
    sensitive, balanced, quiet = choose_points(frames, negatives)
    assert sensitive.name == "sensitive"
    assert sensitive.score == pytest.approx(0.70)
    assert (sensitive.sensitivity, sensitive.alarms_per_negative_frame) == (0.97, 0.01)
    assert balanced.score == pytest.approx(0.3)
    assert (balanced.sensitivity, balanced.false_positives_per_frame) == (0.99, 0.01)
    assert quiet.score == pytest.approx(0.712)
    assert (quiet.sensitivity, quiet.alarms_per_negative_frame) == (0.91, 0.0)
    alone = choose_points(frames, None)
    assert alone[2].score == pytest.approx(0.3)
    assert alone[2].alarms_per_negative_frame is None


def test_sensitive_finds_as_many_as_possible_where_97_percent_cannot_be_found():
    frames = [counted("1_1", [0.9], [[0.8]]), counted("2_1", [0.8], [[0.8]]), counted("3_1", [0.2], [[0.0]])]
    assert choose_points(frames, None)[0].score == 0.8


def test_no_threshold_within_the_limits_is_an_error_that_names_the_point():
    frames = [counted("1_1", [0.9, 0.8], [[0.0], [0.8]])]
    with pytest.raises(CalibrationError, match="balanced"):
        choose_points(frames, None)


def test_a_threshold_is_rounded_down_but_never_below_the_next_detection():
    frames = [counted("1_1", [0.800009], [[0.8]]), counted("2_1", [0.800005], [[0.0]])]
    assert choose_points(frames, None)[1].score == 0.800009
    assert choose_points(frames[:1], None)[1].score == 0.8


def test_the_written_file_can_be_loaded(tmp_path):
    label = fit_label(scattered(60), "nodule")
    points = [
        OperatingPoint(name="balanced", score=0.4, sensitivity=0.9, false_positives_per_frame=0.1),
        OperatingPoint(
            name="quiet",
            score=0.6,
            sensitivity=0.8,
            false_positives_per_frame=0.0,
            alarms_per_negative_frame=0.01,
        ),
    ]
    text = calibration_toml(
        calibration_id="tiny_test",
        engine_id="tiny@1.0.0+0123456789ab",
        label=label,
        points=points,
        method="platt",
        command="usassist eval calibrate",
        valid_for="tests",
        measured_on=date(2026, 1, 2),
    )
    (tmp_path / "tiny_test.toml").write_text(text)
    loaded = load_score_calibration("tiny@1.0.0+0123456789ab", tmp_path)
    assert loaded is not None
    assert loaded.labels == (label,)
    assert list(loaded.points.values()) == points
    assert loaded.measured_on == date(2026, 1, 2)
    assert np.all(np.diff(loaded.calibrated(np.linspace(0, 1, 11), 0)) > 0)
