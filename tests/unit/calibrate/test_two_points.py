"""The scale by two points of known distance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from usassist.calibrate.two_points import scale_of_two_points
from usassist.errors import CalibrationError

HW_PX = (360, 320)


def test_the_scale_is_the_distance_over_the_length_of_the_line() -> None:
    scale = scale_of_two_points(((10.0, 20.0), (10.0, 320.0)), 30.0, HW_PX)
    assert scale.mm_per_px == pytest.approx(0.1)
    oblique = scale_of_two_points(((10.0, 20.0), (190.0, 260.0)), 30.0, HW_PX)
    assert oblique.mm_per_px == pytest.approx(0.1)
    assert oblique.length_px == pytest.approx(300.0)


def test_the_uncertainty_covers_what_clicks_scatter_by() -> None:
    rng, length_px = np.random.default_rng(0), 120.0
    errors = rng.normal(0.0, 1.5, (20_000, 2))
    scattered = np.std(30.0 / (length_px + errors[:, 1] - errors[:, 0]) * length_px / 30.0)
    scale = scale_of_two_points(((10.0, 20.0), (10.0, 20.0 + length_px)), 30.0, HW_PX)
    assert scale.rel_sd == pytest.approx(math.hypot(scattered, 0.01), rel=0.03), "and 1 % for square pixels"


def test_a_longer_line_is_more_certain() -> None:
    short = scale_of_two_points(((0.0, 0.0), (0.0, 40.0)), 10.0, HW_PX)
    long = scale_of_two_points(((0.0, 0.0), (0.0, 300.0)), 75.0, HW_PX)
    assert 0.05 < short.rel_sd < 0.06
    assert 0.01 < long.rel_sd < 0.0125


@pytest.mark.parametrize(
    ("points", "mm", "words"),
    [
        (((10.0, 20.0), (10.0, 59.0)), 10.0, "39 px apart; choose two that are 40 px"),
        (((10.0, 20.0), (10.0, 20.0)), 10.0, "0 px apart"),
        (((-1.0, 20.0), (10.0, 200.0)), 10.0, "outside the frame"),
        (((10.0, 20.0), (10.0, 361.0)), 10.0, "outside the frame"),
        (((10.0, math.nan), (10.0, 200.0)), 10.0, "outside the frame"),
        (((10.0, 20.0), (10.0, 200.0)), 0.9, "1 to 300 mm"),
        (((10.0, 20.0), (10.0, 200.0)), 301.0, "1 to 300 mm"),
        (((10.0, 20.0), (10.0, 200.0)), math.nan, "1 to 300 mm"),
        (((10.0, 20.0), (10.0, 320.0)), 3.0, "4 mm deep, and 20 to 300 mm are plausible"),  # centimetres were typed
        (((10.0, 20.0), (10.0, 120.0)), 300.0, "1080 mm deep"),
    ],
)
def test_what_cannot_be_a_scale_is_refused_with_the_reason(points: tuple, mm: float, words: str) -> None:
    with pytest.raises(CalibrationError, match=words):
        scale_of_two_points(points, mm, HW_PX)
