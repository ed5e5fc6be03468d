"""Codes that say when they were drawn."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usassist.frames.time_code import CodeReader, draw_code, elapsed_ms


@settings(deadline=None)
@given(st.integers(0, 2**40))
def test_a_drawn_time_is_read(t_ms: int) -> None:
    assert CodeReader().read(draw_code(t_ms, (240, 320))) == t_ms % 2**32


@pytest.mark.parametrize("share", [0.25, 0.5, 1.0])
def test_it_is_read_anywhere_on_a_screen_also_small_dim_and_noisy(share: float) -> None:
    rng = np.random.default_rng(1)
    for number in range(10):
        code = cv2.resize(draw_code(123_456_789 + number, (360, 480)), None, fx=share, fy=share)
        screen = np.full((720, 1280), 30, np.float64)
        top, left = (int(rng.integers(0, limit)) for limit in (720 - code.shape[0], 1280 - code.shape[1]))
        screen[top : top + code.shape[0], left : left + code.shape[1]] = 40 + 0.6 * code
        noisy = (screen + rng.normal(0, 6, screen.shape)).clip(0, 255).astype(np.uint8)
        blurred = cv2.GaussianBlur(noisy, (0, 0), 1.0)
        assert CodeReader().read(blurred) == 123_456_789 + number


def test_a_picture_that_was_only_renewed_in_part_is_not_read() -> None:
    old, new = draw_code(1_000_000, (240, 320)), draw_code(1_234_567, (240, 320))
    reader = CodeReader()
    assert reader.read(old) == 1_000_000
    for row in range(96, 150, 6):
        assert reader.read(np.vstack((new[:row], old[row:]))) in (None, 1_234_567, 1_000_000)
    assert reader.read(np.vstack((new[:120], old[120:]))) is None


def test_nothing_is_read_where_there_is_no_code() -> None:
    rng = np.random.default_rng(0)
    reader = CodeReader()
    assert reader.read(np.zeros((480, 640), np.uint8)) is None
    for _ in range(20):
        assert reader.read(rng.integers(0, 256, (480, 640), np.uint8)) is None


def test_times_are_subtracted_across_the_wrap() -> None:
    assert elapsed_ms(2**32 - 20, 2**32 + 30.5) == 50.5
    assert elapsed_ms(30, 10.0) == -20.0
