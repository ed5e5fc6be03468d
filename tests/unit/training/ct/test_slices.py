"""Simulated slices, drawn bleeds, and pictures on a rough scale of HU."""

from __future__ import annotations

import dataclasses
import os
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.ct.heads import RECIPE, draw_picture
from usassist.errors import ConfigError, VolumeError
from usassist.modalities.ct.haemorrhage.pictures import BRAIN_HU, to_hu
from usassist.modalities.ct.haemorrhage.preprocess import crop_head
from usassist.training.ct.anatomy import read_template
from usassist.training.ct.bleeds import add_bleeds, measure_space
from usassist.training.ct.label_maps import read_label_maps, warp_shapes
from usassist.training.ct.pictures import Picture, find_inside, read_pictures, split_pictures
from usassist.training.ct.samples import read_samples
from usassist.training.ct.slices import simulate_slice

SIDE = 96


def test_the_colours_of_a_map_become_tissues(data_root: Path) -> None:
    (first, _) = read_label_maps(data_root)
    shapes = warp_shapes(first, SIDE, np.random.default_rng(0))
    assert (shapes.head | ~shapes.inside).all()
    assert not (shapes.bone & shapes.inside).any()
    for part in (shapes.ventricle, shapes.blood):
        assert part.any()
        assert (shapes.inside | ~part).all()
    assert 0.25 < shapes.inside.mean() < 0.7


def test_blood_is_drawn_inside_the_skull_only_and_is_denser() -> None:
    rows, columns = np.indices((SIDE, SIDE))
    inside = np.hypot(rows - 48, columns - 48) < 40
    ventricle = np.hypot(rows - 48, columns - 48) < 8
    space = measure_space(inside, ventricle, np.zeros((SIDE, SIDE), np.float32))
    plain = np.where(inside, 30.0, 900.0).astype(np.float32)
    kinds_seen = set()
    denser = []
    for seed in range(40):
        hu, kinds = add_bleeds(plain, space, np.random.default_rng(seed), tissue_hu=30.0)
        assert kinds.any()
        assert not kinds[~inside].any()
        np.testing.assert_allclose(hu[~inside], plain[~inside], atol=20.0)  # oedema is blurred
        kinds_seen |= set(np.unique(kinds).tolist())
        denser.append(float(hu[kinds > 0].mean()) > 36.0)
    assert kinds_seen == {0, 1, 2, 3}
    assert np.mean(denser) > 0.85


def test_a_seed_gives_one_slice_and_blood_has_its_mask(data_root: Path) -> None:
    maps, template = read_label_maps(data_root), read_template(data_root)
    first, again = (simulate_slice(maps, template, np.random.default_rng(3), SIDE) for _ in range(2))
    np.testing.assert_array_equal(first.hu, again.hu)
    slices = [simulate_slice(maps, template, np.random.default_rng(seed), SIDE) for seed in range(30)]
    assert all(item.has_blood == bool(item.kinds.any()) for item in slices)
    assert 8 <= sum(item.has_blood for item in slices) <= 27
    assert all(np.isfinite(item.hu).all() for item in slices)


def test_the_batch_of_a_step_is_always_the_same(data_root: Path) -> None:
    samples = read_samples(RECIPE, data_root)
    first, again, other = samples[2], samples[2], samples[3]
    np.testing.assert_array_equal(first.image.numpy(), again.image.numpy())
    assert (first.image != other.image).any()
    assert first.image.shape == (3, 3, 64, 64)
    assert float(first.image.min()) >= 0.0
    assert float(first.image.max()) <= 1.0


def test_the_scale_of_a_picture_depends_little_on_its_window() -> None:
    crops = []
    for window in ((0.0, 80.0), (-10.0, 90.0), (-20.0, 70.0)):
        hu, square = to_hu(draw_picture(window, blood=True))
        crops.append(crop_head(hu, square, SIDE))
    for crop in crops:
        assert np.median(crop[crop > -500]) == pytest.approx(BRAIN_HU, abs=3.0)
    bright = [float(np.percentile(crop[30:70, 20:50], 90)) for crop in crops]
    assert max(bright) - min(bright) < 12.0
    assert min(bright) > BRAIN_HU + 12.0


def test_a_black_picture_is_refused() -> None:
    with pytest.raises(VolumeError, match="black"):
        to_hu(np.zeros((64, 64), np.uint8))


def test_the_inside_of_the_skull_of_a_picture_is_found() -> None:
    hu, square = to_hu(draw_picture())
    inside, ventricle = find_inside(crop_head(hu, square, 256))
    assert 0.25 < inside.mean() < 0.6
    assert ventricle.any()
    assert (inside | ~ventricle).all()


def test_pictures_that_are_alike_stay_on_one_side() -> None:
    rng = np.random.default_rng(0)
    pictures = []
    for number in range(60):
        grey = np.kron(rng.integers(20, 255, (8, 8)), np.ones((16, 16))).astype(np.uint8)
        copies = (grey, grey[:, ::-1].copy(), np.clip(grey.astype(int) + 6, 0, 255).astype(np.uint8))
        for copy in copies[: 1 + number % 3]:
            pictures.append(Picture(name=f"t{len(pictures):03d}", has_blood=bool(number % 2), grey=copy))
    split = split_pictures(pictures, 1)
    assert len(split.held_out) == 40
    held = set(split.held_out)
    assert all(len(held & set(group)) in (0, len(group)) for group in split.groups)
    assert len(split.groups) <= 60
    assert split_pictures(pictures, 2).held_out != split.held_out


def test_the_list_of_held_out_pictures_is_what_the_seed_gives() -> None:
    folder = Path(os.environ.get("USASSIST_DATA", "")) / "ct_head_png"
    if "USASSIST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("USASSIST_DATA does not name a folder with ct_head_png")
    listed = tomllib.loads(Path("recipes/ct_ich_pictures.toml").read_text(encoding="utf-8"))["held_out"]
    split = split_pictures(read_pictures(folder.parent), 18)
    assert sorted(name for group in listed for name in group) == list(split.held_out)
    assert {tuple(group) for group in listed} <= set(split.groups)


def test_missing_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="label maps"):
        read_samples(RECIPE, tmp_path)
    with pytest.raises(ConfigError, match=r"labels\.csv"):
        read_samples(dataclasses.replace(RECIPE, simulated_per_batch=0, labelled_per_batch=1), tmp_path)
