from __future__ import annotations

import dataclasses
import itertools

import cv2
import numpy as np
import pytest

import usassist.phantom as phantom
from usassist.errors import UsageError
from usassist.phantom import NodulePlan, PhantomConfig, PhantomScanner
from usassist.phantom.planning import pose_at


def still(*plans: NodulePlan, e_mm: float = 0.0, **settings: object) -> PhantomScanner:
    """A scanner with a fixed plane over tissue that does not move."""
    values: dict[str, object] = {"sweep_mm": (e_mm, e_mm), "breathing_mm": 0.0, "pulse_hz": 0.0, "nodules": plans}
    return PhantomScanner(PhantomConfig(**(values | settings)))  # type: ignore[arg-type]


def plan(**values: object) -> NodulePlan:
    base: dict[str, object] = {"kind": "hypo", "center_xze_mm": (0.0, 18.0, 0.0), "axes_xze_mm": (12.0, 9.0, 14.0)}
    return NodulePlan(**(base | values))  # type: ignore[arg-type]


def feret(mask: np.ndarray) -> tuple[float, float]:
    """Longest diameter of a mask and the widest extent across it, px, from the corners of its pixels."""
    rows, columns = np.nonzero(mask)
    corners = np.concatenate([np.stack([columns + dx, rows + dz], 1) for dx in (0, 1) for dz in (0, 1)])
    hull = cv2.convexHull(corners.astype(np.int32))[:, 0].astype(float)
    a, b = max(itertools.combinations(hull, 2), key=lambda pair: float(np.sum((pair[0] - pair[1]) ** 2)))
    along = (a - b) / np.linalg.norm(a - b)
    return float(np.linalg.norm(a - b)), float(np.ptp(hull @ [-along[1], along[0]]))


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel().astype(float), b.ravel().astype(float))[0, 1])


def test_public_names_are_sorted_and_exist() -> None:
    assert list(phantom.__all__) == sorted(phantom.__all__)
    assert all(hasattr(phantom, name) for name in phantom.__all__)


@pytest.mark.parametrize(
    ("seed", "width_mm", "height_mm"), [(1, 8.0, 6.0), (2, 12.0, 9.0), (3, 20.0, 14.0), (4, 9.0, 13.0)]
)
def test_mask_of_a_central_cut_has_the_stated_diameters(seed: int, width_mm: float, height_mm: float) -> None:
    scan = still(plan(axes_xze_mm=(width_mm, height_mm, 12.0)), seed=seed).render_scan(0.0)
    mask = scan.labelmap == 1
    assert np.ptp(np.flatnonzero(mask.any(axis=0))) + 1 == pytest.approx(width_mm / scan.spacing_rc_mm[1], rel=0.02)
    assert np.ptp(np.flatnonzero(mask.any(axis=1))) + 1 == pytest.approx(height_mm / scan.spacing_rc_mm[0], rel=0.02)
    (nodule,) = scan.nodules
    assert nodule.major_mm == pytest.approx(max(width_mm, height_mm), rel=0.005)
    assert nodule.minor_mm == pytest.approx(min(width_mm, height_mm), rel=0.005)
    assert nodule.axes_xze_mm == (width_mm, height_mm, 12.0)


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("geometry", ["linear", "convex"])
def test_echo_of_a_nodule_on_the_displayed_grid_has_the_stated_diameters(seed: int, geometry: str) -> None:
    scanner = still(plan(kind="cystic", axes_xze_mm=(16.0, 12.0, 12.0)), seed=seed, geometry=geometry)
    maps, _ = scanner._tissue(pose_at(scanner.config, 0.0))
    grid = scanner._grid
    shown = cv2.remap(maps.echo_db, grid.map_line, grid.map_row, cv2.INTER_LINEAR)
    x, z = grid.pixel_x_mm, grid.pixel_z_mm
    across = shown[np.argmin(np.abs(z - 18.0)), np.abs(x) < 9.0] < -23.0
    down = shown[np.abs(z - 18.0) < 8.0, np.argmin(np.abs(x))] < -23.0
    assert np.count_nonzero(across) * grid.mm_per_px == pytest.approx(16.0, rel=0.02)
    assert np.count_nonzero(down) * grid.mm_per_px == pytest.approx(12.0, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_stated_section_of_a_lobulated_tilted_nodule_matches_its_mask(seed: int) -> None:
    wavy = plan(axes_xze_mm=(17.0, 11.0, 13.0), lobulation=0.07, tilt_deg=25.0)
    scan = still(wavy, e_mm=1.5, seed=seed).render_scan(0.0)
    (nodule,) = scan.nodules
    mm = scan.spacing_rc_mm[0]
    major_px, minor_px = feret(scan.labelmap == 1)
    assert major_px * mm == pytest.approx(nodule.major_mm, rel=0.02)
    assert minor_px * mm == pytest.approx(nodule.minor_mm, rel=0.04)
    assert np.count_nonzero(scan.labelmap) * mm**2 == pytest.approx(nodule.area_mm2, rel=0.02)


def test_nodule_grows_and_shrinks_as_the_plane_crosses_it() -> None:
    ball = plan(axes_xze_mm=(12.0, 12.0, 12.0))
    for e_mm in (-4.0, 0.0, 4.0):
        (nodule,) = still(ball, e_mm=e_mm).render_scan(0.0).nodules
        assert nodule.major_mm == pytest.approx(2 * np.sqrt(6.0**2 - e_mm**2), rel=0.01)
    assert still(ball, e_mm=6.5).render_scan(0.0).nodules == ()


def test_sweep_shows_none_then_one_then_two_with_stable_identities() -> None:
    first = plan(center_xze_mm=(-6.0, 18.0, 0.0), axes_xze_mm=(9.0, 8.0, 10.0))
    second = plan(kind="cystic", center_xze_mm=(6.0, 18.0, 4.0), axes_xze_mm=(7.0, 8.0, 8.0))
    scanner = PhantomScanner(
        PhantomConfig(nodules=(first, second), scan_hw_px=(200, 200), sweep_mm=(-12, 12), sweep_s=4)
    )
    seen = [scanner.render_scan(t) for t in np.arange(0.0, 4.0, 0.2)]
    assert {len(scan.nodules) for scan in seen} == {0, 1, 2}
    for scan in seen:
        assert set(np.unique(scan.labelmap)) - {0} == {n.identity for n in scan.nodules}
        assert all(n.kind == {1: "hypo", 2: "cystic"}[n.identity] for n in scan.nodules)
        for n in scan.nodules:
            rows, columns = np.nonzero(scan.labelmap == n.identity)
            assert n.xyxy_px == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_plane_meets_each_nodule_at_its_crossing_time() -> None:
    scanner = PhantomScanner(PhantomConfig(seed=31, nodule_count=3, scan_hw_px=(128, 128)))
    assert len(scanner.nodules) == 3
    for nodule in scanner.nodules:
        t_s = scanner.crossing_s(nodule.identity)
        assert abs(pose_at(scanner.config, t_s).e_mm - nodule.plan.center_xze_mm[2]) < 0.3
        assert nodule.identity in {n.identity for n in scanner.render_scan(t_s).nodules}
    with pytest.raises(UsageError, match="no nodule 4"):
        scanner.crossing_s(4)


def test_nodule_that_leaves_the_image_is_marked_cropped() -> None:
    inside, outside = plan(), plan(center_xze_mm=(19.0, 18.0, 0.0))
    scan = still(inside, outside).render_scan(0.0)
    assert [n.cropped for n in scan.nodules] == [False, True]


def test_same_seed_gives_identical_bytes_in_any_order() -> None:
    config = PhantomConfig(seed=11, nodule_count=2)
    first, second = PhantomScanner(config), PhantomScanner(config)
    first.render(0.4)
    a, b = first.render(3.7), second.render(3.7)
    assert a.screen.tobytes() == b.screen.tobytes()
    assert a.labelmap.tobytes() == b.labelmap.tobytes()
    assert a.nodules == b.nodules
    other = PhantomScanner(PhantomConfig(seed=12, nodule_count=2)).render_scan(3.7)
    assert correlation(other.scan, first.render_scan(3.7).scan) < 0.9


def test_speckle_changes_smoothly_from_frame_to_frame_and_is_new_after_seconds() -> None:
    scanner = PhantomScanner(PhantomConfig(seed=3, nodules=()))
    gland = np.s_[250:330, 280:380]
    at = {t: scanner.render_scan(t).scan[gland] for t in (4.0, 4.0 + 1 / 30, 4.0 + 2 / 30, 7.0)}
    one, two, far = (correlation(at[4.0], at[t]) for t in list(at)[1:])
    assert one > 0.8
    assert far < 0.5 * two < two < one


def test_cyst_is_dark_with_enhancement_behind_and_calcium_shadows() -> None:
    def level(scanner: PhantomScanner, x_mm: float, z_mm: float) -> float:
        scan, mm = scanner.render_scan(0.0), scanner.spacing_rc_mm[0]
        column, row = int((x_mm + 20.0) / mm), int(z_mm / mm)
        return float(scan.scan[row - 12 : row + 12, column - 15 : column + 15].mean())

    bare = still(seed=9)
    cyst = still(plan(kind="cystic"), seed=9)
    stone = still(plan(kind="iso", macro_calcification_mm=5.0), seed=9)
    x_mm = float(stone.nodules[0]._body_x(stone.nodules[0]._macro))
    assert level(cyst, 0.0, 18.0) < 0.3 * level(bare, 0.0, 18.0)
    assert level(cyst, 0.0, 25.5) > 1.2 * level(bare, 0.0, 25.5)
    assert level(stone, x_mm, 26.0) < 0.5 * level(bare, x_mm, 26.0)


def test_screen_has_the_scan_image_and_a_ruler_true_to_scale() -> None:
    scanner = still(plan(), screen_hw_px=(720, 1280))
    frame = scanner.render(1.0)
    x1, y1, x2, y2 = frame.scan_xyxy_px
    assert frame.screen.shape == (720, 1280, 3)
    assert frame.labelmap.shape == (y2 - y1, x2 - x1)
    np.testing.assert_array_equal(frame.screen[y1:y2, x1:x2, 1], scanner.render_scan(1.0).scan)
    ticks = np.flatnonzero((frame.screen[: y2 + 1, x2 + 7] == (150, 156, 165)).all(axis=-1))
    np.testing.assert_allclose(np.diff(ticks) * frame.spacing_rc_mm[0], 5.0, atol=0.07)
    assert len(ticks) == 9


def test_random_configs_render_and_look_different() -> None:
    shown = []
    for seed in range(16):
        config = PhantomConfig.random(seed, scan_hw_px=(128, 192))
        scan = PhantomScanner(config).render_scan(2.0)
        assert scan.scan.shape == scan.labelmap.shape
        assert scan.scan.shape[0] <= 128
        assert scan.scan.shape[1] <= 192
        assert 8 < scan.scan.mean() < 200
        shown.append((config.view, config.geometry, config.layout, config.looks))
    assert all(len(set(column)) >= 3 for column in zip(*shown, strict=True))
    frame = PhantomScanner(PhantomConfig.random(3)).render(1.0)
    assert frame.screen.shape[:2] == PhantomConfig.random(3).screen_hw_px


def test_demo_scene_has_three_kinds_and_gaps_without_any() -> None:
    scanner = PhantomScanner(dataclasses.replace(PhantomConfig.demo(), scan_hw_px=(96, 96)))
    seen = [scanner.render_scan(t).nodules for t in np.arange(0.0, 10.0, 0.2)]
    assert {n.kind for found in seen for n in found} == {"hypo", "cystic", "mixed"}
    assert {len(found) for found in seen} == {0, 1, 2}
    assert 2.0 < 0.2 * sum(not found for found in seen) < 6.0
    assert not any(n.cropped for found in seen for n in found)


def test_drawn_nodules_follow_the_shape_prior() -> None:
    ratios, areas = [], []
    for seed in range(150):
        config = PhantomConfig(seed=seed, nodule_count=1, scan_hw_px=(64, 64))
        for nodule in PhantomScanner(config).nodules:
            width, height, _ = nodule.plan.axes_xze_mm
            ratios.append(height / width)
            areas.append(np.pi / 4 * width * height / (config.width_mm * config.depth_mm))
    assert np.median(ratios) == pytest.approx(0.744, abs=0.08)
    assert 0.025 < np.median(areas) < 0.09
    assert 0.05 < np.mean(np.array(ratios) > 1.0) < 0.30


@pytest.mark.parametrize(
    "bad",
    [
        {"view": "knee"},
        {"depth_mm": 0.0},
        {"depth_mm": float("nan")},
        {"screen_hw_px": (10, 10)},
        {"scan_hw_px": (8, 8)},
        {"looks": 0},
    ],
)
def test_bad_config_is_refused_in_one_line(bad: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        PhantomConfig(**bad)  # type: ignore[arg-type]
    assert next(iter(bad)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_nodule_is_refused() -> None:
    with pytest.raises(UsageError, match="kind"):
        plan(kind="stone")
    with pytest.raises(UsageError, match="axes_xze_mm"):
        plan(axes_xze_mm=(0.0, 1.0, 1.0))


def test_scan_image_larger_than_the_screen_can_be_trained_on_but_not_shown() -> None:
    scanner = still(scan_hw_px=(400, 700), screen_hw_px=(240, 320))
    assert scanner.render_scan(0.0).scan.shape[0] <= 400
    with pytest.raises(UsageError, match="scan_hw_px"):
        scanner.render(0.0)
