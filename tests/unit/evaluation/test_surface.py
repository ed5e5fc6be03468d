from __future__ import annotations

import sys

import numpy as np
import pytest

from usassist.errors import UsageError
from usassist.evaluation.metrics import surface_distance


def square(x, y, side=40):
    mask = np.zeros((100, 120), np.bool_)
    mask[y : y + side, x : x + side] = True
    return mask


def test_a_square_moved_by_5_px_counted_by_hand():
    pytest.importorskip("monai", reason="needs the extra `eval`")
    # Of the 156 pixels of either outline 78 lie more than 2 px from the other: one side with 40, of the two sides along
    # the move 2 each at the end, and of the far side 34 (its two ends lie near the sides along the move).
    distance = surface_distance(square(30, 30), square(35, 30))
    assert distance.nsd == pytest.approx(0.5)
    assert distance.hd95_px == pytest.approx(5.0)


def test_identical_outlines_have_no_distance():
    pytest.importorskip("monai", reason="needs the extra `eval`")
    distance = surface_distance(square(30, 30), square(30, 30))
    assert (distance.nsd, distance.hd95_px) == (1.0, 0.0)


def test_nothing_found_scores_the_diagonal_of_the_frame():
    distance = surface_distance(np.zeros((300, 400), np.bool_), np.ones((300, 400), np.bool_))
    assert (distance.nsd, distance.hd95_px) == (0.0, 500.0)


def test_nothing_marked_has_no_distance():
    with pytest.raises(ValueError, match="no outline"):
        surface_distance(square(3, 3), np.zeros((100, 120), np.bool_))


def test_a_missing_library_is_named_with_the_extra_to_install(monkeypatch):
    pytest.importorskip("torch", reason="needs the extra `eval`")
    monkeypatch.setitem(sys.modules, "monai.metrics", None)
    with pytest.raises(UsageError, match=r"monai .*usassist\[eval\]"):
        surface_distance(square(30, 30), square(35, 30))
