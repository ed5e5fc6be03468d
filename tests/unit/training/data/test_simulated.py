from __future__ import annotations

import numpy as np
import pytest

from usassist.phantom import draw_training_scene
from usassist.training.data import simulated
from usassist.training.data.simulated import load_phantom

FIRST_SEED = 20_000


@pytest.fixture(autouse=True)
def small_scenes(monkeypatch):
    """Scenes of a few pixels; their kinds stay as they are."""
    monkeypatch.setattr(simulated, "draw_training_scene", lambda seed: draw_training_scene(seed, scan_hw_px=(120, 160)))


def test_a_scene_without_a_gland_is_not_thyroid():
    samples = load_phantom(16, FIRST_SEED, 1.0)
    shown = [draw_training_scene(FIRST_SEED + place).shows_thyroid for place in range(16)]
    assert set(shown) == {True, False}
    assert [sample.is_thyroid for sample in samples] == shown
    assert [sample.look for sample in samples] == ["phantom" if shows else "phantom_other" for shows in shown]
    assert not any(sample.nodule.any() for sample in samples if not sample.is_thyroid)
    assert any(sample.nodule.any() for sample in samples if sample.is_thyroid)


def test_a_scene_depends_on_its_seed_alone_and_large_ones_are_reduced(monkeypatch):
    first, second = load_phantom(2, FIRST_SEED, 0.5)
    (again,) = load_phantom(1, FIRST_SEED + 1, 0.5)
    assert np.array_equal(again.image, second.image)
    assert np.array_equal(again.nodule, second.nodule)
    assert not np.array_equal(first.image, second.image)
    monkeypatch.setattr(simulated, "_MAX_HW_PX", (60, 80))
    (small,) = load_phantom(1, FIRST_SEED, 0.5)
    assert small.image.shape == small.nodule.shape
    assert small.image.shape[0] <= 60
    assert small.image.shape[1] <= 80
    assert small.name == f"{FIRST_SEED}"
