"""Drawn screens of real scanners: each of them was once cropped wrongly or refused."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from usassist.errors import ScanAreaError
from usassist.frames import find_scan_area

UInt8Array = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

SECTOR: Box = (0, 0, 512, 327)  # of the look with a bare strip below
DEEP_SECTOR: Box = (0, 16, 512, 329)


def smooth(seed: int, hw_px: tuple[int, int], sigma_px: float = 1.2) -> npt.NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal(hw_px).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), sigma_px), np.float32)


def tissue(seed: int, hw_px: tuple[int, int], level: float = 70.0) -> UInt8Array:
    return np.asarray(np.clip(level + 100 * smooth(seed, hw_px), 6, 255), np.uint8)


def soft_tissue(seed: int, hw_px: tuple[int, int]) -> UInt8Array:
    return np.asarray(np.clip(90 + 120 * smooth(seed, hw_px, 2.5), 6, 255), np.uint8)


def compressed(image: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], 0), np.uint8)


def words(image: UInt8Array, text: str, at: tuple[int, int], scale: float = 0.4) -> None:
    cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, 230, 1, cv2.LINE_AA)


def sector_with_ruler(seed: int = 0, logo: str = "GE", top_px: int = 70) -> UInt8Array:
    """A sector that fills the width, a bare strip below; logo, rulers and grey bar are in the sector's corners."""
    inside = np.zeros((394, 512), np.uint8)
    corners = [(top_px, 0), (512 - top_px, 0), (511, 300), (511, 318), (256, 326), (0, 318), (0, 300)]
    cv2.fillPoly(inside, [np.array(corners, np.int32)], 1)
    screen = soft_tissue(seed, (394, 512)) * inside
    for tick in range(1, 510, 24):
        screen[0:8, tick : tick + 1 + tick % 2] = 200
    for number, tick in enumerate(range(84, 330, 80)):
        words(screen, str(number + 1), (490, tick + 4))
        screen[tick : tick + 2, 503:512] = 220
    words(screen, logo, (max(2, top_px - 22), 11), 0.35)
    screen[222:322, 4:16] = np.linspace(255, 20, 100).astype(np.uint8)[:, None]
    return compressed(screen)


def dark_sector(seed: int) -> UInt8Array:
    """A sector whose depth is dark and nearly flat, with the faint noise of a modern scanner."""
    inside = np.zeros((341, 512), np.uint8)
    cv2.fillPoly(inside, [np.array([(90, 16), (400, 16), (511, 300), (511, 322), (256, 328), (0, 322), (0, 300)])], 1)
    rows = np.arange(341, dtype=np.float32)[:, None]
    bright = tissue(seed, (341, 512)).astype(np.float32)
    depth = 16 + rows / 60 + 2.0 * smooth(seed + 9, (341, 512), 0.8)
    screen = np.where(rows < 190, bright, depth).clip(0, 255).astype(np.uint8) * inside
    screen[0:110, 1:8] = np.linspace(255, 10, 110).astype(np.uint8)[:, None]
    words(screen, "Pw", (498, 9), 0.35)
    return compressed(screen)


def body_mark(image: UInt8Array, at: tuple[int, int]) -> None:
    x, y = at
    cv2.ellipse(image, (x, y), (5, 9), 20, 0, 300, 150, 1, cv2.LINE_AA)


def cropped_still(margin_px: int = 0, depth_level: float = 36.0) -> UInt8Array:
    """An image cropped to 384 x 267: noise instead of tissue in its depth, a body mark in the corner."""
    image = tissue(4, (267, 384 - margin_px), 90)
    fade = np.clip((175 - np.arange(267, dtype=np.float32)) / 60, 0, 1)[:, None]
    depth = depth_level + (9 if depth_level > 20 else 14) * smooth(5, image.shape, 0.7)
    still = np.zeros((267, 384), np.uint8)
    still[:, margin_px:] = np.clip(fade * image + (1 - fade) * depth, 0, 255)
    body_mark(still, (375, 250))
    return compressed(still)


def overlap(one: Box, other: Box) -> float:
    wide, high = min(one[2], other[2]) - max(one[0], other[0]), min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, wide) * max(0, high)
    return shared / (sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in (one, other)) - shared)


@pytest.mark.parametrize("may_be_whole", [True, False])
@pytest.mark.parametrize("count", [1, 8])
def test_bare_strip_below_a_sector_and_a_logo_in_its_corner_are_tolerated(count: int, may_be_whole: bool) -> None:
    frames = [sector_with_ruler(seed) for seed in range(count)]
    found = find_scan_area(frames, may_be_whole=may_be_whole).xyxy_px
    assert overlap(found, SECTOR) > 0.97, found


def test_name_in_the_corner_of_such_a_sector_is_refused() -> None:
    frames = [sector_with_ruler(seed, logo="DOE JANE 1970", top_px=150) for seed in range(8)]
    for frame in frames:
        words(frame, "DOE JANE 1970", (8, 24))
    for may_be_whole in (True, False):
        with pytest.raises(ScanAreaError, match="cannot be separated"):
            find_scan_area(frames, may_be_whole=may_be_whole)


@pytest.mark.parametrize("count", [1, 8])
def test_dark_uniform_depth_of_a_sector_is_not_background(count: int) -> None:
    found = find_scan_area([dark_sector(seed) for seed in range(count)]).xyxy_px
    assert overlap(found, DEEP_SECTOR) > 0.95, found
    assert found[1] >= 10, "the strip with the scanner's mark above stays out"


def test_noise_in_the_depth_of_a_cropped_still_belongs_to_it() -> None:
    assert overlap(find_scan_area([cropped_still()]).xyxy_px, (0, 0, 384, 267)) > 0.95


def test_noise_in_the_depth_belongs_to_an_image_with_a_margin_and_a_body_mark() -> None:
    still = cropped_still(margin_px=24, depth_level=8.0)
    assert overlap(find_scan_area([still]).xyxy_px, (24, 0, 384, 267)) > 0.95


def test_short_label_at_the_edge_of_a_cropped_still_is_cut_off_and_a_name_is_refused() -> None:
    still = soft_tissue(6, (267, 384))
    labelled, named = still.copy(), still.copy()
    labelled[0:14, 330:] = 30
    words(labelled, "1 L 2.84", (333, 11))
    found = find_scan_area([labelled])
    assert overlap(found.xyxy_px, (0, 0, 384, 267)) > 0.9
    assert found.xyxy_px[1] >= 10 or found.xyxy_px[2] <= 333
    words(named, "DOE JANE 1970", (8, 14))
    with pytest.raises(ScanAreaError, match="cannot be separated"):
        find_scan_area([named])


def test_label_is_not_cut_off_on_a_live_screen() -> None:
    labelled = soft_tissue(6, (267, 384))
    words(labelled, "1 L 2.84", (333, 11))
    with pytest.raises(ScanAreaError, match="cannot be separated"):
        find_scan_area([labelled], may_be_whole=False)


def test_one_misleading_frame_of_several_changes_nothing() -> None:
    frames = []
    for seed in range(8):
        screen = np.zeros((480, 640), np.uint8)
        screen[60:420, 200:460] = tissue(seed, (360, 260))
        words(screen, "DOE JANE 1970-01-01", (12, 24), 0.6)
        frames.append(screen)
    expected = find_scan_area(frames).xyxy_px
    frames[3] = tissue(99, (480, 640), 160)  # a page of the scanner over the whole screen
    assert np.abs(np.subtract(find_scan_area(frames, may_be_whole=False).xyxy_px, expected)).max() <= 4


def test_noise_of_the_background_is_not_taken_for_dark_tissue() -> None:
    box = (180, 70, 500, 420)
    rng = np.random.default_rng(8)
    screen = np.full((480, 640), 20.0) + rng.normal(0, 0.5, (480, 640))
    screen[440:] = 0  # an even bar
    screen[box[1] : box[3], box[0] : box[2]] = tissue(3, (350, 320))
    drawn = screen.clip(0, 255).round().astype(np.uint8)
    words(drawn, "DOE JANE 1970-01-01 THYROID", (20, 24), 0.6)
    assert overlap(find_scan_area([drawn], may_be_whole=False).xyxy_px, box) > 0.95
