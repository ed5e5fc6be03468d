from __future__ import annotations

import hashlib

import numpy as np
import pytest

from usassist.errors import UsageError
from usassist.phantom import PhantomConfig, PhantomScanner, draw_training_scene
from usassist.phantom.config import TISSUES
from usassist.phantom.training_scenes import SCENES, scene_of

SIZE_HW_PX = (128, 192)


def seeds_of(scene: str, count: int) -> list[int]:
    return [seed for seed in range(20000) if scene_of(seed) == scene][:count]


def shown(seed: int) -> tuple[PhantomConfig, np.ndarray, np.ndarray]:
    config = draw_training_scene(seed, scan_hw_px=SIZE_HW_PX)
    scanner = PhantomScanner(config)
    scan = scanner.render_scan(scanner.crossing_s(1) if scanner.nodules else 3.0)
    return config, np.asarray(scan.scan), np.asarray(scan.labelmap) > 0


def test_every_kind_of_scene_is_drawn_as_often_as_its_share() -> None:
    kinds = [scene_of(seed) for seed in range(4000)]
    assert sum(SCENES.values()) == pytest.approx(1.0)
    for scene, share in SCENES.items():
        assert kinds.count(scene) / len(kinds) == pytest.approx(share, abs=0.025)


def test_a_seed_always_gives_the_same_scene() -> None:
    for seed in range(20):
        assert draw_training_scene(seed) == draw_training_scene(seed)


def test_large_nodules_fill_much_of_the_image() -> None:
    shares = [shown(seed)[2].mean() for seed in seeds_of("large", 8)]
    assert np.median(shares) > 0.09


def test_a_cut_nodule_is_cropped_by_the_border() -> None:
    cropped = []
    for seed in seeds_of("cut", 12):
        scanner = PhantomScanner(draw_training_scene(seed, scan_hw_px=SIZE_HW_PX))
        cropped.append(any(nodule.cropped for nodule in scanner.render_scan(scanner.crossing_s(1)).nodules))
    assert np.mean(cropped) > 0.8


def test_scenes_without_gland_show_neither_gland_nor_nodule() -> None:
    for scene in ("no_gland", "side_of_neck"):
        for seed in seeds_of(scene, 3):
            config, scan, nodule = shown(seed)
            assert not config.shows_thyroid
            assert not nodule.any()
            assert 5 < scan.mean() < 200


def test_a_neck_without_gland_differs_from_the_one_with_it() -> None:
    still = {"seed": 4, "nodules": (), "scan_hw_px": SIZE_HW_PX}
    whole = PhantomScanner(PhantomConfig(**still)).render_scan(3.0).scan.astype(float)  # type: ignore[arg-type]
    bare = PhantomScanner(PhantomConfig(gland=False, **still)).render_scan(3.0).scan.astype(float)  # type: ignore[arg-type]
    assert PhantomConfig(**still).shows_thyroid  # type: ignore[arg-type]
    assert whole.mean() > bare.mean() + 3.0  # gland is brighter than muscle and connective tissue


def test_a_block_is_even_but_for_its_targets() -> None:
    config = PhantomConfig(tissue="uniform", nodules=(), tgc_error_db=0.0, scan_hw_px=SIZE_HW_PX)
    scan = PhantomScanner(config).render_scan(0.0).scan[20:100, 30:-30].astype(float)
    columns = scan.mean(axis=0)
    assert not config.shows_thyroid
    assert columns.std() < 0.12 * columns.mean()


def test_an_unknown_tissue_is_named() -> None:
    with pytest.raises(UsageError, match=f"tissue must be one of {', '.join(TISSUES)}"):
        PhantomConfig(tissue="liver")  # type: ignore[arg-type]


def test_scenes_drawn_before_are_unchanged() -> None:
    plans = hashlib.sha256()
    for seed in range(40):
        scanner = PhantomScanner(PhantomConfig.random(seed, scan_hw_px=(64, 96)))
        plans.update("".join(f"{value:.6f}" for n in scanner.nodules for value in n.plan.center_xze_mm).encode())
    assert plans.hexdigest()[:16] == "9095e0ec4b7fe832"
    scan = PhantomScanner(PhantomConfig.demo()).render_scan(3.0).scan
    level = [float(part.mean()) for part in np.array_split(scan, 5)]
    np.testing.assert_allclose(level, [104.311, 81.069, 58.951, 52.882, 35.245], atol=0.02)
