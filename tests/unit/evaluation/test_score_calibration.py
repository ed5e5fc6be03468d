from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import numpy as np
import pytest

from tests.unit.evaluation.scenes import counted
from usassist.calibrate import PointFigures, load_score_calibration
from usassist.errors import CalibrationError
from usassist.evaluation.operating_points import LIMITS, choose_points, same_points
from usassist.evaluation.score_calibration import calibrate_scores, fit_sets
from usassist.evaluation.score_scale import TalliedSet, fit_scale, pool_sets

pytest.importorskip("sklearn", reason="needs the extra `eval`")


def drawn(count, slope, intercept, seed=0):
    """Raw scores whose true meaning is known."""
    rng = np.random.default_rng(seed)
    score = rng.uniform(0.05, 0.95, count)
    chance = 1 / (1 + np.exp(-(slope * np.log(score / (1 - score)) + intercept)))
    return score, rng.random(count) < chance


def scattered(cases, seed=0, intercept=0.5):
    """Frames with one detection each, correct as often as its calibrated score."""
    score, is_hit = drawn(cases, 2.0, intercept, seed)
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


def tallied(frames, name="nodules", truth="masks"):
    return TalliedSet(name=name, truth=truth, frames=tuple(frames))


def negatives(count, alarms, score=0.6):
    """Frames without nodules, the first `alarms` of them with a detection."""
    frames = [counted(f"{i}_n", [score] if i < alarms else [], [], nodule_px=()) for i in range(count)]
    return tallied(frames, "without", "negative")


def test_a_fit_reduces_the_calibration_error_and_reports_the_cross_validated_one():
    label, (of_set,) = fit_sets([tallied(scattered(400))], "nodule")
    assert label.slope == pytest.approx(2.0, rel=0.3)
    assert label.ece < 0.08
    assert 0 < label.ece_cross_validated < 0.1
    assert (label.detections, label.nodules) == (400, 400)
    assert (of_set.name, of_set.frames, of_set.cases, of_set.ece) == ("nodules", 400, 400, label.ece)
    assert of_set.ece_left_out is None


def test_a_set_with_more_frames_does_not_drown_the_others():
    # Two scanners on which the same score means different things.
    few, many = scattered(200, seed=1), []
    score, is_hit = drawn(2000, 2.0, -1.5, seed=2)
    many = [
        counted(f"{i}_1", [s], [[0.8 if hit else 0.0]]) for i, (s, hit) in enumerate(zip(score, is_hit, strict=True))
    ]
    label, sets = fit_sets([tallied(few, "few"), tallied(many, "many")], "nodule")
    assert label.intercept == pytest.approx(-0.5, abs=0.25)
    assert fit_scale(*drawn(2000, 2.0, -1.5, seed=2)).intercept == pytest.approx(-1.5, abs=0.2)  # on its own
    assert sets[0].ece_left_out > sets[0].ece > 0.05
    assert sets[1].ece_left_out > sets[1].ece > 0.05
    doubled = fit_sets([tallied(few, "few"), tallied([*many, *many], "many")], "nodule")[0]
    assert doubled.slope == pytest.approx(label.slope, abs=0.01)
    assert doubled.intercept == pytest.approx(label.intercept, abs=0.01)


def test_frames_weigh_alike_in_a_set_and_sets_weigh_alike():
    two = [counted("1_1", [0.9, 0.4], [[0.8], [0.0]]), counted("1_2", [0.8], [[0.8]])]
    pool = pool_sets([tallied(two, "a"), negatives(6, 3)])
    assert pool.weight.tolist() == pytest.approx([2.0] * 3 + [8 / 12] * 3)
    assert pool.is_hit.tolist() == [True, False, True, False, False, False]
    assert pool.case.tolist() == ["a/1", "a/1", "a/1", "without/0", "without/1", "without/2"]


def test_leaving_out_the_only_set_with_hits_allows_no_fit():
    _, (marked, without) = fit_sets([tallied(scattered(60)), negatives(20, 10)], "nodule")
    assert marked.ece_left_out is None
    assert without.ece_left_out is not None
    assert without.nodules == 0


def test_negative_sets_alone_cannot_be_fitted():
    with pytest.raises(CalibrationError, match="all sets are negative"):
        fit_sets([negatives(5, 2)], "nodule")


@pytest.mark.parametrize("is_hit", [[True, True], [False, False]])
def test_only_hits_or_only_misses_cannot_be_fitted(is_hit):
    with pytest.raises(CalibrationError, match="cannot be fitted"):
        fit_scale(np.array([0.3, 0.6]), np.array(is_hit))


def test_scores_that_fall_with_hits_are_refused():
    with pytest.raises(CalibrationError, match="not more often correct"):
        fit_scale(np.array([0.2, 0.3, 0.7, 0.8]), np.array([True, True, False, False]))


def test_one_case_cannot_be_cross_validated():
    with pytest.raises(CalibrationError, match="one case"):
        fit_sets([tallied([counted("1_1", [0.9, 0.2], [[0.8], [0.0]])])], "nodule")


def test_points_are_chosen_within_their_limits_and_as_high_as_possible():
    frames = [counted(f"{i}_1", [0.70 + 0.002 * i], [[0.8]]) for i in range(97)]
    frames += [counted("97_1", [0.6, 0.5], [[0.0], [0.8]]), counted("98_1", [0.3], [[0.8]]), counted("99_1", [], [])]
    without = tallied(
        [counted(f"{i}_n", [0.71] if i == 0 else [], [], nodule_px=()) for i in range(100)], "n", "negative"
    )
    sensitive, balanced, quiet = choose_points([tallied(frames), without])
    assert sensitive.name == "sensitive"
    assert sensitive.score == balanced.score == pytest.approx(0.3)
    assert (balanced.sensitivity, balanced.false_positives_per_frame) == (0.99, 0.01)
    assert balanced.alarms_per_negative_frame == 0.01
    assert quiet.score == pytest.approx(0.712)
    assert (quiet.sensitivity, quiet.alarms_per_negative_frame) == (0.91, 0.0)
    alone = choose_points([tallied(frames)])
    assert alone[2].score == pytest.approx(0.3)
    assert alone[2].alarms_per_negative_frame is None


def test_the_three_points_differ_where_more_false_positives_find_more():
    # 100 nodules; below 0.9 each step of the score finds two more at the price of three false positives.
    frames = [counted(f"{i}_1", [0.95], [[0.8]]) for i in range(70)]
    for step in range(12):
        score = 0.9 - 0.02 * step
        frames += [counted(f"{70 + 2 * step + k}_1", [score], [[0.8]]) for k in range(2)]
        frames += [counted(f"{200 + 3 * step + k}_1", [score], [], nodule_px=()) for k in range(3)]
    points = choose_points([tallied(frames)])
    assert [point.score for point in points] == sorted(point.score for point in points)
    assert len({point.score for point in points}) == 3
    assert all(point.false_positives_per_frame <= LIMITS[point.name][0] for point in points)
    assert same_points(points) == []


def test_points_that_coincide_are_named():
    points = choose_points([tallied([counted("1_1", [0.9], [[0.8]])])])
    assert same_points(points)[0].startswith("sensitive and balanced have the same threshold")
    assert len(same_points(points)) == 3


def test_figures_of_a_point_are_means_over_the_sets_and_given_for_each():
    first = [counted("1_1", [0.95], [[0.8]]), counted("2_1", [0.8], [[0.8]])]
    second = [counted(f"{i}_1", [0.95 if i else 0.9], [[0.8 if i else 0.0]]) for i in range(10)]
    points = choose_points([tallied(first, "first"), tallied(second, "second", "boxes"), negatives(4, 0)])
    sensitive = points[0]
    assert (sensitive.score, sensitive.sensitivity) == (0.8, 0.95)
    assert sensitive.false_positives_per_frame == 0.05
    assert sensitive.sets == (
        PointFigures(name="first", sensitivity=1.0, false_positives_per_frame=0.0),
        PointFigures(name="second", sensitivity=0.9, false_positives_per_frame=0.1),
        PointFigures(name="without", alarms_per_negative_frame=0.0),
    )


def test_as_many_as_possible_are_found_within_the_limit():
    frames = [counted("1_1", [0.9], [[0.8]]), counted("2_1", [0.8], [[0.8]]), counted("3_1", [0.2], [[0.0]])]
    assert choose_points([tallied(frames)])[0].score == 0.8


def test_no_threshold_within_the_limits_is_an_error_that_names_the_point():
    frames = [counted("1_1", [0.9, 0.8], [[0.0], [0.8]])]
    with pytest.raises(CalibrationError, match="point sensitive"):
        choose_points([tallied(frames)])


def test_a_threshold_is_rounded_down_but_never_below_the_next_detection():
    frames = [counted("1_1", [0.800009], [[0.8]]), counted("2_1", [0.800005], [[0.0]])]
    assert choose_points([tallied(frames)])[1].score == 0.800009
    assert choose_points([tallied(frames[:1])])[1].score == 0.8


def test_the_written_file_can_be_loaded(tmp_path):
    spec = SimpleNamespace(engine_id="tiny@1.0.0+0123456789ab", labels=[SimpleNamespace(name="nodule")])
    fitted = calibrate_scores(
        [tallied(scattered(300), "first"), tallied(scattered(80, seed=5), "second", "boxes"), negatives(40, 2, 0.1)],
        calibration_id="tiny_test",
        spec=spec,
        command="usassist eval calibrate",
        measured_on=date(2026, 1, 2),
    )
    (tmp_path / "tiny_test.toml").write_text(fitted.text)
    loaded = load_score_calibration("tiny@1.0.0+0123456789ab", tmp_path)
    assert loaded == fitted.calibration
    assert [item.truth for item in loaded.sets] == ["masks", "boxes", "negative"]
    assert [item.name for item in loaded.point("quiet").sets] == ["first", "second", "without"]
    assert loaded.measured_on == date(2026, 1, 2)
    assert np.all(np.diff(loaded.calibrated(np.linspace(0, 1, 11), 0)) > 0)
