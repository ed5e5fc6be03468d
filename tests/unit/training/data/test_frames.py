from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from usassist.config import data_dir
from usassist.errors import ConfigError
from usassist.training.data.cache import load_cached
from usassist.training.data.sample import Sample, compute_fingerprint
from usassist.training.data.thyroid import DUPLICATE_GROUPS, list_nodule_frames, load_gland, load_nodule


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
