from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from usassist.errors import ScanAreaError
from usassist.frames import find_scan_area
from usassist.phantom import PhantomConfig, PhantomScanner
from usassist.phantom.config import GEOMETRIES, LAYOUTS

UInt8Array = npt.NDArray[np.uint8]


def overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, wide) * max(0, high)
    areas = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other))
    return shared / (areas - shared)


def scanner(layout: str, geometry: str, seed: int) -> PhantomScanner:
    config = PhantomConfig.random(seed)
    return PhantomScanner(dataclasses.replace(config, layout=layout, geometry=geometry, screen_hw_px=(600, 800)))


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_mark_of_a_phantom_screen_passes(layout: str, geometry: str) -> None:
    phantom = scanner(layout, geometry, seed=23)
    screens = [phantom.render(t_s).screen for t_s in (0.5, 2.5)]
    found = find_scan_area(screens, may_be_whole=False).xyxy_px
    x1, y1, x2, y2 = phantom.scan_xyxy_px
    assert overlap(found, phantom.scan_xyxy_px) > 0.75
    outside = screens[0].copy()
    outside[y1:y2, x1:x2] = outside[-1, -1]
    passed = outside[found[1] : found[3], found[0] : found[2]].astype(int) - outside[-1, -1]
    assert np.abs(passed).max(initial=0) <= 40, "only the shading of the background may be inside"


def test_black_corners_of_a_fan_on_a_shaded_screen_do_not_hide_its_edges() -> None:
    fan = np.zeros((480, 640), np.uint8)
    cv2.ellipse(fan, (330, -60), (460, 460), 0, 63, 117, 255, -1)
    cv2.ellipse(fan, (330, -60), (150, 150), 0, 0, 180, 0, -1)
    ys, xs = np.nonzero(fan)
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    noise = cv2.GaussianBlur(np.random.default_rng(2).standard_normal((480, 640)).astype(np.float32), (0, 0), 1.2)
    screen = np.full((480, 640), 6, np.uint8)
    screen[box[1] : box[3], box[0] : box[2]] = 0
    screen[fan > 0] = np.clip(70 + 90 * noise, 4, 255).astype(np.uint8)[fan > 0]
    cv2.putText(screen, "PHANTOM^DEMO", (10, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 230, 1, cv2.LINE_AA)
    found = find_scan_area([screen], may_be_whole=False).xyxy_px
    assert overlap(found, box) > 0.9
    assert found[1] > 20


def test_sparse_noise_of_the_depth_belongs_to_the_image() -> None:
    rng = np.random.default_rng(5)
    screen = np.zeros((480, 640), np.uint8)
    screen[60:250, 160:480] = np.clip(60 + 30 * rng.standard_normal((190, 320)), 3, 255)
    deep = rng.random((180, 320))
    screen[250:430, 160:480] = np.where(deep > 0.85, 12, 0)
    assert abs(find_scan_area([screen]).xyxy_px[3] - 430) <= 10


def test_the_whole_frame_is_never_returned_for_a_live_screen() -> None:
    image = np.clip(60 + 30 * np.random.default_rng(0).standard_normal((300, 400)), 2, 255).astype(np.uint8)
    assert find_scan_area([image]).is_whole
    with pytest.raises(ScanAreaError, match=r"cannot be separated.*crop"):
        find_scan_area([image], may_be_whole=False)


def test_name_above_an_image_that_fills_the_frame_is_an_error() -> None:
    noise = np.random.default_rng(3).rayleigh(40, (480, 640)).clip(8, 255)
    screen = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2), np.uint8)
    cv2.putText(screen, "DOE JANE 1970", (14, 26), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1, cv2.LINE_AA)
    with pytest.raises(ScanAreaError):
        find_scan_area([screen])


def test_short_name_beside_a_cropped_fan_is_cut_off() -> None:
    image = np.zeros((370, 370), np.uint8)
    noise = cv2.GaussianBlur(np.random.default_rng(1).standard_normal((340, 370)).astype(np.float32), (0, 0), 1.2)
    image[30:] = np.clip(60 + 100 * noise, 2, 255)
    cv2.putText(image, "DOE", (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 220, 1, cv2.LINE_AA)
    assert find_scan_area([image]).xyxy_px[1] >= 20
