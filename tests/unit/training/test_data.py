from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from usassist.config import data_dir
from usassist.errors import ConfigError
from usassist.training.appearance import Appearance, compute_low_spectrum
from usassist.training.augment import Augmenter
from usassist.training.boxed import load_boxed
from usassist.training.compose import compose_dual_view, paste_nodule
from usassist.training.datasets import (
    DUPLICATE_GROUPS,
    Sample,
    compute_fingerprint,
    cumulative_histogram,
    list_nodule_frames,
    load_cached,
    load_gland,
    load_nodule,
)
from usassist.training.recipe import AugmentConfig

SIZE_HW_PX = (256, 384)
PLAIN = AugmentConfig(
    zoom_least=1.0,
    zoom_most=1.0,
    aspect_most=1.0,
    rotate_most_deg=0.0,
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


def augmenter(config, *donors):
    histograms = np.stack([cumulative_histogram(d.image) for d in donors]) if donors else np.empty((0, 256), np.float32)
    spectra = np.stack([compute_low_spectrum(d.image) for d in donors]) if donors else np.empty((0, 9, 5), np.float32)
    return Augmenter(config, Appearance(config, histograms, spectra))


def sample(name="1_1", *, nodule=True, gland=False):
    rng = np.random.default_rng(3)
    image = rng.integers(40, 120, (200, 300)).astype(np.uint8)
    mask, tissue = np.zeros(image.shape, np.uint8), np.zeros(image.shape, np.uint8)
    if nodule:
        cv2.ellipse(mask, (150, 100), (40, 25), 0, 0, 360, 1, -1)
        image[mask > 0] = 200
    if gland:
        cv2.ellipse(tissue, (150, 100), (90, 60), 0, 0, 360, 1, -1)
    return Sample(name=name, image=image, nodule=mask, gland=tissue)


def test_mask_and_image_are_warped_together():
    rng = np.random.default_rng(0)
    bright = sample()
    moved = AugmentConfig(
        histogram_p=0.0, marks_p=0.0, shadow_p=0.0, speckle_most=0.0, jpeg_p=0.0, tgc_most=0.0, elastic_most=0.05
    )
    overlaps = []
    for _ in range(40):
        image, nodule, _ = augmenter(moved)(bright, SIZE_HW_PX, rng)
        assert image.shape == nodule.shape == SIZE_HW_PX
        if nodule.sum() > 500:
            level = (float(image[nodule > 0].mean()) + float(image[(nodule == 0) & (image > 0)].mean())) / 2
            found = image > level
            overlaps.append(2 * (found & (nodule > 0)).sum() / (found.sum() + nodule.sum()))
    assert np.median(overlaps) > 0.95


def test_without_augmentation_the_frame_is_only_letterboxed_and_possibly_mirrored():
    rng = np.random.default_rng(0)
    for _ in range(4):
        image, nodule, gland = augmenter(PLAIN)(sample(gland=True), SIZE_HW_PX, rng)
        assert abs(int(gland.sum()) - sample(gland=True).gland.sum() * 1.28**2) < 120
        assert abs(int(nodule.sum()) - sample().nodule.sum() * 1.28**2) < 60
        columns = np.flatnonzero(nodule.any(0))
        assert (columns.min() + columns.max() + 1) / 2 == pytest.approx(192, abs=1.5)
        assert not image[:, 384:].any()


def test_equal_seeds_give_equal_frames():
    config = AugmentConfig(elastic_most=0.05, spectrum_p=0.5, speckle_swap_p=0.5, equalise_p=0.5, corners_p=0.5)
    for seed in range(6):
        first, second = (
            augmenter(config, sample())(sample(), SIZE_HW_PX, np.random.default_rng(seed)) for _ in range(2)
        )
        for before, after in zip(first, second, strict=True):
            assert np.array_equal(before, after)


@pytest.mark.parametrize("change", ["spectrum_p", "speckle_swap_p", "equalise_p", "corners_p"])
def test_each_appearance_change_changes_the_frame_and_not_its_masks(change):
    plain = dataclasses.replace(PLAIN, speckle_most=0.2 if change == "speckle_swap_p" else 0.0)
    donor = sample("d")
    donor.image[:, :60] //= 4
    for seed in range(3):
        look, other = (
            augmenter(config, donor)(sample(), SIZE_HW_PX, np.random.default_rng(seed))
            for config in (plain, dataclasses.replace(plain, **{change: 1.0}))
        )
        assert np.abs(look[0].astype(int) - other[0]).mean() > 0.5
        assert np.array_equal(look[1], other[1])


def test_spectrum_transfer_keeps_the_mean_brightness():
    config = dataclasses.replace(PLAIN, spectrum_p=1.0)
    donor = sample("d")
    donor.image[:, :60] //= 4
    rng = np.random.default_rng(0)
    full = sample("f")
    full = dataclasses.replace(full, image=np.full((256, 384), 100, np.uint8), nodule=np.zeros((256, 384), np.uint8))
    full.image[100:150, 100:200] = 140
    for _ in range(10):
        image, _, _ = augmenter(config, donor)(dataclasses.replace(full, gland=full.nodule), SIZE_HW_PX, rng)
        assert float(image.mean()) == pytest.approx(float(full.image.mean()) * 1.0, abs=16)


def test_a_dual_view_shows_both_frames_with_their_nodules_and_a_gap():
    left, right = sample("a"), sample("b", nodule=False)
    both = compose_dual_view(left, right)
    assert both.image.shape[0] == 200
    assert both.image.shape[1] > 600
    assert np.array_equal(both.image[:, :300], left.image)
    assert both.nodule[:, :300].sum() == left.nodule.sum() == both.nodule.sum()
    assert not both.image[:, 301:310].any()


def test_a_pasted_nodule_overlaps_the_gland_and_does_not_change_the_originals():
    rng = np.random.default_rng(1)
    gland, donor = sample("g", nodule=False, gland=True), sample("d")
    before = compute_fingerprint([gland, donor])
    pasted = [paste_nodule(gland, donor, rng) for _ in range(10)]
    changed = [item for item in pasted if item is not gland]
    assert changed
    for item in changed:
        assert (item.nodule & item.gland).any()
        assert not np.array_equal(item.image, gland.image)
    assert compute_fingerprint([gland, donor]) == before


def test_pasting_needs_a_gland():
    empty = sample("e", nodule=False)
    assert paste_nodule(empty, sample("d"), np.random.default_rng(0)) is empty


def test_a_fan_is_narrow_at_the_skin_and_black_beside_it():
    config = dataclasses.replace(PLAIN, fan_p=1.0)
    wide = dataclasses.replace(sample(), image=np.full((200, 300), 120, np.uint8))
    for seed in range(5):
        image, nodule, _ = augmenter(config)(wide, SIZE_HW_PX, np.random.default_rng(seed))
        widths = (image > 60).sum(1)
        assert widths[3] < widths[200] <= SIZE_HW_PX[1]
        assert nodule.any()
        assert not nodule[image == 0].any()


def boxes_csv(folder, *rows):
    (folder / "images").mkdir(exist_ok=True)
    head = "id,part,width,height,original_width,original_height,class,x1,y1,x2,y2\n"
    (folder / "boxes.csv").write_text(head + "".join(f"{row}\n" for row in rows), encoding="utf-8")
    grey = np.random.default_rng(0).integers(30, 200, (150, 200)).astype(np.uint8)
    for row in rows:
        cv2.imwrite(str(folder / "images" / f"{row.split(',')[0]}.jpg"), grey)


def test_boxed_frames_have_an_ellipse_or_the_outline_of_a_teacher(tmp_path):
    boxes_csv(
        tmp_path,
        "a,train,200,150,718,500,benign,60,40,120,90",
        "b,train,200,150,818,628,benign,60,40,120,90",
        "c,val,200,150,718,500,benign,0,0,9,9",
    )
    outlines = tmp_path / "outlines"
    outlines.mkdir()
    outline = np.zeros((150, 200), np.uint8)
    outline[50:80, 70:110] = 255
    cv2.imwrite(str(outlines / "b.png"), outline)
    (outlines / "outlines.csv").write_text("name,kept\na,0\nb,1\n", encoding="utf-8")
    box, drawn = load_boxed(tmp_path, "train", outlines)
    assert (box.name, box.look, box.outline_known, box.all_marked) == ("a", "718x500", False, False)
    assert (drawn.name, drawn.look, drawn.outline_known) == ("b", "818x628", True)
    assert abs(int(box.nodule.sum()) - np.pi * 30 * 25) < 30
    assert box.nodule.any(0).sum() == 60
    assert box.nodule.any(1).sum() == 50
    assert drawn.nodule.sum() == 30 * 40


@pytest.mark.parametrize("box", ["120,40,60,90", "60,40,260,90", "-20,40,60,90"])
def test_a_bad_box_is_named_before_any_frame_is_read(tmp_path, box):
    boxes_csv(tmp_path, f"a,train,200,150,718,500,benign,{box}")
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(ConfigError, match="box of a is empty or outside"):
        load_boxed(tmp_path, "train")


def test_missing_boxes_frames_and_outlines_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"boxes\.csv cannot be read"):
        load_boxed(tmp_path, "train")
    boxes_csv(tmp_path, "a,train,200,150,718,500,benign,60,40,120,90")
    with pytest.raises(ConfigError, match=r"outlines\.csv cannot be read"):
        load_boxed(tmp_path, "train", tmp_path)
    (tmp_path / "images" / "a.jpg").unlink()
    with pytest.raises(ConfigError, match="fetch the data set again"):
        load_boxed(tmp_path, "train")
    (tmp_path / "boxes.csv").write_text("id,part\na,train\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="no column width"):
        load_boxed(tmp_path, "train")


def test_images_that_also_occur_in_val_are_excluded_from_train(tmp_path):
    (tmp_path / "train.txt").write_text("349_1\n349_2\n150_1\n353_2\n396_1\n7_1\n5_1\n", encoding="utf-8")
    (tmp_path / "val.txt").write_text("326_1\n7_2\n", encoding="utf-8")
    assert list_nodule_frames(tmp_path, "train") == ["353_2", "5_1"]
    assert list_nodule_frames(tmp_path, "val") == ["326_1", "7_2"]


def test_the_cache_returns_the_made_samples(tmp_path):
    made = load_cached(
        tmp_path, "key", lambda: [sample("a"), dataclasses.replace(sample("b", gland=True), look="x", is_thyroid=False)]
    )
    again = load_cached(tmp_path, "key", lambda: pytest.fail("made twice"))
    assert compute_fingerprint(again) == compute_fingerprint(made)
    facts = ("name", "look", "outline_known", "all_marked", "is_thyroid")
    assert [[getattr(s, f) for f in facts] for s in again] == [[getattr(s, f) for f in facts] for s in made]


@pytest.fixture
def ddti():
    try:
        folder = data_dir() / "thyroid_ddti"
    except ConfigError as error:
        pytest.skip(str(error))
    if not folder.is_dir():
        pytest.skip("the data set thyroid_ddti is missing")
    return folder


def test_ddti_parts_share_no_case_and_no_image(ddti):
    train, val = (list_nodule_frames(ddti, part) for part in ("train", "val"))
    assert not {name.split("_")[0] for name in train} & {name.split("_")[0] for name in val}
    for group in DUPLICATE_GROUPS:
        assert not (group & set(train) and group & set(val))
        assert len(group & set(train)) <= 1


def test_ddti_frames_are_cropped_with_their_masks(ddti):
    samples = load_nodule(ddti, "val")
    assert len(samples) == 65
    for item in samples:
        assert item.image.shape == item.nodule.shape
        assert item.nodule.any()
        assert item.image.size < 0.9 * 360 * 560  # ruler and text are gone


def test_gland_frames_after_the_last_number_are_excluded(ddti):
    folder = ddti.parent / "thyroid_gland_tg3k"
    if not folder.is_dir():
        pytest.skip("the data set thyroid_gland_tg3k is missing")
    samples = load_gland(folder, 40)
    assert samples
    assert max(int(item.name) for item in samples) <= 40
    assert not any(item.nodule.any() for item in samples)
