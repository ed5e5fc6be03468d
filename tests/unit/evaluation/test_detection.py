from __future__ import annotations

import numpy as np
import pytest

from tests.unit.evaluation.scenes import counted
from usassist.evaluation import bootstrap_by_case
from usassist.evaluation.detection import (
    average_precision,
    average_precision_figure,
    calibration_bins,
    ece_figure,
    expected_calibration_error,
    froc,
    froc_figures,
    match_detections,
)


def test_froc_of_three_detections_counted_by_hand():
    frames = [counted("1_1", [0.9, 0.4], [[0.8], [0.0]]), counted("2_1", [0.6], [[0.1]])]
    curve = froc(frames)
    assert curve.threshold.tolist() == [0.9, 0.6, 0.4]
    assert curve.sensitivity.tolist() == [0.5, 0.5, 0.5]
    assert curve.false_positives_per_frame.tolist() == [0.0, 0.5, 1.0]


def test_froc_matches_separately_at_every_threshold():
    # The weak detection overlaps more, so it takes the nodule once it is counted; the strong one is right until then.
    curve = froc([counted("1_1", [0.9, 0.2], [[0.4], [0.5]])])
    assert curve.sensitivity.tolist() == [1.0, 1.0]
    assert curve.false_positives_per_frame.tolist() == [0.0, 1.0]


def test_sensitivity_at_a_rate_is_the_best_within_it():
    frames = [counted(f"{case}_1", [0.9 - 0.05 * case, 0.3], [[0.8], [0.0]]) for case in range(9)]
    frames.append(counted("9_1", [0.35, 0.2], [[0.0], [0.8]]))
    figures = froc_figures(frames)
    assert figures["0.05"].value == pytest.approx(0.9)
    assert figures["0.1"].value == pytest.approx(0.9)
    assert figures["0.5"].value == pytest.approx(0.9)
    assert froc_figures(frames[:2])["0.5"].value == 1.0
    assert figures["0.1"].low <= figures["0.1"].value <= figures["0.1"].high
    assert figures["0.1"].count == 10


def test_sensitivity_is_0_where_no_threshold_has_so_few_false_positives():
    assert froc_figures([counted("1_1", [0.9, 0.4], [[0.0], [0.8]])])["0.5"].value == 0.0


def test_average_precision_counts_nodules_that_were_never_found():
    pytest.importorskip("sklearn", reason="needs the extra `eval`")
    # Precision 1 at the first hit and 2/3 at the second; each is a recall of 1/4.
    value = average_precision(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 4)
    assert value == pytest.approx((1 + 2 / 3) / 4)


def test_average_precision_without_hits_is_0_and_without_nodules_undefined():
    assert average_precision(np.array([0.9]), np.array([False]), 3) == 0.0
    assert average_precision(np.zeros(0), np.zeros(0, np.bool_), 3) == 0.0
    assert np.isnan(average_precision(np.array([0.9]), np.array([False]), 0))


def test_ap50_needs_half_of_the_union():
    pytest.importorskip("sklearn", reason="needs the extra `eval`")
    frames = [counted("1_1", [0.9], [[0.45]]), counted("2_1", [0.8], [[0.6]])]
    assert average_precision_figure(frames).value == pytest.approx(0.25)


def test_the_interval_of_ap50_resamples_whole_cases():
    pytest.importorskip("sklearn", reason="needs the extra `eval`")
    rng = np.random.default_rng(3)
    frames = []
    for index in range(12):
        score = np.sort(rng.choice(np.arange(1, 10) / 10, 3))[::-1]
        overlap = np.where(rng.random(3) < 0.4, 0.8, 0.1)
        frames.append(counted(f"{index // 2}_{index}", score, overlap[:, None]))
    matched = [match_detections(item, 0.5) for item in frames]

    def statistic(drawn):
        score = np.concatenate([item.score for item in drawn])
        is_hit = np.concatenate([item.is_hit for item in drawn])
        return average_precision(score, is_hit, len(drawn))

    value, low, high = bootstrap_by_case(matched, lambda item: item.case, statistic)
    figure = average_precision_figure(frames)
    assert (figure.value, figure.low, figure.high) == pytest.approx((value, low, high))
    assert low < value < high


def test_the_interval_of_the_calibration_error_resamples_whole_cases():
    rng = np.random.default_rng(4)
    frames = [
        counted(f"{index // 2}_{index}", np.sort(rng.random(2))[::-1], rng.choice([0.1, 0.8], (2, 1)))
        for index in range(12)
    ]

    def statistic(drawn):
        score = np.concatenate([item.score for item in drawn])
        return expected_calibration_error(score, np.concatenate([item.is_hit for item in drawn]))

    expected = bootstrap_by_case([match_detections(item) for item in frames], lambda item: item.case, statistic)
    figure = ece_figure(frames)
    assert (figure.value, figure.low, figure.high) == pytest.approx(expected)


def test_a_second_detection_of_a_nodule_is_wrong_and_the_better_score_is_matched_first():
    matched = match_detections(counted("1_1", [0.9, 0.8, 0.7], [[0.35], [0.6], [0.0]]))
    assert matched.is_hit.tolist() == [True, False, False]


def test_each_detection_is_matched_to_an_unmatched_nodule():
    matched = match_detections(counted("1_1", [0.9, 0.8], [[0.5, 0.4], [0.5, 0.4]], nodule_px=(900, 900)))
    assert matched.is_hit.tolist() == [True, True]


def test_calibration_error_of_three_detections_counted_by_hand():
    score, is_hit = np.array([0.95, 0.85, 0.81]), np.array([True, False, True])
    assert expected_calibration_error(score, is_hit) == pytest.approx((1 * 0.05 + 2 * 0.33) / 3)


def test_bins_are_ten_and_a_score_of_1_is_in_the_last():
    bins = calibration_bins(np.array([0.0, 0.1, 1.0]), np.array([False, True, True]))
    assert [item.detections for item in bins] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert bins[9].mean_score == 1.0
    assert np.isnan(bins[5].mean_score)


def test_calibration_error_of_no_detections_is_undefined():
    figure = ece_figure([counted("1_1", [], [])])
    assert np.isnan(figure.value)
    assert figure.count == 0
