from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.samples import ellipse_contour
from usassist.frames import find_cut, find_scan_border
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.phantom.beam import BeamGrid
from usassist.records import Segmentation

HW = (300, 400)


def _speckle(hw: tuple[int, int] = HW) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, hw).astype(np.uint8)


def _trapezoid() -> np.ndarray:
    """The scan is 200 px wide at the top and the whole 400 px at the bottom."""
    inside = np.zeros(HW, np.uint8)
    cv2.fillPoly(inside, [np.array([[100, 0], [299, 0], [399, 299], [0, 299]])], 1)
    return _speckle() * inside


def _cut(image: np.ndarray, *centers: tuple[int, int]) -> list[int]:
    outlines = [ellipse_contour(center, (30, 20)) for center in centers]
    return find_cut(Segmentation.of(outlines), image).tolist()


def test_an_outline_at_any_border_of_the_image_is_cut_and_one_inside_is_not() -> None:
    centers = [(30, 150), (369, 150), (200, 20), (200, 279), (200, 150), (45, 40), (355, 260)]
    assert _cut(_speckle(), *centers) == [1, 1, 1, 1, 0, 0, 0]


def test_an_outline_at_the_slanted_side_of_a_trapezoid_is_cut() -> None:
    # In row 150 the scan begins at 50 px and ends at 350 px.
    assert _cut(_trapezoid(), (82, 150), (318, 150), (200, 150), (100, 150)) == [1, 1, 0, 0]
    assert _cut(_speckle(), (82, 150), (318, 150), (200, 150), (100, 150)) == [0, 0, 0, 0]


def test_the_sides_are_found_in_colour_too() -> None:
    assert _cut(cv2.cvtColor(_trapezoid(), cv2.COLOR_GRAY2RGB), (82, 150), (200, 150)) == [1, 0]


def test_black_tissue_at_a_side_is_not_taken_for_the_border() -> None:
    image = _speckle()
    image[100:200, :70] = 0  # a vessel, or a shadow, that reaches the left side
    assert _cut(image, (105, 150)) == [0]


def test_a_mark_in_a_black_corner_hides_no_side() -> None:
    image = _trapezoid()
    image[20:26, 5:40] = 255
    assert _cut(image, (82, 150), (100, 150)) == [1, 0]


def test_a_black_frame_and_small_images_have_the_border_of_the_image() -> None:
    assert _cut(np.zeros(HW, np.uint8), (200, 150), (30, 150))[1] == 1
    small = Segmentation.of([np.array([[8.5, 8.5], [11.5, 8.5], [11.5, 11.5], [8.5, 11.5]], np.float32)])
    assert find_cut(small, np.full((20, 20), 99, np.uint8)).tolist() == [0]
    assert find_cut(Segmentation.empty(), _speckle()).shape == (0,)


@pytest.mark.parametrize("geometry", ["trapezoid", "convex"])
def test_a_region_of_a_simulated_sector_is_cut_where_it_leaves_the_scan(geometry: str) -> None:
    scanner = PhantomScanner(PhantomConfig(seed=3, geometry=geometry, scan_hw_px=(400, 500)))  # type: ignore[arg-type]
    scan = scanner.render_scan(0.0).scan
    y = len(scan) // 2
    first_lit = (scan[y - 2 : y + 3] > 4).any(axis=0).argmax()
    assert first_lit > 20  # there is a black corner in this row
    at_side = ellipse_contour((int(first_lit) + 22, y), (20, 15))
    inside = ellipse_contour((int(first_lit) + 60, y), (20, 15))
    assert find_cut(Segmentation.of([at_side, inside]), scan).tolist() == [1, 0]


def _cleared(image: np.ndarray) -> np.ndarray:
    region = np.ones(image.shape[:2], np.uint8)
    find_scan_border(image).clear_outside(region, 0, 0)
    return region


@pytest.mark.parametrize("geometry", ["linear", "trapezoid", "convex"])
def test_what_is_left_of_a_region_is_the_simulated_scan(geometry: str) -> None:
    for seed in range(3):
        config = PhantomConfig(seed=seed, geometry=geometry, scan_hw_px=(400, 500))  # type: ignore[arg-type]
        scanner = PhantomScanner(config)
        image = scanner.render_scan(1.0).scan
        border = find_scan_border(image)
        assert border.is_convex is (geometry == "convex")
        inside = BeamGrid(config, (400, 500)).inside
        cleared = _cleared(image)
        well_inside = cv2.erode(inside.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
        assert cleared[well_inside & (cv2.boxFilter(image, -1, (9, 9)) > 20)].mean() > 0.999  # a shadow may be lost
        assert cleared[well_inside].mean() > 0.97
        outside = cv2.dilate(inside.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
        assert cleared[outside].mean() < 0.01 if outside.any() else geometry == "linear"


def test_a_region_is_cleared_at_its_own_place_on_the_image() -> None:
    image = _trapezoid()
    whole = _cleared(image)
    part = np.ones((100, 120), np.uint8)
    find_scan_border(image).clear_outside(part, 30, 60)
    np.testing.assert_array_equal(part, whole[60:160, 30:150])
    assert 0 < part.sum() < part.size


def test_a_dark_depth_or_a_shadow_is_not_outside_of_a_scan_with_a_flat_face() -> None:
    image = _speckle()
    image[200:] = 0
    image[120:, :80] = 0  # a shadow at the side, down to the bottom
    assert _cleared(image).all()
    assert _cleared(np.zeros(HW, np.uint8)).all()


def test_a_grey_bar_beside_a_trapezoid_is_outside() -> None:
    image = _trapezoid()
    image[20:, :8] = np.linspace(250, 5, 280).astype(np.uint8)[:, None]
    cleared, clean = _cleared(image), _cleared(_trapezoid())
    assert cleared[20:150, :30].sum() <= clean[20:150, :30].sum() + 60
    assert (cleared != clean).mean() < 0.03


def test_two_convex_views_beside_each_other_have_no_face_of_one_probe() -> None:
    config = PhantomConfig(seed=1, geometry="convex", scan_hw_px=(300, 250))
    one = PhantomScanner(config).render_scan(1.0).scan
    assert find_scan_border(one).is_convex
    assert not find_scan_border(np.hstack([one, one])).is_convex


@pytest.mark.parametrize("hw", [(1, 1), (3, 40), (40, 3), (9, 9), (17, 31)])
def test_an_image_of_any_size_has_a_border(hw: tuple[int, int]) -> None:
    image = np.full(hw, 99, np.uint8)
    assert _cleared(image).all()
    border = find_scan_border(image)
    assert (border.left.shape, border.right.shape, border.top.shape) == ((hw[0],), (hw[0],), (hw[1],))
