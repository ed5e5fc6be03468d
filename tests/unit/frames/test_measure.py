from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.measure import label, regionprops

from usassist.frames import measure
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.records import Measurements, Segmentation


def _outline(mask: np.ndarray) -> np.ndarray:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return max(contours, key=len)[:, 0].astype(np.float32) + 0.5


def _measure(mask: np.ndarray, *uncertainty: object) -> Measurements:
    return measure(Segmentation.of([_outline(mask)]), *uncertainty)  # type: ignore[arg-type]


def _ellipse(half_xy: tuple[float, float], angle_deg: float = 0.0, side: int = 300, waves: float = 0.0) -> np.ndarray:
    """Pixels whose centre lies in an ellipse, whose radius may have 7 waves."""
    row, column = np.mgrid[:side, :side] + 0.5 - side / 2
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    u, v = (column * c + row * s) / half_xy[0], (row * c - column * s) / half_xy[1]
    mask: np.ndarray = np.hypot(u, v) < 1 + waves * np.sin(7 * np.arctan2(v, u))
    return mask


def _ellipse_perimeter(a: float, b: float) -> float:
    """Ramanujan's second approximation."""
    h = ((a - b) / (a + b)) ** 2
    return float(np.pi * (a + b) * (1 + 3 * h / (10 + np.sqrt(4 - 3 * h))))


@pytest.mark.parametrize("seed", range(8))
def test_area_is_the_number_of_pixels_and_diameter_agrees_with_an_independent_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((300, 300), np.uint8)
    axes = (int(rng.integers(8, 90)), int(rng.integers(8, 90)))
    cv2.ellipse(mask, (150, 150), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    sizes = _measure(mask)
    region = regionprops(label(mask))[0]
    assert sizes.area_px2[0] == mask.sum()
    assert sizes.major_px[0] == pytest.approx(region.feret_diameter_max, abs=1.5)
    assert sizes.major_px[0] == pytest.approx(2 * max(axes) + 1, rel=0.03, abs=1.5)
    assert sizes.minor_px[0] == pytest.approx(2 * min(axes) + 1, rel=0.06, abs=2.0)


@pytest.mark.parametrize("waves", [0.0, 0.12])
@pytest.mark.parametrize("seed", range(6))
def test_extents_equivalent_diameter_perimeter_and_solidity_agree_with_an_independent_library(
    seed: int, waves: float
) -> None:
    rng = np.random.default_rng(seed)
    mask = _ellipse(tuple(rng.uniform(15, 80, 2)), float(rng.uniform(0, 180)), waves=waves)
    sizes, region = _measure(mask), regionprops(label(mask))[0]
    top, left, bottom, right = region.bbox
    assert sizes.ap_px is not None
    assert sizes.transverse_px is not None
    assert sizes.perimeter_px is not None
    assert sizes.solidity is not None
    assert (sizes.ap_px[0], sizes.transverse_px[0]) == (bottom - top, right - left)
    assert sizes.equivalent_px[0] == pytest.approx(region.equivalent_diameter_area, rel=1e-6)
    # Crofton's formula measures the edge of the region, as we do; `perimeter` the line through its outermost pixels.
    assert sizes.perimeter_px[0] == pytest.approx(region.perimeter_crofton, rel=0.02)
    assert sizes.solidity[0] == pytest.approx(region.solidity, abs=0.02)


@pytest.mark.parametrize("angle_deg", [0.0, 17.0, 45.0])
@pytest.mark.parametrize("half_xy", [(6.0, 6.0), (40.0, 40.0), (70.0, 35.0), (90.0, 25.0)])
def test_the_perimeter_of_an_ellipse_is_right_within_one_percent(
    half_xy: tuple[float, float], angle_deg: float
) -> None:
    sizes = _measure(_ellipse(half_xy, angle_deg))
    assert sizes.perimeter_px is not None
    assert sizes.perimeter_px[0] == pytest.approx(_ellipse_perimeter(*half_xy), rel=0.01)


def test_the_perimeter_follows_rows_and_columns_each_with_its_own_step() -> None:
    sizes = _measure(_ellipse((60.0, 50.0)), (0.12, 0.1), 0.0, 0.0)
    assert sizes.perimeter_mm is not None
    assert sizes.perimeter_mm[0] == pytest.approx(_ellipse_perimeter(6.0, 6.0), rel=0.01)


def test_the_total_curvature_is_one_of_what_is_convex_and_more_with_waves() -> None:
    shapes = [
        _ellipse((30.0, 30.0)),
        _ellipse((90.0, 40.0), 20.0),
        *(_ellipse((60.0, 45.0), 10.0, waves=w) for w in (0.1, 0.2)),
    ]
    sizes = measure(Segmentation.of([_outline(shape) for shape in shapes]))
    assert sizes.total_curvature is not None
    round_one, long_one, wavy, wavier = sizes.total_curvature
    assert 1.0 <= round_one < 1.03
    assert 1.0 <= long_one < 1.03
    assert 1.2 < wavy < wavier


def test_several_outlines_are_measured_as_each_alone() -> None:
    shapes = [_ellipse((20.0, 50.0)), _ellipse((9.0, 7.0), 30.0), _ellipse((80.0, 60.0), 70.0, waves=0.1)]
    outlines = [_outline(shape) for shape in shapes] + [np.array([[5.5, 7.5]], np.float32)]
    together = measure(Segmentation.of(outlines), (0.1, 0.12), 0.01, 0.1)
    for row, outline in enumerate(outlines):
        alone = measure(Segmentation.of([outline]), (0.1, 0.12), 0.01, 0.1)
        for name in Measurements.COLUMNS:
            if name != "cut":
                np.testing.assert_allclose(getattr(together, name)[row], getattr(alone, name)[0], rtol=1e-5)


def _lengths(ends: np.ndarray | None, spacing_rc: tuple[float, float] = (1.0, 1.0)) -> np.ndarray:
    assert ends is not None
    step = (ends[:, 1] - ends[:, 0]).astype(np.float64) * spacing_rc[::-1]
    return np.hypot(step[:, 0], step[:, 1])


def _blobs(seed: int) -> Segmentation:
    rng = np.random.default_rng(seed)
    ellipses = [_ellipse(tuple(rng.uniform(4, 90, 2)), float(rng.uniform(0, 180)), waves=0.15) for _ in range(6)]
    return Segmentation.of([_outline(mask) for mask in ellipses])


@pytest.mark.parametrize("seed", range(4))
def test_the_ends_of_the_diameters_are_as_far_apart_as_the_diameters_are_long_and_at_right_angles(seed: int) -> None:
    for uncertainty in ((), ((0.07, 0.07), 0.01, 0.1)):
        sizes = measure(_blobs(seed), *uncertainty)
        np.testing.assert_allclose(_lengths(sizes.major_ends_xy_px), sizes.major_px, atol=1e-4)
        np.testing.assert_allclose(_lengths(sizes.minor_ends_xy_px), sizes.minor_px, atol=1e-4)
        major, minor = (np.diff(ends, axis=1)[:, 0] for ends in (sizes.major_ends_xy_px, sizes.minor_ends_xy_px))
        cosine = (major * minor).sum(axis=1) / (sizes.major_px * sizes.minor_px)
        np.testing.assert_allclose(cosine, 0.0, atol=1e-5)


def test_where_pixels_are_not_square_the_ends_are_those_of_the_millimetres() -> None:
    spacing = (0.12, 0.07)
    sizes = measure(_blobs(1), spacing, 0.01, 0.1)
    np.testing.assert_allclose(_lengths(sizes.major_ends_xy_px, spacing), sizes.major_mm, atol=1e-4)
    np.testing.assert_allclose(_lengths(sizes.minor_ends_xy_px, spacing), sizes.minor_mm, atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_caliper_touches_the_outline_and_none_of_it_lies_beyond(seed: int) -> None:
    outlines = _blobs(seed)
    sizes = measure(outlines)
    assert sizes.major_ends_xy_px is not None
    assert sizes.minor_ends_xy_px is not None
    for row, points in enumerate(outlines):
        for ends in (sizes.major_ends_xy_px[row], sizes.minor_ends_xy_px[row]):
            direction = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
            along = points @ direction
            # A pixel ends between 0.5 and 0.71 px beyond its centre.
            assert 0.49 < along.min() - ends[0] @ direction < 0.72
            assert 0.49 < ends[1] @ direction - along.max() < 0.72
        for end in sizes.major_ends_xy_px[row]:
            assert np.linalg.norm(points - end, axis=1).min() < 0.72


@pytest.mark.parametrize("angle_deg", [0.0, 30.0, 90.0, 150.0])
def test_the_calipers_of_an_ellipse_lie_on_its_axes_the_left_and_the_upper_end_first(angle_deg: float) -> None:
    sizes = _measure(_ellipse((80.0, 50.0), angle_deg))
    assert sizes.major_ends_xy_px is not None
    assert sizes.minor_ends_xy_px is not None
    long, short = sizes.major_ends_xy_px[0], sizes.minor_ends_xy_px[0]
    for half, turned_deg, ends in ((80.0, angle_deg, long), (50.0, angle_deg + 90.0, short)):
        tip = half * np.array([np.cos(np.radians(turned_deg)), np.sin(np.radians(turned_deg))])
        middle = np.array([150.0, 150.0])
        far = min(np.abs(ends - [middle - tip, middle + tip]).max(), np.abs(ends - [middle + tip, middle - tip]).max())
        assert far < 6.0, turned_deg  # the direction of the longest diameter of pixels is sharp to some degrees
    assert long[0, 0] <= long[1, 0]
    assert short[0, 1] <= short[1, 1]


def test_a_rectangle_has_its_own_area_and_a_single_pixel_has_size_one() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:9, 3:20] = 1
    dot = np.array([[5.5, 5.5]], np.float32)
    sizes = measure(Segmentation.of([_outline(mask), dot]))
    assert sizes.area_px2.tolist() == [85.0, 1.0]
    assert sizes.major_px[1] == sizes.minor_px[1] == 1.0
    assert sizes.ap_px is not None
    assert sizes.transverse_px is not None
    assert sizes.solidity is not None
    assert sizes.major_ends_xy_px is not None
    assert sizes.minor_ends_xy_px is not None
    assert sizes.major_ends_xy_px[1].tolist() == [[5.0, 5.5], [6.0, 5.5]]
    assert sizes.minor_ends_xy_px[1].tolist() == [[5.5, 5.0], [5.5, 6.0]]
    assert (sizes.ap_px.tolist(), sizes.transverse_px.tolist()) == ([5.0, 1.0], [17.0, 1.0])
    assert sizes.solidity.tolist() == [1.0, 1.0]


def test_without_scale_or_without_its_uncertainty_there_are_no_millimetres() -> None:
    outline = Segmentation.of([_outline(np.ones((10, 10), np.uint8))])
    assert not measure(outline).calibrated
    assert not measure(outline, (0.1, 0.1), 0.01, None).calibrated
    assert measure(outline, (0.1, 0.1), 0.01, 0.1).calibrated


def test_without_a_scale_there_is_a_ratio_of_pixels_and_no_judgement() -> None:
    sizes = _measure(_ellipse((60.0, 30.0)))
    assert sizes.ap_t is not None
    assert sizes.ap_t[0] == pytest.approx(0.5)
    assert (sizes.ap_t_low, sizes.ap_t_high, sizes.ap_t_state(0)) == (None, None, None)


def test_millimetres_follow_rows_and_columns_each_with_its_own_step() -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[20:120, 50:60] = 1
    sizes = _measure(mask, (0.2, 0.5), 0.0, 0.0)
    assert sizes.major_mm is not None
    assert sizes.area_mm2 is not None
    assert sizes.ap_mm is not None
    assert sizes.transverse_mm is not None
    assert sizes.area_mm2[0] == pytest.approx(100 * 0.2 * 10 * 0.5)
    assert sizes.major_mm[0] == pytest.approx(np.hypot(100 * 0.2, 10 * 0.5), rel=0.03)
    assert (sizes.ap_mm[0], sizes.transverse_mm[0]) == (pytest.approx(20.0), pytest.approx(5.0))


def test_uncertainty_adds_up_scale_outline_and_pixel_grid() -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[50:52, 40:140] = 1
    grid, both = _measure(mask, (0.1, 0.1), 0.0, 0.0), _measure(mask, (0.1, 0.1), 0.03, 0.04)
    grid_mm = np.sqrt(2) * 0.1 / np.sqrt(12)
    for name in ("major", "ap", "transverse"):
        length_mm = float(getattr(both, f"{name}_mm")[0])
        assert getattr(grid, f"{name}_u95_mm")[0] == pytest.approx(2 * grid_mm)
        assert getattr(both, f"{name}_u95_mm")[0] == pytest.approx(2 * np.hypot(0.05 * length_mm, grid_mm), rel=1e-5)
    assert both.perimeter_mm is not None
    assert both.perimeter_u95_mm is not None
    assert both.perimeter_u95_mm[0] / both.perimeter_mm[0] == pytest.approx(2 * np.hypot(0.05, 0.01), rel=1e-5)
    assert both.area_mm2 is not None
    assert both.area_u95_mm2 is not None
    assert both.equivalent_mm is not None
    assert both.equivalent_u95_mm is not None
    assert both.equivalent_u95_mm[0] / both.equivalent_mm[0] == pytest.approx(
        0.5 * both.area_u95_mm2[0] / both.area_mm2[0], rel=1e-5
    )


def _log_width(sizes: Measurements) -> float:
    assert sizes.ap_t_low is not None
    assert sizes.ap_t_high is not None
    return float(np.log(sizes.ap_t_high[0] / sizes.ap_t_low[0])) / 4.0


def test_the_scale_cancels_in_a_ratio_of_square_pixels_and_not_in_one_of_others() -> None:
    mask = _ellipse((60.0, 40.0))
    grid = np.sqrt((1 / 80) ** 2 + (1 / 120) ** 2) * np.sqrt(1 / 6)
    assert _log_width(_measure(mask, (0.1, 0.1), 0.3, 0.0)) == pytest.approx(grid, rel=1e-3)
    assert _log_width(_measure(mask, (0.1, 0.2), 0.3, 0.0)) == pytest.approx(np.hypot(grid, 0.3 * np.sqrt(2)), rel=1e-3)


def test_the_ratio_has_the_uncertainty_that_was_measured_of_it_or_else_that_of_independent_extents() -> None:
    outline = Segmentation.of([_outline(_ellipse((60.0, 40.0)))])
    known = measure(outline, (0.1, 0.1), 0.0, 0.2, None, 0.15)
    assert _log_width(known) == pytest.approx(0.15, rel=1e-2)
    assert _log_width(measure(outline, (0.1, 0.1), 0.0, 0.2)) == pytest.approx(0.2 * np.sqrt(2), rel=1e-2)


@pytest.mark.parametrize(
    ("half_y", "state"), [(90.0, "taller"), (66.0, "uncertain"), (54.0, "uncertain"), (40.0, "wider")]
)
def test_a_section_is_taller_or_wider_only_if_the_whole_interval_is(half_y: float, state: str) -> None:
    outline = Segmentation.of([_outline(_ellipse((60.0, half_y)))])
    assert measure(outline, (0.1, 0.1), 0.01, 0.1, None, 0.1).ap_t_state(0) == state


def test_the_sections_of_simulated_nodules_are_measured_right_to_a_pixel() -> None:
    checked = 0
    for seed in range(4):
        scanner = PhantomScanner(PhantomConfig(seed=seed, scan_hw_px=(400, 400), nodule_count=2))
        scan = scanner.render_scan(scanner.crossing_s(1))
        for nodule in scan.nodules:
            if nodule.cropped or nodule.major_mm < 4.0:
                continue
            sizes = _measure(scan.labelmap == nodule.identity, scan.spacing_rc_mm, 0.0, 0.0)
            assert sizes.major_mm is not None
            assert sizes.minor_mm is not None
            assert sizes.area_mm2 is not None
            pixel_mm = scan.spacing_rc_mm[0]
            assert sizes.major_mm[0] == pytest.approx(nodule.major_mm, abs=1.5 * pixel_mm)
            assert sizes.minor_mm[0] == pytest.approx(nodule.minor_mm, abs=3.0 * pixel_mm)
            assert sizes.area_mm2[0] == pytest.approx(nodule.area_mm2, rel=0.03)
            checked += 1
    assert checked >= 3


def test_no_outlines_give_no_measurements() -> None:
    assert len(measure(Segmentation.empty(), (0.1, 0.1), 0.1, 0.1)) == 0
