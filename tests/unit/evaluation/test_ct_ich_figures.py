"""Figures of the engine ``ct_ich``: AUC by pairs, Dice by patient, intervals by group."""

from __future__ import annotations

import math

import numpy as np
import pytest

from usassist.evaluation.ct_ich_figures import (
    PictureScore,
    SliceOverlap,
    area_under_curve,
    dice_by_patient,
    measure_pictures,
    measure_slices,
)


def _overlap(name: str, patient: str, truth: int, found: int, shared: int, score: float = 0.9) -> SliceOverlap:
    return SliceOverlap(
        name=name,
        patient=patient,
        truth_px=truth,
        found_px=found,
        shared_px=shared,
        mask_px=found,
        mask_shared_px=shared,
        score=score,
    )


@pytest.mark.parametrize(
    ("scores", "truth", "expected"),
    [
        ([0.9, 0.8, 0.1], [True, True, False], 1.0),
        ([0.1, 0.8, 0.9], [True, False, False], 0.0),
        ([0.5, 0.5], [True, False], 0.5),
        ([0.9, 0.4, 0.6, 0.1], [True, True, False, False], 0.75),
    ],
)
def test_the_area_is_the_share_of_pairs_in_order(scores: list[float], truth: list[bool], expected: float) -> None:
    assert area_under_curve(np.array(scores), np.array(truth)) == pytest.approx(expected)


def test_without_one_of_the_classes_there_is_no_area() -> None:
    assert math.isnan(area_under_curve(np.array([0.5]), np.array([True])))


def test_pictures_of_a_group_are_drawn_together() -> None:
    scores = [
        PictureScore(name=f"{index}", group=group, has_blood=group < 5, score=0.9 if group < 4 else 0.2 + 0.01 * index)
        for index, group in enumerate(np.repeat(np.arange(10), 3).tolist())
    ]
    figures = measure_pictures(scores, 0.5)
    assert figures["sensitivity"].value == pytest.approx(0.8)
    assert figures["specificity"].value == pytest.approx(1.0)
    assert (figures["sensitivity"].count, figures["specificity"].count) == (15, 15)
    assert figures["auc"].low <= figures["auc"].value <= figures["auc"].high
    single = measure_pictures(
        [PictureScore(**{**_fields(item), "group": index}) for index, item in enumerate(scores)], 0.5
    )
    assert (
        single["sensitivity"].high - single["sensitivity"].low
        < figures["sensitivity"].high - figures["sensitivity"].low
    )


def _fields(item: PictureScore) -> dict:
    return {name: getattr(item, name) for name in PictureScore.__dataclass_fields__}


def test_dice_joins_the_slices_of_a_patient_before_the_mean() -> None:
    overlaps = [
        _overlap("a_1", "a", 100, 100, 100),
        _overlap("a_2", "a", 100, 0, 0, score=0.1),
        _overlap("b_1", "b", 50, 50, 25),
    ]
    assert dice_by_patient(overlaps)["a"][0] == pytest.approx(2 / 3)
    figures = measure_slices(overlaps, 0.5)
    assert figures["dice"].value == pytest.approx((2 / 3 + 0.5) / 2)
    assert figures["dice"].count == 2
    assert figures["sensitivity"].value == pytest.approx(2 / 3)
    assert figures["dice"].low <= figures["dice"].value <= figures["dice"].high
