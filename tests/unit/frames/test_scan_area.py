from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from usassist.errors import ScanAreaError
from usassist.frames.scan_area import ScanArea, find_scan_area

UInt8Array = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]


def speckle(seed: int, hw_px: tuple[int, int], level: float = 60.0) -> UInt8Array:
    rng = np.random.default_rng(seed)
    noise = cv2.GaussianBlur(rng.standard_normal(hw_px).astype(np.float32), (0, 0), 1.2)
    return np.clip(level + 100 * noise, 2, 255).astype(np.uint8)


def screen_with(image: UInt8Array, box: Box, *, hw_px: tuple[int, int] = (480, 640), level: int = 0) -> UInt8Array:
    """A scanner's screen: banner, text column, ruler and grey bar around the image."""
    screen = np.full(hw_px, level, np.uint8)
    x1, y1, x2, y2 = box
    screen[y1:y2, x1:x2] = image
    cv2.putText(screen, "DOE JANE 1970-01-01 THYROID", (20, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    for line in range(12):
        cv2.putText(screen, f"FR{line} 12.0", (4, 70 + 12 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 220, 1)
    for tick in range(y1, y2, 20):
        screen[tick : tick + 2, x2 + 6 : x2 + 12] = 200
    screen[y1 : y1 + 120, x1 - 20 : x1 - 12] = np.linspace(255, 0, 120).astype(np.uint8)[:, None]
    return screen


def assert_near(area: ScanArea, box: Box, slack_px: int = 6) -> None:
    assert np.abs(np.subtract(area.xyxy_px, box)).max() <= slack_px, area.xyxy_px


@pytest.mark.parametrize("level", [0, 20])
@pytest.mark.parametrize("count", [1, 6])
def test_linear_image_is_separated_from_banner_text_ruler_and_bar(level: int, count: int) -> None:
    box = (180, 60, 500, 440)
    frames = [screen_with(speckle(seed, (380, 320)), box, level=level) for seed in range(count)]
    assert_near(find_scan_area(frames), box)


def test_dark_deep_field_stays_in_the_rectangle() -> None:
    box = (180, 60, 500, 440)
    image = speckle(0, (380, 320))
    faint = np.random.default_rng(1).integers(0, 6, (190, 320), dtype=np.uint8)
    image[190:] = faint
    assert_near(find_scan_area([screen_with(image, box)]), box)


def test_fan_with_black_corners_is_found_whole() -> None:
    box = (120, 60, 540, 400)
    fan = np.zeros((480, 640), np.uint8)
    cv2.ellipse(fan, (330, -60), (460, 460), 0, 63, 117, 255, -1)
    cv2.ellipse(fan, (330, -60), (150, 150), 0, 0, 180, 0, -1)
    ys, xs = np.nonzero(fan)
    box = (int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1)
    image = np.where(fan > 0, speckle(2, (480, 640)), 0).astype(np.uint8)
    x1, y1, x2, y2 = box
    assert_near(find_scan_area([screen_with(image[y1:y2, x1:x2], box)]), box, slack_px=14)


def test_dual_view_gives_the_rectangle_of_both() -> None:
    screen = screen_with(speckle(0, (300, 200)), (140, 80, 340, 380))
    screen[80:380, 360:560] = speckle(1, (300, 200), level=45)
    assert_near(find_scan_area([screen]), (140, 80, 560, 380))


def test_image_split_by_fluid_keeps_its_near_field() -> None:
    image = speckle(0, (380, 320))
    image[30:200] = 0
    box = (180, 60, 500, 440)
    assert_near(find_scan_area([screen_with(image, box)]), box)


def test_coloured_side_panel_is_left_out() -> None:
    box = (220, 60, 540, 440)
    screen = np.repeat(screen_with(speckle(0, (380, 320)), box)[..., None], 3, axis=2)
    screen[:, :150] = (40, 44, 60)
    assert_near(find_scan_area([screen]), box)


def test_moving_image_wins_over_a_larger_static_graphic() -> None:
    frames = []
    for seed in range(5):
        screen = np.zeros((480, 640), np.uint8)
        screen[40:440, 20:320] = speckle(99, (400, 300))  # a frozen reference image
        screen[100:380, 380:620] = speckle(seed, (280, 240))
        frames.append(screen)
    x1, _, x2, _ = find_scan_area(frames).xyxy_px
    assert x1 >= 370
    assert x2 >= 614


def test_frame_that_is_all_image_is_returned_whole() -> None:
    area = find_scan_area([speckle(0, (300, 400))])
    assert area.is_whole
    assert area.fraction == 1.0


def test_cropped_fan_with_dark_depth_is_returned_whole() -> None:
    frame = speckle(0, (370, 370))
    frame[230:] = 0
    assert find_scan_area([frame]).is_whole


def test_noise_of_a_grabber_does_not_hide_the_edges() -> None:
    rng = np.random.default_rng(3)
    box = (180, 60, 500, 440)
    frames = [
        np.clip(screen_with(speckle(s, (380, 320)), box) + rng.normal(4, 2, (480, 640)), 0, 255).astype(np.uint8)
        for s in range(4)
    ]
    assert_near(find_scan_area(frames), box)


@pytest.mark.parametrize("factor", [2, 3])
def test_large_screens_give_the_same_area(factor: int) -> None:
    box = (180, 60, 500, 440)
    screen = screen_with(speckle(0, (380, 320)), box)
    large = cv2.resize(screen, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    x1, y1, x2, y2 = find_scan_area([np.asarray(large, np.uint8)]).xyxy_px
    assert np.abs(np.subtract((x1, y1, x2, y2), [factor * v for v in box])).max() <= 6 * factor


def test_result_is_the_same_every_time() -> None:
    frames = [screen_with(speckle(seed, (380, 320)), (180, 60, 500, 440)) for seed in range(3)]
    assert find_scan_area(frames) == find_scan_area(frames)


@pytest.mark.parametrize("screen", [np.zeros((480, 640), np.uint8), np.full((480, 640, 3), 90, np.uint8)])
def test_screen_without_an_image_is_an_error_with_a_remedy(screen: UInt8Array) -> None:
    with pytest.raises(ScanAreaError, match=r"no ultrasound image.*640 x 480.*crop"):
        find_scan_area([screen])


def test_screen_of_text_alone_is_an_error() -> None:
    screen = np.zeros((480, 640), np.uint8)
    for line in range(20):
        cv2.putText(screen, f"LINE {line} OF A REPORT", (40, 30 + 22 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.6, 255, 1)
    with pytest.raises(ScanAreaError):
        find_scan_area([screen])


def test_no_frames_and_frames_of_two_sizes_are_errors() -> None:
    with pytest.raises(ScanAreaError, match="no frames"):
        find_scan_area([])
    with pytest.raises(ScanAreaError, match="differ in size"):
        find_scan_area([np.zeros((4, 5), np.uint8), np.zeros((5, 4), np.uint8)])


def test_tiny_frames_do_not_fail() -> None:
    assert find_scan_area([speckle(0, (8, 8))]).grab_hw_px == (8, 8)


@pytest.mark.slow
def test_nodules_of_the_public_set_lie_inside_the_area() -> None:
    folder = Path(os.environ.get("USASSIST_DATA", "")) / "thyroid_ddti"
    if "USASSIST_DATA" not in os.environ or not folder.is_dir():
        pytest.skip("USASSIST_DATA does not name a folder with thyroid_ddti")
    held, whole = [], 0
    for path in sorted((folder / "images").iterdir())[::4]:
        (mask_path,) = (folder / "masks").glob(f"{path.stem}.*")
        mask = np.asarray(cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)) > 127
        area = find_scan_area([np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.uint8)])
        x1, y1, x2, y2 = area.xyxy_px
        held.append(mask[y1:y2, x1:x2].sum() >= 0.99 * mask.sum())
        whole += area.is_whole
    assert np.mean(held) >= 0.98
    assert whole == 0


@pytest.mark.parametrize("frames", [1, 5])
def test_a_thin_banner_above_an_image_that_fills_the_rest_is_cut_off(frames: int) -> None:
    rng = np.random.default_rng(2)
    shown = []
    for _ in range(frames):
        noise = rng.rayleigh(40, (600, 800)).clip(8, 255)
        screen = np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2), np.uint8)
        screen[:34] = 0
        cv2.putText(screen, "PHANTOM^DEMO  ID SIM-1", (12, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 1, cv2.LINE_AA)
        shown.append(screen)
    x1, y1, x2, y2 = find_scan_area(shown).xyxy_px
    assert 26 <= y1 <= 40, "no letter of the banner passes, and the image stays"
    assert (x1, x2, y2) == (0, 800, 600)
