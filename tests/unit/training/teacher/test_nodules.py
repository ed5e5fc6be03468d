"""Nodules with their boxes: reading, cropping, and the check of outlines."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the extra `train`: pip install usassist[train]")

from usassist.errors import ConfigError
from usassist.training.data.appearance import Appearance
from usassist.training.data.boxes import box_of_mask
from usassist.training.data.sample import Sample
from usassist.training.recipe import AugmentConfig
from usassist.training.teacher.batches import augment_crop
from usassist.training.teacher.check import check_outlines, ellipse_in_box, loosen
from usassist.training.teacher.nodules import (
    BoxedNodule,
    crop_plain,
    load_boxed_nodules,
    load_masked,
    split_nodules,
)

HEADER = "id,part,width,height,original_width,original_height,class,x1,y1,x2,y2\n"
NO_LOOK = AugmentConfig(
    histogram_p=0.0,
    gamma_sd=0.0,
    gain_most=1.0,
    tgc_most=0.0,
    speckle_most=0.0,
    shadow_p=0.0,
    blur_p=0.0,
    sharpen_p=0.0,
    jpeg_p=0.0,
    marks_p=0.0,
)


def appearance():
    return Appearance(NO_LOOK, np.empty((0, 256), np.float32), np.empty((0, 9, 5), np.float32))


def disc(seed=0, name="1_1", *, boxed=False):
    """A dark disc in bright speckle, away from the border."""
    rng = np.random.default_rng(seed)
    image = rng.integers(120, 180, (120, 160)).astype(np.uint8)
    mask = np.zeros_like(image)
    axes = tuple(int(axis) for axis in rng.integers(14, 28, 2))
    cv2.ellipse(mask, (int(rng.integers(60, 100)), int(rng.integers(50, 70))), axes, 0, 0, 360, 1, -1)
    image[mask > 0] = 40
    return BoxedNodule(name=name, image=image, box_xyxy_px=box_of_mask(mask), mask=None if boxed else mask)


def write_boxed(folder, rows):
    (folder / "images").mkdir(parents=True)
    cv2.imwrite(str(folder / "images" / "a.jpg"), np.full((50, 80), 90, np.uint8))
    (folder / "boxes.csv").write_text(HEADER + rows, encoding="utf-8")
    return folder


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_crop_shows_the_box_where_the_nodule_is(mirrored):
    nodule = disc(3)
    crop = crop_plain(nodule, 96, 1.5, mirrored=mirrored)
    assert (crop.shown >= 0.5).sum() == pytest.approx(np.pi / 4 * (96 / 1.5) ** 2, rel=0.02)
    mask = cv2.warpAffine(nodule.mask * 255, crop.affine, (96, 96)) > 127
    filled = box_of_mask(mask.astype(np.uint8))
    np.testing.assert_allclose(filled, [16, 16, 80, 80], atol=1.5)
    assert crop.image[mask].mean() < 60 < crop.image[~mask].mean()


def test_an_augmented_crop_moves_image_box_and_target_together():
    for seed in range(12):
        crop = augment_crop(disc(seed), 96, appearance(), np.random.default_rng(seed))
        assert crop.has_mask
        assert crop.target.shape == (48, 48)
        inside = cv2.resize(crop.target, (96, 96)) > 0.9
        assert np.median(crop.image[inside]) < 90
        covered = (inside & (crop.shown >= 0.5)).sum() / inside.sum()
        assert covered > 0.85  # the box that is shown is a little off, as drawn boxes are


def test_the_target_of_a_box_without_mask_is_the_box():
    crop = augment_crop(disc(1, boxed=True), 96, appearance(), np.random.default_rng(0))
    assert not crop.has_mask
    rows, columns = crop.target.max(1), crop.target.max(0)
    np.testing.assert_allclose(crop.target, np.outer(rows, columns), atol=1e-6)
    assert 0.7 < np.pi * crop.target.sum() / (crop.shown >= 0.5).sum() < 1.3


def test_connected_nodules_are_separate_and_specks_are_left_out():
    nodule = np.zeros((80, 120), np.uint8)
    nodule[10:40, 10:50] = 1
    nodule[50:70, 70:100] = 1
    nodule[75:78, 5:8] = 1
    sample = Sample(name="7_1", image=np.zeros_like(nodule), nodule=nodule, gland=np.zeros_like(nodule))
    found = split_nodules([sample])
    assert [one.box_xyxy_px.tolist() for one in found] == [[10, 10, 50, 40], [70, 50, 100, 70]]
    assert sum(int(one.mask.sum()) for one in found) == 30 * 40 + 20 * 30


def test_the_check_gives_the_ellipse_full_marks_on_an_ellipse_and_an_interval_by_case():
    nodules = [disc(n, name=f"{n // 2}_{n}") for n in range(8)]
    check = check_outlines(nodules, [ellipse_in_box(nodule) for nodule in nodules])
    assert (check.nodules, check.cases) == (8, 4)
    assert check.dice > 0.97
    assert check.low <= check.dice <= check.high
    nothing = check_outlines(nodules, [np.zeros_like(nodule.mask) for nodule in nodules])
    assert nothing.dice == nothing.high == 0.0
    wider = loosen(nodules[0]).box_xyxy_px - nodules[0].box_xyxy_px
    assert (wider[:2] < 0).all()
    assert (wider[2:] > 0).all()


def test_boxes_are_read_and_cut_at_the_frame(tmp_path):
    folder = write_boxed(tmp_path, "a,train,80,50,80,50,benign,10.5,-1,60,51\n")
    (nodule,) = load_boxed_nodules(folder, "train")
    assert nodule.box_xyxy_px.tolist() == [10.5, 0.0, 60.0, 50.0]
    assert nodule.mask is None


def test_a_mask_that_does_not_fit_its_frame_is_named(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    with pytest.raises(ConfigError, match="no frames with masks"):
        load_masked(tmp_path)
    cv2.imwrite(str(tmp_path / "images" / "a.jpg"), np.full((50, 80), 90, np.uint8))
    with pytest.raises(ConfigError, match="cannot be read or differ"):
        load_masked(tmp_path)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.full((50, 70), 255, np.uint8))
    with pytest.raises(ConfigError, match="cannot be read or differ"):
        load_masked(tmp_path)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), np.zeros((50, 80), np.uint8))
    with pytest.raises(ConfigError, match="no mask that is not empty"):
        load_masked(tmp_path)
