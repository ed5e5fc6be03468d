from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.unit.evaluation.scenes import LABELS, SIZE_HW_PX, bright_ellipse_engine, frame
from usassist.errors import ConfigError, UsageError
from usassist.evaluation import (
    choose_threshold,
    compute_false_alarms,
    compute_figures,
    read_clips,
    read_labelled,
    read_negatives,
    render_phantom,
    run_frames,
    tally,
)
from usassist.evaluation.folders import list_negatives


def tallies(score, frames):
    return [tally(outcome) for outcome in run_frames(bright_ellipse_engine(score), SIZE_HW_PX, LABELS, frames)]


def test_a_perfect_engine_is_near_perfect_in_whole_frame_pixels():
    frames = [frame(f"{i}_1", [(200 + 20 * i, 150, 50, 30)]) for i in range(4)]
    outcomes = tallies(0.9, frames)
    figures = compute_figures(outcomes, 0.5)
    assert all(item.cropped for item in outcomes)
    assert not any(item.is_dual for item in outcomes)
    assert figures["dice_mean"].value > 0.96
    assert figures["sensitivity"].value == 1.0
    assert figures["false_positives_per_frame"].value == 0.0
    assert abs(figures["diameter_rel_bias"].value) < 0.03
    assert figures["diameter_rel_sd"].value < 0.03
    assert figures["dice_mean"].count == 4


def test_misses_and_false_positives_are_counted():
    frames = [frame("1_1", [(180, 120, 40, 25), (380, 220, 40, 25)], marked=[0]), frame("2_1", [(250, 150, 50, 30)])]
    outcomes = tallies(0.4, frames)
    assert compute_figures(outcomes, 0.3)["false_positives_per_frame"].value == 0.5
    above = compute_figures(outcomes, 0.5)
    assert above["sensitivity"].value == 0.0
    assert above["dice_mean"].value == 0.0
    assert np.isnan(above["diameter_rel_sd"].value)


def test_false_alarms_on_frames_without_nodules():
    frames = [frame("1", [(250, 150, 50, 30)], marked=[]), frame("22", [], marked=[])]
    outcomes = tallies(0.9, frames)
    figures = compute_false_alarms(outcomes, 0.5)
    assert figures["false_alarms_per_frame"].value == 0.5
    assert figures["frames_with_false_alarm"].value == 0.5


def test_the_highest_of_equally_good_thresholds_is_chosen():
    outcomes = tallies(0.62, [frame("1_1", [(250, 150, 50, 30)])])
    threshold, f1 = choose_threshold(outcomes, [0.2, 0.4, 0.6, 0.8])
    assert threshold == 0.6
    assert f1 == {0.2: 1.0, 0.4: 1.0, 0.6: 1.0, 0.8: 0.0}


def test_identical_images_are_one_case_whatever_their_names(tmp_path):
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name, level in (("3_1", 90), ("8_2", 90), ("9_1", 10)):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), np.full((20, 30), level, np.uint8))
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), np.full((20, 30), 255, np.uint8))
    cases = [item.case for item in read_labelled(tmp_path, ["3_1", "8_2", "9_1"])]
    assert cases == ["3", "3", "9"]


def test_negatives_have_no_marked_nodule_and_follow_their_sweeps(tmp_path):
    for name in ("0001", "0300", "0301"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((20, 30), np.uint8))
    found = list(read_negatives(list_negatives(tmp_path, None, []), None, []))
    assert [item.name for item in found] == ["0001", "0300", "0301"]
    assert found[0].case != found[1].case == found[2].case
    assert not any(item.truth.any() for item in found)


def test_a_missing_mask_is_an_error_that_names_it(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "1_1.png"), np.zeros((20, 30), np.uint8))
    with pytest.raises(ConfigError, match="1_1"):
        list(read_labelled(tmp_path, ["1_1"]))


def test_phantom_screens_come_with_their_truth_in_screen_pixels():
    shown = [item for item in render_phantom(8) if item.truth.any()]
    assert shown
    for item in shown:
        assert item.image.shape == item.truth.shape
        assert item.image.dtype == np.uint8


def test_every_20th_frame_of_a_clip_is_read(tmp_path):
    (tmp_path / "linear").mkdir()
    path = tmp_path / "linear" / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write mp4")
    for index in range(45):
        writer.write(np.full((48, 64, 3), index, np.uint8))
    writer.release()
    found = list(read_clips(tmp_path))
    assert [item.name for item in found] == ["a_0", "a_20", "a_40"]
    assert {item.case for item in found} == {"a"}


def test_frames_with_nothing_marked_count_for_false_positives_and_not_for_dice():
    frames = [frame("1_1", [(250, 150, 50, 30)]), frame("2_1", [(250, 150, 50, 30)], marked=[]), frame("3_1", [])]
    figures = compute_figures(tallies(0.9, frames), 0.5)
    assert figures["dice_mean"].count == 1
    assert figures["dice_mean"].value > 0.96
    assert figures["false_positives_per_frame"].count == 3
    assert figures["false_positives_per_frame"].value == pytest.approx(1 / 3)
    assert figures["sensitivity"].count == 1


def test_figures_at_a_threshold_are_those_of_an_engine_without_lower_scores():
    frames = [frame("1_1", [(180, 120, 40, 25), (380, 220, 40, 25)], marked=[0])]
    weak = tallies(0.4, frames)
    assert compute_figures(weak, 0.5)["dice_mean"].value == 0.0
    assert compute_figures(weak, 0.5)["false_positives_per_frame"].value == 0.0
    assert 0.6 < compute_figures(weak, 0.3)["dice_mean"].value < 0.72


def test_an_engine_with_two_labels_is_refused():
    two = (*LABELS, LABELS[0])
    with pytest.raises(UsageError, match="one label"):
        list(run_frames(bright_ellipse_engine(0.9), SIZE_HW_PX, two, [frame("1_1", [])]))
