"""The checks of outlines from boxes, and what is written."""

from __future__ import annotations

import csv

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")


import torch

from usassist.training.teacher.check import ellipse_in_box
from usassist.training.teacher.nodules import BoxedNodule
from usassist.training.teacher.outlines import FIGURES_FILE, MARGINS, Rules, choose_outline, predict, write_outlines

BOX = np.array([30.0, 20.0, 90.0, 70.0])


def nodule(name="a", box=BOX):
    return BoxedNodule(name=name, image=np.full((100, 120), 80, np.uint8), box_xyxy_px=np.asarray(box, np.float64))


def ellipse(center, axes, value=0.9):
    prob = np.full((100, 120), 0.02, np.float32)
    cv2.ellipse(prob, center, axes, 0, 0, 360, value, -1)
    return prob


def chosen(prob, **changes):
    return choose_outline(nodule(), prob[None] if prob.ndim == 2 else prob, "train", Rules(**changes))


def test_an_ellipse_that_fills_its_box_is_kept():
    outline = chosen(ellipse((60, 45), (29, 24)))
    assert outline.kept
    assert not outline.refused
    assert outline.threshold == 0.5
    assert 0.7 < outline.area_share < 0.85
    assert outline.region_share == 1.0


@pytest.mark.parametrize(
    ("shift", "side"), [((9, 0), "left"), ((-9, 0), "right"), ((0, 9), "top"), ((0, -9), "bottom")]
)
def test_an_outline_that_misses_one_side_is_refused(shift, side):
    outline = chosen(ellipse((60 + shift[0], 45 + shift[1]), (29, 24)))
    assert "sides" in outline.refused
    assert getattr(outline, f"gap_{side}_px") > 6


def test_the_gap_that_is_allowed_is_the_greater_of_both_limits():
    prob = ellipse((60, 45), (25, 20))
    assert "sides" not in chosen(prob, gap_px=5.5, gap_share=0.0).refused
    assert "sides" not in chosen(prob, gap_px=0.0, gap_share=0.11).refused
    assert "sides" in chosen(prob, gap_px=3.0, gap_share=0.05).refused


def test_what_lies_outside_the_box_is_cut_and_holes_are_filled():
    prob = np.full((100, 120), 0.9, np.float32)
    prob[40:50, 55:65] = 0.1
    outline = chosen(prob)
    assert outline.mask.sum() == 60 * 50
    assert "area" in outline.refused


def test_two_regions_are_refused():
    outline = chosen(np.maximum(ellipse((45, 45), (14, 24)), ellipse((76, 45), (13, 24))))
    assert "regions" in outline.refused


def test_a_cross_that_touches_all_sides_is_refused():
    prob = np.full((100, 120), 0.02, np.float32)
    prob[20:70, 55:65] = prob[40:50, 30:90] = 0.9
    outline = chosen(prob)
    assert "sides" not in outline.refused
    assert {"area", "solidity"} <= set(outline.refused.split("+"))


def test_a_lower_threshold_is_tried_where_the_first_outline_is_too_small():
    outline = chosen(np.maximum(ellipse((60, 45), (29, 24), 0.45), ellipse((60, 45), (15, 12), 0.9)))
    assert outline.kept
    assert outline.threshold == 0.4


def test_predictions_that_disagree_are_refused():
    probs = np.stack([ellipse((60, 45), (29, 24)), ellipse((48, 45), (17, 24)), ellipse((72, 45), (17, 24))])
    assert "agreement" in chosen(probs, thresholds=(0.5,)).refused


def test_nothing_found_is_refused_and_has_no_gaps():
    outline = chosen(np.zeros((100, 120), np.float32))
    assert (outline.kept, outline.refused) == (False, "empty")
    assert np.isnan(outline.gap_left_px)
    assert not outline.mask.any()


def test_kept_masks_and_the_table_of_all_are_written(tmp_path):
    (tmp_path / "b.png").write_bytes(b"of an earlier run")
    kept = choose_outline(nodule("a"), ellipse((60, 45), (29, 24))[None], "train")
    refused = choose_outline(nodule("b"), ellipse((69, 45), (29, 24))[None], "train")
    counts = write_outlines(tmp_path, [kept, refused])
    assert counts == {"train": {"frames": 2, "kept": 1, "sides": 1}}
    assert [path.name for path in tmp_path.glob("*.png")] == ["a.png"]
    mask = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(mask, kept.mask * 255)
    with (tmp_path / FIGURES_FILE).open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["name"], row["kept"], row["refused"]) for row in rows] == [("a", "1", ""), ("b", "0", "sides")]


class _Shown(torch.nn.Module):
    """Answers with the ellipse in the box that it is shown."""

    def forward(self, inputs):
        return (torch.nn.functional.avg_pool2d(inputs[:, 1:], 2) - 0.5) * 20


@pytest.mark.parametrize("box", [BOX, [0.0, 0.0, 40.0, 30.0], [70.0, 60.0, 120.0, 100.0]])
def test_predictions_come_back_to_the_place_of_the_box(box):
    (probs,) = predict(_Shown(), [nodule(box=box)], 64)
    assert probs.shape == (2 * len(MARGINS), 100, 120)
    truth = ellipse_in_box(nodule(box=box)) > 0
    for prob in probs:
        assert ((prob >= 0.5) & truth).sum() / ((prob >= 0.5) | truth).sum() > 0.93
