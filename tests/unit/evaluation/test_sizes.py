"""Errors of lengths, and intervals that hold or do not."""

from __future__ import annotations

import numpy as np
import pytest

from usassist.evaluation.sizes import SizeError, draw_scale_error, size_figures, summarise_lengths


def error(truth_mm, measured_mm, u95_mm=1.0):
    return SizeError(truth_mm=truth_mm, measured_mm=measured_mm, u95_mm=u95_mm)


def test_errors_are_given_in_the_unit_and_relative_and_intervals_are_counted():
    truth, measured = np.array([10.0, 10.0, 20.0]), np.array([11.0, 8.0, 20.5])
    found = summarise_lengths(truth, measured, np.array([1.5, 1.5, 1.5]))
    assert (found["count"], found["abs_p50"], found["p50"]) == (3, 1.0, pytest.approx(0.1))
    assert found["bias"] == pytest.approx((0.1 - 0.2 + 0.025) / 3)
    assert found["coverage"] == pytest.approx(2 / 3)
    assert found["half_width"] == pytest.approx(1.5 / 11.0)
    assert found["abs_p90"] == pytest.approx(1.8)


def test_without_lengths_nothing_is_made_up():
    found = summarise_lengths(*np.empty((3, 0)))
    assert found.pop("count") == 0
    assert np.isnan(list(found.values())).all()
    figures = size_figures([])
    assert all(np.isnan(figure.value) and figure.count == 0 for figure in figures.values())


def test_figures_resample_whole_cases():
    good, bad = [("a", error(10.0, 10.5))] * 5, [("b", error(10.0, 13.0))] * 5
    figures = size_figures([*good, *bad])
    held = figures["diameter_u95_coverage"]
    assert (held.value, held.low, held.high, held.count) == (0.5, 0.0, 1.0, 10)
    assert figures["diameter_error_mm_p90"].value == pytest.approx(3.0)
    assert figures["diameter_error_rel_p50"].value == pytest.approx((0.05 + 0.3) / 2)
    alone = size_figures(good)["diameter_u95_coverage"]
    assert (alone.value, alone.low, alone.high) == (1.0, 1.0, 1.0)


def test_an_interval_holds_up_to_its_end():
    assert error(10.0, 11.0, 1.0).is_covered
    assert not error(10.0, 11.01, 1.0).is_covered


def test_a_simulated_scale_is_wrong_by_as_much_as_is_stated():
    drawn = np.array([draw_scale_error(0.01, seed) for seed in range(300)])
    assert draw_scale_error(0.01, 3) == drawn[3]
    assert abs(drawn.mean() - 1.0) < 0.002
    assert 0.009 < drawn.std() < 0.011
    assert draw_scale_error(0.0, 3) == 1.0
