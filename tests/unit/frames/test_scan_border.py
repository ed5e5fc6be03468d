from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.samples import ellipse_contour
from usassist.frames import find_cut
from usassist.phantom import PhantomConfig, PhantomScanner
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
