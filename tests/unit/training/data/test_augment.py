from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.unit.training.data.test_frames import sample
from usassist.training.data.appearance import Appearance, compute_low_spectrum, cumulative_histogram, fade_nodules
from usassist.training.data.augment import Augmenter
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


def test_a_fan_is_narrow_at_the_skin_and_black_beside_it():
    config = dataclasses.replace(PLAIN, fan_p=1.0)
    wide = dataclasses.replace(sample(), image=np.full((200, 300), 120, np.uint8))
    for seed in range(5):
        image, nodule, _ = augmenter(config)(wide, SIZE_HW_PX, np.random.default_rng(seed))
        widths = (image > 60).sum(1)
        assert widths[3] < widths[200] <= SIZE_HW_PX[1]
        assert nodule.any()
        assert not nodule[image == 0].any()


def test_a_faded_nodule_is_nearer_in_grey_to_what_is_around_it_and_keeps_its_texture():
    rng = np.random.default_rng(0)
    image = rng.integers(90, 111, (120, 160)).astype(np.uint8)
    nodule = np.zeros_like(image)
    nodule[40:80, 50:110] = 1
    image[nodule > 0] -= 50
    core = np.s_[48:72, 58:102]
    for _ in range(10):
        faded = fade_nodules(image, nodule, rng)
        contrast = float(faded[nodule == 0].mean()) - float(faded[core].mean())
        assert 3.0 < contrast < 37.0, "it was 50, and 0.3 to 0.9 of it are taken away"
        assert float(faded[core].std()) == pytest.approx(float(image[core].std()), abs=0.5)
        assert np.array_equal(faded[:20], image[:20])


def test_a_nodule_with_nothing_visible_around_it_is_not_faded():
    image = np.zeros((60, 60), np.uint8)
    image[20:40, 20:40] = 80
    assert fade_nodules(image, (image > 0).astype(np.uint8), np.random.default_rng(0)) is image
