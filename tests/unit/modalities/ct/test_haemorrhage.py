"""Scores of slices to a score of the study, outlines inside of the skull, and their volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from usassist.modalities.ct.haemorrhage.postprocess import (
    decode_slices,
    measure_label,
    outline,
    plane_distance_mm,
    score_study,
    study_planes,
)
from usassist.modalities.ct.haemorrhage.skull import find_inside
from usassist.records import LabelSpec
from usassist.volumes import Volume

LABEL = LabelSpec(
    id=0, name="haemorrhage", scheme="SCT", value="1386000", meaning="x", color_rgb=(255, 0, 0), score_threshold=0.5
)


def _volume(shape: tuple[int, int, int], spacing_zyx: tuple[float, float, float], **changes: Any) -> Volume:
    affine = np.diag([*spacing_zyx[::-1], 1.0])
    affine[:3, 3] = (-10.0, -20.0, 5.0)
    affine[1, 2] = changes.pop("shear_mm", 0.0)
    values = {
        "session_id": "s",
        "source_id": "ct0",
        "series_id": "a1",
        "modality": "CT",
        "voxels": np.zeros(shape, np.int16),
        "affine_ijk_to_lps_mm": affine,
        "unit": "HU",
    }
    return Volume(**(values | changes))


def _outline(heat: np.ndarray, volume: Volume, flagged: list[int] | None = None) -> tuple[np.ndarray, int]:
    planes = np.zeros(len(heat), np.bool_)
    planes[range(len(heat)) if flagged is None else flagged] = True
    labelmap = np.zeros(heat.shape, np.uint8)
    return labelmap, outline(heat, planes, volume, labelmap, lambda done: None)


@pytest.mark.parametrize(
    ("scores", "run", "expected"),
    [
        ([0.0, 0.0, 0.9, 0.0, 0.0], 2, 0.45),  # one outlier alone stays below a threshold of 0.5
        ([0.0, 0.9, 0.8, 0.0], 2, 0.85),
        ([0.2, 0.2, 0.2], 3, 0.2),
        ([0.7], 1, 0.7),
        ([0.0, 0.9, 0.0, 0.9, 0.0], 2, 0.45),  # slices that are not neighbours do not add up
    ],
)
def test_score_of_a_study_is_the_best_run_of_neighbours(scores: list[float], run: int, expected: float) -> None:
    assert score_study(np.array(scores, np.float32), run) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("depth", "distance_mm", "known", "planes"),
    [(30, 5.0, True, 2), (60, 2.5, True, 2), (300, 0.5, True, 12), (30, 1.0, False, 3), (1, 5.0, True, 1)],
)
def test_a_run_covers_six_millimetres_and_at_least_two_planes(
    depth: int, distance_mm: float, known: bool, planes: int
) -> None:
    volume = _volume((depth, 4, 4), (distance_mm, 0.5, 0.5), spacing_is_known=known)
    assert study_planes(volume) == planes


@pytest.mark.parametrize("shear_mm", [0.0, 1.5])
def test_volume_of_an_ellipsoid_is_exact_with_and_without_tilt(shear_mm: float) -> None:
    """4/3 π a b c, in mL; a sheared grid has the voxels of an upright one, only moved."""
    spacing = (2.0, 0.5, 0.5)
    volume = _volume((40, 128, 128), spacing, shear_mm=shear_mm)
    z, y, x = np.ogrid[:40, :128, :128]
    a, b, c = 20.0, 25.0, 30.0  # mm along x, y, z
    inside = ((x - 63.5) * 0.5 / a) ** 2 + ((y - 63.5) * 0.5 / b) ** 2 + ((z - 19.5) * 2.0 / c) ** 2
    heat = np.where(inside <= 1.0, 255, 1).astype(np.uint8)
    labelmap, voxels = _outline(heat, volume)
    (size,) = measure_label(voxels, LABEL, volume, 0.05)
    assert size.value == pytest.approx(4.0 / 3.0 * np.pi * a * b * c / 1000.0, rel=0.01)
    assert size.unit == "mL"
    assert size.u95 is None
    assert size.reason == "the uncertainty of the spacing was not measured"
    assert plane_distance_mm(volume) == pytest.approx(2.0)
    assert np.count_nonzero(labelmap) == voxels


def test_uncertainty_counts_three_lengths() -> None:
    volume = _volume((4, 8, 8), (5.0, 1.0, 1.0), spacing_rel_sd=0.03)
    (size,) = measure_label(200, LABEL, volume, 0.04)
    assert size.value == pytest.approx(1.0)
    assert size.u95 == pytest.approx(2 * 3 * 0.05)


def test_what_has_no_spacing_or_is_one_slice_has_no_volume_and_says_why() -> None:
    (size,) = measure_label(200, LABEL, _volume((4, 8, 8), (1.0, 1.0, 1.0), spacing_is_known=False), 0.1)
    assert (size.value, size.reason) == (None, "the file states no spacing")
    area, size = measure_label(200, LABEL, _volume((1, 64, 64), (5.0, 0.5, 0.5)), 0.1)
    assert (area.name, area.unit) == ("haemorrhage_area", "cm2")
    assert area.value == pytest.approx(200 * 0.25 / 100)
    assert (size.value, size.reason) == (None, "one slice is not a volume")
    (size,) = measure_label(0, LABEL, _volume((4, 8, 8), (5.0, 1.0, 1.0)), 0.1)
    assert (size.value, size.reason) == (None, "nothing was outlined")


def test_specks_and_what_lies_in_no_flagged_plane_are_left_out() -> None:
    volume = _volume((12, 64, 64), (5.0, 0.5, 0.5))
    heat = np.ones((12, 64, 64), np.uint8)
    heat[2:4, 10:30, 10:30] = 220  # 1 mL, in a flagged plane
    heat[2, 50:55, 50:55] = 250  # 0.03 mL
    heat[8:10, 10:30, 10:30] = 220  # 1 mL, where no plane is flagged
    labelmap, voxels = _outline(heat, volume, flagged=[3])
    assert voxels == 800
    assert set(np.unique(np.nonzero(labelmap)[0])) == {2, 3}


def test_thin_planes_are_averaged_so_that_one_plane_alone_outlines_nothing() -> None:
    heat = np.ones((9, 64, 64), np.uint8)
    heat[4, 5:45, 5:45] = 220
    assert _outline(heat, _volume(heat.shape, (1.0, 0.5, 0.5)))[1] == 0
    assert _outline(heat, _volume(heat.shape, (5.0, 0.5, 0.5)))[1] == 1600  # a thick slice shows it whole
    heat[5] = heat[4]
    assert _outline(heat, _volume(heat.shape, (1.0, 0.5, 0.5)))[1] > 0


def _head(gap_deg: float = 0.0, side: int = 256) -> np.ndarray:
    """A head in one plane: scalp, a ring of bone, perhaps with a piece missing, and brain."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    reach = np.hypot(y / 1.2, x) / side
    crop = np.where(reach < 0.38, -20.0, -1000.0)
    crop[reach < 0.36] = 1000.0
    turn = np.abs(np.degrees(np.arctan2(y, x)))
    crop[(reach < 0.36) & (turn < gap_deg / 2)] = 30.0
    crop[reach < 0.33] = 30.0
    return crop.astype(np.float32)


@pytest.mark.parametrize("gap_deg", [0.0, 4.0, 60.0])
def test_inside_of_the_skull_is_found_also_where_a_piece_of_it_is_missing(gap_deg: float) -> None:
    crop = _head(gap_deg)
    y, x = np.mgrid[:256, :256] - 127.5
    brain = np.hypot(y / 1.2, x) / 256 < 0.32
    inside = find_inside(crop)
    assert inside[brain].mean() > 0.97
    assert not inside[crop > 300].any()
    assert not inside[np.hypot(y / 1.2, x) / 256 > 0.36].any()


def test_without_a_ring_of_bone_there_is_no_inside() -> None:
    crop = _head()
    crop[crop > 300] = 40.0
    assert not find_inside(crop).any()  # a section above the vertex
    jaw_and_neck = crop.copy()
    jaw_and_neck[200:210, 100:150], jaw_and_neck[60:75, 110:145] = 900.0, 900.0
    assert not find_inside(jaw_and_neck).any()


def test_decoder_finds_each_spot_of_a_batch() -> None:
    masks = np.zeros((2, 1, 64, 64), np.float32)
    masks[0, 0, 10:20, 10:20], masks[1, 0, 30:40, 5:15], masks[1, 0, 50:60, 50:60] = 0.8, 0.9, 0.6
    masks[0, 0, 40:43, 40:43] = 1.0  # 9 px
    found = decode_slices(masks, 0)
    assert sorted(found.score.tolist()) == pytest.approx([0.6, 0.8, 0.9])
    assert found.masks is not None
    assert [int(spot.sum()) for spot in found.masks] == [100, 100, 100]
