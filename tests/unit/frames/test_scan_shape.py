from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from usassist.errors import ScanAreaError
from usassist.frames import find_scan_area
from usassist.frames.scan_shape import find_scan_shape
from usassist.phantom import PhantomConfig, PhantomScanner


def image(seed: int, geometry: str = "linear") -> npt.NDArray[np.uint8]:
    config = dataclasses.replace(PhantomConfig(seed=seed, scan_hw_px=(320, 360)), geometry=geometry)
    return np.array(PhantomScanner(config).render_scan(1.0).scan)


@pytest.mark.parametrize(("geometry", "outline"), [("linear", "rectangle"), ("convex", "fan")])
def test_outline_of_one_view(geometry: str, outline: str) -> None:
    shape = find_scan_shape([image(4, geometry)])
    assert (shape.outline, shape.views, shape.seam_px) == (outline, 1, None)


def test_two_images_side_by_side_are_two_views() -> None:
    left, right = image(4), image(9) // 2
    shape = find_scan_shape([np.hstack([left, right])])
    assert shape.views == 2
    assert shape.seam_px is not None
    assert abs(shape.seam_px - left.shape[1]) <= 6


def test_dark_image_has_no_shape() -> None:
    with pytest.raises(ScanAreaError, match="too dark"):
        find_scan_shape([np.zeros((200, 300), np.uint8)])


def test_dual_views_of_the_public_set_are_distinguished_from_single_ones() -> None:
    folder = Path(os.environ.get("USASSIST_DATA", "")) / "thyroid_ddti"
    if "USASSIST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("USASSIST_DATA does not name a folder with thyroid_ddti")
    right = []
    for path in sorted((folder / "images").iterdir())[::8]:
        screen = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)
        x1, y1, x2, y2 = find_scan_area([screen]).xyxy_px
        wide = x2 - x1 > 470  # this scanner shows two views as one wide image
        right.append((find_scan_shape([screen[y1:y2, x1:x2]]).views == 2) == wide)
    assert np.mean(right) >= 0.9
