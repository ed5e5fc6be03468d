from __future__ import annotations

import numpy as np
import pytest

from usassist.evaluation.figures import figure_by_case, mean_by_case
from usassist.evaluation.metrics import bootstrap_by_case, dice, iou, longest_diameter_px, match, regions


def block(x1, y1, x2, y2):
    mask = np.zeros((60, 80), np.bool_)
    mask[y1:y2, x1:x2] = True
    return mask


def test_dice_and_iou_of_half_overlapping_blocks():
    first, second = block(0, 0, 20, 10), block(10, 0, 30, 10)
    assert dice(first, second) == pytest.approx(0.5)
    assert iou(first, second) == pytest.approx(1 / 3)


def test_two_empty_masks_agree_and_an_empty_and_a_filled_one_do_not():
    nothing = np.zeros((5, 5), np.bool_)
    assert dice(nothing, nothing) == iou(nothing, nothing) == 1.0
    assert dice(nothing, ~nothing) == iou(nothing, ~nothing) == 0.0


def test_regions_ignores_specks():
    mask = block(0, 0, 10, 10) | block(30, 30, 33, 33)
    assert [int(region.sum()) for region in regions(mask, 50)] == [100]


def test_match_is_one_to_one_and_takes_the_best_first():
    truth = [block(0, 0, 20, 20)]
    found = [block(0, 0, 20, 14), block(0, 0, 20, 18)]
    assert match(found, truth, 0.3) == [(1, 0)]
    assert match([block(40, 40, 50, 50)], truth, 0.3) == []


def test_longest_diameter_of_a_disc():
    y, x = np.mgrid[0:60, 0:80]
    disc = (x - 40) ** 2 + (y - 30) ** 2 <= 15**2
    assert longest_diameter_px(disc) == pytest.approx(31.0, abs=0.6)


def test_interval_is_wider_when_frames_come_in_cases():
    rng = np.random.default_rng(0)
    level = rng.normal(0.7, 0.1, 20)
    items = [(case, level[case] + rng.normal(0, 0.01)) for case in range(20) for _ in range(5)]

    def mean(drawn):
        return float(np.mean([value for _, value in drawn]))

    value, low, high = bootstrap_by_case(items, lambda item: item[0], mean)
    _, low_by_frame, high_by_frame = bootstrap_by_case(items, lambda item: id(item), mean)
    assert low < value < high
    assert high - low > 1.5 * (high_by_frame - low_by_frame)
    assert high - low == pytest.approx(2 * 1.96 * level.std() / np.sqrt(20), rel=0.25)


def test_equal_seeds_give_equal_intervals():
    items = list(range(10))
    first, second = (bootstrap_by_case(items, lambda item: item, lambda d: float(np.mean(d))) for _ in range(2))
    assert first == second


def test_case_weights_are_the_same_draws():
    items = [(case, float(value)) for case in "abcde" for value in range(ord(case) % 4 + 1)]
    by_list = figure_by_case(items, lambda drawn: float(np.mean(drawn)))
    by_sums = mean_by_case(items)
    assert (by_sums.value, by_sums.low, by_sums.high) == pytest.approx((by_list.value, by_list.low, by_list.high))
    assert by_sums.count == by_list.count == len(items)
    assert np.isnan(mean_by_case([]).value)
