from __future__ import annotations

import cv2
import numpy as np
import pytest
from skimage.measure import label, regionprops

from usassist.frames import measure
from usassist.records import Segmentation


def _outline(mask: np.ndarray) -> np.ndarray:
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return contours[0][:, 0].astype(np.float32) + 0.5


@pytest.mark.parametrize("seed", range(8))
def test_area_is_the_number_of_pixels_and_diameter_agrees_with_an_independent_library(seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((300, 300), np.uint8)
    axes = (int(rng.integers(8, 90)), int(rng.integers(8, 90)))
    cv2.ellipse(mask, (150, 150), axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    sizes = measure(Segmentation.of([_outline(mask)]))
    region = regionprops(label(mask))[0]
    assert sizes.area_px2[0] == mask.sum()
    assert sizes.major_px[0] == pytest.approx(region.feret_diameter_max, abs=1.5)
    assert sizes.major_px[0] == pytest.approx(2 * max(axes) + 1, rel=0.03, abs=1.5)
    assert sizes.minor_px[0] == pytest.approx(2 * min(axes) + 1, rel=0.06, abs=2.0)


def test_a_rectangle_has_its_own_area_and_a_single_pixel_has_size_one() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[4:9, 3:20] = 1
    dot = np.array([[5.5, 5.5]], np.float32)
    sizes = measure(Segmentation.of([_outline(mask), dot]))
    assert sizes.area_px2.tolist() == [85.0, 1.0]
    assert sizes.major_px[1] == sizes.minor_px[1] == 1.0


def test_without_scale_or_without_its_uncertainty_there_are_no_millimetres() -> None:
    outline = Segmentation.of([_outline(np.ones((10, 10), np.uint8))])
    assert not measure(outline).calibrated
    assert not measure(outline, (0.1, 0.1), 0.01, None).calibrated
    assert measure(outline, (0.1, 0.1), 0.01, 0.1).calibrated


def test_millimetres_follow_rows_and_columns_each_with_its_own_step() -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[20:120, 50:60] = 1
    sizes = measure(Segmentation.of([_outline(mask)]), (0.2, 0.5), 0.0, 0.0)
    assert sizes.major_mm is not None
    assert sizes.area_mm2 is not None
    assert sizes.area_mm2[0] == pytest.approx(100 * 0.2 * 10 * 0.5)
    assert sizes.major_mm[0] == pytest.approx(np.hypot(100 * 0.2, 10 * 0.5), rel=0.03)


def test_uncertainty_adds_up_scale_outline_and_pixel_grid() -> None:
    mask = np.zeros((200, 200), np.uint8)
    mask[50:52, 40:140] = 1
    outline = Segmentation.of([_outline(mask)])
    grid = measure(outline, (0.1, 0.1), 0.0, 0.0)
    both = measure(outline, (0.1, 0.1), 0.03, 0.04)
    assert grid.major_u95_mm is not None
    assert both.major_mm is not None
    assert both.major_u95_mm is not None
    assert grid.major_u95_mm[0] == pytest.approx(2 * np.sqrt(2) * 0.1 / np.sqrt(12))
    expected = 2 * np.hypot(0.05 * both.major_mm[0], np.sqrt(2) * 0.1 / np.sqrt(12))
    assert both.major_u95_mm[0] == pytest.approx(expected, rel=1e-5)


def test_no_outlines_give_no_measurements() -> None:
    assert len(measure(Segmentation.empty(), (0.1, 0.1), 0.1, 0.1)) == 0
