from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.samples import make_scores, score_file
from usassist.calibrate import AssociationRule, OperatingPoint, load_score_calibration
from usassist.config import resource_dir
from usassist.engine import list_engines
from usassist.errors import CalibrationError, UsageError

ENGINE_ID = "tiny@1.0.0+0123456789ab"

slopes = st.floats(0.05, 20.0)
intercepts = st.floats(-8.0, 8.0)
raw_scores = st.floats(0.0, 1.0, width=32)


def test_a_good_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(score_file(ENGINE_ID, slope=2, intercept=-0.5))
    calibration = load_score_calibration(ENGINE_ID, tmp_path)
    assert calibration is not None
    assert (calibration.calibration_id, calibration.engine_id) == ("tiny_test", ENGINE_ID)
    assert [(label.name, label.slope, label.intercept) for label in calibration.labels] == [("nodule", 2.0, -0.5)]
    assert list(calibration.points) == ["sensitive", "balanced", "quiet"]
    balanced = calibration.point("balanced")
    assert (balanced.sensitivity, balanced.false_positives_per_frame) == (0.95, 0.08)
    assert balanced.alarms_per_negative_frame is None
    assert calibration.point("quiet").alarms_per_negative_frame == 0.01


def test_an_engine_without_a_file_has_no_calibration(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(score_file("tiny@1.0.0+000000000000"))
    assert load_score_calibration(ENGINE_ID, tmp_path) is None
    assert load_score_calibration(ENGINE_ID, tmp_path / "there is none") is None


def test_the_latest_of_two_files_for_one_engine_is_used(tmp_path: Path) -> None:
    text = score_file(ENGINE_ID)
    (tmp_path / "a.toml").write_text(text.replace("2026-01-02", "2026-03-01").replace("tiny_test", "newer"))
    (tmp_path / "b.toml").write_text(text)
    calibration = load_score_calibration(ENGINE_ID, tmp_path)
    assert calibration is not None
    assert calibration.calibration_id == "newer"


def test_two_files_of_one_day_for_one_engine_are_refused(tmp_path: Path) -> None:
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text(score_file(ENGINE_ID))
    with pytest.raises(CalibrationError, match=r"a\.toml and b\.toml are both .* 2026-01-02; remove"):
        load_score_calibration(ENGINE_ID, tmp_path)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("schema = 1", "schema = 3", "update usassist"),
        ("schema = 1", "schema = 2", "missing keys \\['sets'\\]"),
        ("schema = 1", "schema = true", "schema must be int"),
        ("schema = 1", "schema = ", "cannot be read"),
        ('method = "fitted"', "", "missing keys \\['method'\\]"),
        ('method = "fitted"', 'method = "fitted"\nextra = 1', "unknown keys \\['extra'\\]"),
        (f'engine_id = "{ENGINE_ID}"', "engine_id = 3", "engine_id is missing or not a string"),
        (f'engine_id = "{ENGINE_ID}"', "", "engine_id is missing or not a string"),
        ("measured_on = 2026-01-02", 'measured_on = "2026-01-02"', "measured_on must be date"),
        ("measured_on = 2026-01-02", "measured_on = 2026-01-02T10:00:00", "measured_on must be date"),
        ("slope = 1.5", "slope = 0.0", "labels\\[0\\]: slope must be above 0"),
        ("slope = 1.5", "slope = inf", "labels\\[0\\]: slope must be float"),
        ("slope = 1.5", 'slope = "1.5"', "labels\\[0\\]: slope must be float"),
        ("intercept = -0.4", "intercept = nan", "labels\\[0\\]: intercept must be float"),
        (
            "intercept = -0.4",
            "offset = -0.4",
            "labels\\[0\\]: unknown keys \\['offset'\\], missing keys \\['intercept'\\]",
        ),
        ("ece = 0.02", "ece = 1.02", "residual: ece must lie in 0 to 1"),
        ("nodules = 96", "", "residual: unknown keys \\[\\], missing keys \\['nodules'\\]"),
        ("nodules = 96", "nodules = -1", "residual: nodules must not be negative"),
        ("detections = 130", "detections = 130.5", "residual: detections must be int"),
        ("score = 0.5\n", "score = 1.5\n", "points\\[1\\]: score must lie in 0 to 1"),
        ("sensitivity = 0.95", "sensitivity = -0.1", "points\\[1\\]: sensitivity must lie in 0 to 1"),
        ("false_positives_per_frame = 0.08", "false_positives_per_frame = -1", "must not be negative"),
        ("alarms_per_negative_frame = 0.01", 'alarms_per_negative_frame = "few"', "points\\[2\\]: alarms_per_negative"),
        ("alarms_per_negative_frame", "alarms_per_empty_frame", "points\\[2\\]: unknown keys \\['alarms_per_empty"),
        ('name = "balanced"', 'name = "middle"', "one with the name balanced"),
        ('name = "quiet"', 'name = "balanced"', "each with its own name"),
        ("[[points]]", "[[places]]", "unknown keys \\['places'\\], missing keys \\['points'\\]"),
        ("[labels.residual]", "[residual]", "unknown keys \\['residual'\\]"),
    ],
)
def test_a_malformed_file_is_refused_in_one_line(tmp_path: Path, before: str, after: str, message: str) -> None:
    text = score_file(ENGINE_ID)
    assert before in text
    (tmp_path / "broken.toml").write_text(text.replace(before, after))
    with pytest.raises(CalibrationError, match=message) as caught:
        load_score_calibration(ENGINE_ID, tmp_path)
    assert "broken.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


SETS = """
[[sets]]
name = "first"
truth = "boxes"
frames = 65
cases = 56
nodules = 96
detections = 130
ece = 0.02
ece_left_out = 0.05

[[sets]]
name = "second"
truth = "negative"
frames = 30
cases = 2
nodules = 0
detections = 0
"""
FIGURES = """
[[points.sets]]
name = "first"
sensitivity = 0.9
false_positives_per_frame = 0.1
[[points.sets]]
name = "second"
alarms_per_negative_frame = 0.01
"""


def file_with_sets() -> str:
    text = score_file(ENGINE_ID).replace("schema = 1", "schema = 2")
    head, *points = text.split("[[points]]")
    return "[[points]]".join([head, *(f"{point}{FIGURES}\n" for point in points)]) + SETS


def test_a_file_with_sets_gives_the_figures_of_each(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(file_with_sets())
    calibration = load_score_calibration(ENGINE_ID, tmp_path)
    assert calibration is not None
    first, second = calibration.sets
    assert (first.truth, first.ece_left_out) == ("boxes", 0.05)
    assert (second.truth, second.ece, second.ece_left_out) == ("negative", None, None)
    figures = calibration.point("quiet").sets
    assert [item.name for item in figures] == ["first", "second"]
    assert (figures[0].sensitivity, figures[0].alarms_per_negative_frame) == (0.9, None)
    assert (figures[1].sensitivity, figures[1].alarms_per_negative_frame) == (None, 0.01)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('truth = "boxes"', 'truth = "box"', "sets\\[0\\]: truth must be one of masks, boxes, negative"),
        ("ece_left_out = 0.05", "ece_left_out = 2.0", "sets\\[0\\]: ece_left_out must lie in 0 to 1"),
        ("frames = 65", "frames = 6.5", "sets\\[0\\]: frames must be int"),
        ("cases = 56", "", "missing keys \\['cases'\\]"),
        ("sensitivity = 0.9\n", "sensitivity = 1.9\n", "points\\[0\\], sets\\[0\\]: sensitivity must lie in 0 to 1"),
        ("schema = 2", "schema = 1", "unknown keys \\['sets'\\]"),
        ('name = "second"\ntruth', 'name = "third"\ntruth', "points\\[0\\]: sets must be"),
    ],
)
def test_a_malformed_file_with_sets_is_refused_in_one_line(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    text = file_with_sets()
    assert before in text
    (tmp_path / "broken.toml").write_text(text.replace(before, after))
    with pytest.raises(CalibrationError, match=message) as caught:
        load_score_calibration(ENGINE_ID, tmp_path)
    assert "broken.toml" in str(caught.value)


RULE = {"alone": 0.9, "rise": 0.7, "release": 0.4, "frames": 3, "iou": 0.3}
ASSOCIATION = "\n".join(["[points.association]", *(f"{key} = {value}" for key, value in RULE.items()), ""])


def _with_association(table: str) -> str:
    """The file with an association at its last point, quiet."""
    return f"{score_file(ENGINE_ID)}\n{table}"


def test_an_association_belongs_to_its_point(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(_with_association(ASSOCIATION.replace("0.9", "1")))
    calibration = load_score_calibration(ENGINE_ID, tmp_path)
    assert calibration is not None
    rule = AssociationRule(alone=1.0, rise=0.7, release=0.4, frames=3, iou=0.3)
    assert calibration.point("quiet").association == rule
    assert calibration.point("balanced").association is None


def test_a_file_with_sets_may_have_an_association(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text(file_with_sets().replace("[[points.sets]]", f"{ASSOCIATION}[[points.sets]]", 1))
    calibration = load_score_calibration(ENGINE_ID, tmp_path)
    assert calibration is not None
    rules = {name: point.association for name, point in calibration.points.items()}
    assert rules == {"sensitive": AssociationRule(**RULE), "balanced": None, "quiet": None}
    assert all(len(point.sets) == 2 for point in calibration.points.values())


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("alone = 0.9", "", "missing keys \\['alone'\\]"),
        ("alone = 0.9", "alone = 0.9\nhold = 3", "unknown keys \\['hold'\\]"),
        ("alone = 0.9", 'alone = "high"', "alone must be float"),
        ("alone = 0.9", "alone = nan", "alone must be float"),
        ("frames = 3", "frames = 3.0", "frames must be int"),
        ("frames = 3", "frames = 0", "frames of an association must lie in 1 to 30, got 0"),
        ("rise = 0.7", "rise = 0.95", "0 < release <= rise <= alone <= 1, got 0.4, 0.95 and 0.9"),
        ("release = 0.4", "release = 0.8", "got 0.8, 0.7 and 0.9"),
        ("iou = 0.3", "iou = 1.0", "iou of an association must lie between 0 and 1"),
        (ASSOCIATION, "association = 3", "association must be dict"),
    ],
)
def test_a_malformed_association_is_refused_in_one_line(tmp_path: Path, before: str, after: str, message: str) -> None:
    assert before in ASSOCIATION
    (tmp_path / "broken.toml").write_text(_with_association(ASSOCIATION.replace(before, after)))
    with pytest.raises(CalibrationError, match=message) as caught:
        load_score_calibration(ENGINE_ID, tmp_path)
    assert str(caught.value).startswith("score calibration broken.toml, points[2]")
    assert "\n" not in str(caught.value)


def test_tables_instead_of_lists_are_refused(tmp_path: Path) -> None:
    top = score_file(ENGINE_ID).partition("[[labels]]")[0]
    (tmp_path / "x.toml").write_text(f"{top}labels = [3]\npoints = []\n")
    with pytest.raises(CalibrationError, match="labels\\[0\\] must be a table, got 3"):
        load_score_calibration(ENGINE_ID, tmp_path)


def test_an_unknown_point_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no operating point loud .*; known: sensitive, balanced, quiet") as caught:
        make_scores().point("loud")
    assert caught.value.exit_code == 2


def test_labels_of_another_engine_are_refused() -> None:
    calibration = make_scores()
    calibration.check_labels(["nodule"])
    for names in (["cyst"], [], ["nodule", "cyst"]):
        with pytest.raises(CalibrationError, match="calibrate the engine again"):
            calibration.check_labels(names)


def test_calibrated_scores_are_those_of_the_logistic_formula() -> None:
    raw = np.array([0.1, 0.5, 0.9], np.float32)
    expected = [1 / (1 + np.exp(-(1.5 * np.log(p / (1 - p)) - 0.4))) for p in raw.astype(np.float64)]
    calibrated = make_scores(1.5, -0.4).calibrated(raw, 0)
    assert calibrated.dtype == np.float32
    np.testing.assert_allclose(calibrated, expected, rtol=1e-6)


@pytest.mark.parametrize("score", [[-0.001], [1.001], [np.nan], [0.5, np.inf]])
def test_a_raw_score_out_of_range_is_refused(score: list[float]) -> None:
    with pytest.raises(CalibrationError, match="must lie in 0 to 1"):
        make_scores().calibrated(np.array(score), 0)


def test_no_scores_give_no_scores() -> None:
    assert make_scores().calibrated(np.empty(0, np.float32), 0).shape == (0,)


@given(slopes, intercepts)
def test_zero_and_one_are_fixed_points(slope: float, intercept: float) -> None:
    ends = np.array([0.0, 1.0], np.float32)
    np.testing.assert_array_equal(make_scores(slope, intercept).calibrated(ends, 0), ends)
    assert make_scores(slope, intercept, 0.0).raw_threshold("balanced", 0) == 0.0
    assert make_scores(slope, intercept, 1.0).raw_threshold("balanced", 0) <= 1.0


@given(slopes, intercepts, st.lists(st.floats(0.0, 1.0, width=32), min_size=2, max_size=40))
def test_the_order_of_scores_is_kept(slope: float, intercept: float, scores: list[float]) -> None:
    calibrated = make_scores(slope, intercept).calibrated(np.sort(np.array(scores, np.float32)), 0)
    assert (np.diff(calibrated) >= 0).all()
    assert ((calibrated >= 0) & (calibrated <= 1)).all()


@given(st.floats(0.2, 5.0), st.floats(-4.0, 4.0), st.floats(0.001, 0.999))
def test_the_threshold_is_the_inverse_of_the_calibration(slope: float, intercept: float, score: float) -> None:
    raw = make_scores(slope, intercept, score).raw_threshold("balanced", 0)
    closed_form = 1 / (1 + np.exp(-(np.log(score / (1 - score)) - intercept) / slope))
    assert raw == pytest.approx(closed_form, rel=1e-5)


@given(slopes, intercepts, raw_scores, raw_scores, st.integers(-3, 3))
def test_raw_and_calibrated_thresholds_select_the_same_scores(
    slope: float, intercept: float, score: float, elsewhere: float, steps: int
) -> None:
    calibration = make_scores(slope, intercept, score)
    threshold = calibration.raw_threshold("balanced", 0)
    beside = np.float32(threshold)
    for _ in range(abs(steps)):
        beside = np.clip(np.nextafter(beside, np.float32(np.sign(steps) * 2)), 0, 1)
    raw = np.array([elsewhere, beside, 1.0], np.float32)
    calibrated = calibration.calibrated(raw, 0)
    np.testing.assert_array_equal(raw.astype(np.float64) >= threshold, calibrated.astype(np.float64) >= score)


@given(st.floats(0.0, 1.0))
def test_min_score_is_the_smallest_float32_that_is_not_below_the_threshold(score: float) -> None:
    point = OperatingPoint(name="balanced", score=score, sensitivity=0.9, false_positives_per_frame=0.1)
    min_score = point.min_score
    assert min_score.dtype == np.float32
    assert float(min_score) >= score
    assert score == 0.0 or float(np.nextafter(min_score, np.float32(-1.0))) < score


def test_every_calibration_that_ships_can_be_read_and_belongs_to_an_engine_that_ships() -> None:
    folder = resource_dir("calibration") / "score"
    ids = {spec.engine_id for spec in list_engines()}
    found = [calibration for engine_id in ids if (calibration := load_score_calibration(engine_id)) is not None]
    assert len(found) <= len(list(folder.glob("*.toml")))
    for file in folder.glob("*.toml"):
        assert any(f'"{engine_id}"' in file.read_text() for engine_id in ids), file.name
