from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from usassist.common.clock import FakeClock
from usassist.errors import ScanAreaError, SourceError, SourceFormatError, UsageError
from usassist.sources import open_source
from usassist.sources.images import read_image

MakeImages = Callable[..., list[Any]]


def save(path: Path, image: Any) -> Path:
    assert cv2.imwrite(str(path), image)
    return path


def screen(seed: int, box: tuple[int, int, int, int]) -> Any:
    image = np.zeros((240, 320), np.uint8)
    cv2.putText(image, "DOE JANE", (10, 14), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1)
    x1, y1, x2, y2 = box
    image[y1:y2, x1:x2] = np.random.default_rng(seed).integers(20, 200, (y2 - y1, x2 - x1), dtype=np.uint8)
    return image


def test_images_play_in_natural_order_ten_a_second(tmp_path: Path, make_images: MakeImages) -> None:
    images = make_images(12, (20, 30))
    for index, image in enumerate(images):
        save(tmp_path / f"frame{index}.{'png' if index % 2 else 'bmp'}", image)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    with open_source(str(tmp_path), session_id="s", crop="none", clock=FakeClock()) as source:
        assert source.info.frame_count == 12
        assert source.info.rate_hz == 10
        frames = list(source.frames())
    assert [frame.t_capture_ns for frame in frames] == [index * 100_000_000 for index in range(12)]
    for frame, image in zip(frames, images, strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_repeat_and_count(tmp_path: Path, make_images: MakeImages) -> None:
    for index, image in enumerate(make_images(2, (20, 30))):
        save(tmp_path / f"{index}.png", image)
    with open_source(f"images:{tmp_path}", session_id="s", fast=True, crop="none", repeat=True, count=5) as source:
        assert [frame.frame_id for frame in source.frames()] == list(range(5))


def test_single_image_is_a_source(tmp_path: Path, make_images: MakeImages) -> None:
    path = save(tmp_path / "one.png", make_images(1, (20, 30))[0])
    with open_source(str(path), session_id="s", fast=True, crop="none") as source:
        assert len(list(source.frames())) == 1


def test_colour_is_given_as_rgb_and_grey_among_colour_too(tmp_path: Path) -> None:
    colour = np.zeros((20, 30, 3), np.uint8)
    colour[..., 2] = 200  # red in the order of OpenCV
    save(tmp_path / "0.png", colour)
    save(tmp_path / "1.png", np.full((20, 30), 77, np.uint8))
    with open_source(str(tmp_path), session_id="s", fast=True, crop="none") as source:
        assert source.info.channels == 3
        first, second = source.frames()
    assert first.image[0, 0].tolist() == [200, 0, 0]
    assert second.image[0, 0].tolist() == [77, 77, 77]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_over_their_whole_range(suffix: str, tmp_path: Path) -> None:
    samples = np.array([[0, 257, 30_000, 65_535]], np.uint16)
    image = read_image(save(tmp_path / f"a.{suffix}", samples))
    assert image.dtype == np.uint8
    assert image.tolist() == [[0, 1, 117, 255]]


def test_sequence_gets_one_crop(tmp_path: Path) -> None:
    for seed in range(5):
        save(tmp_path / f"{seed}.png", screen(seed, (80, 40, 260, 220)))
    with open_source(str(tmp_path), session_id="s", fast=True) as source:
        rois = {frame.roi_xyxy_px for frame in source.frames()}
        assert rois == {source.info.roi_xyxy_px}
    assert np.abs(np.subtract(source.info.roi_xyxy_px, (80, 40, 260, 220))).max() <= 4


def test_images_that_are_no_sequence_are_cropped_one_by_one(tmp_path: Path) -> None:
    boxes = [(80, 40, 260, 220), (40, 60, 150, 200), (120, 30, 300, 150)]
    for seed, box in enumerate(boxes):
        save(tmp_path / f"{seed}.png", screen(seed, box))
    with open_source(str(tmp_path), session_id="s", fast=True) as source:
        frames = list(source.frames())
    for frame, box in zip(frames, boxes, strict=True):
        assert np.abs(np.subtract(frame.roi_xyxy_px, box)).max() <= 4


def test_images_of_other_sizes_get_their_own_crop(tmp_path: Path) -> None:
    save(tmp_path / "0.png", screen(0, (80, 40, 260, 220)))
    save(tmp_path / "1.png", cv2.copyMakeBorder(screen(1, (80, 40, 260, 220)), 0, 60, 90, 0, cv2.BORDER_CONSTANT))
    with open_source(str(tmp_path), session_id="s", fast=True) as source:
        first, second = source.frames()
    assert np.abs(np.subtract(first.roi_xyxy_px, (80, 40, 260, 220))).max() <= 4
    assert np.abs(np.subtract(second.roi_xyxy_px, (170, 40, 350, 220))).max() <= 4


def test_crop_that_does_not_fit_a_later_image_is_an_error(tmp_path: Path, make_images: MakeImages) -> None:
    save(tmp_path / "0.png", make_images(1, (40, 40))[0])
    save(tmp_path / "1.png", make_images(1, (20, 20))[0])
    with open_source(str(tmp_path), session_id="s", fast=True, crop=(0, 0, 30, 30)) as source:
        frames = source.frames()
        next(frames)
        with pytest.raises(UsageError, match="20 x 20 px"):
            next(frames)


def test_black_image_is_named(tmp_path: Path) -> None:
    save(tmp_path / "black.png", np.zeros((240, 320), np.uint8))
    with pytest.raises(ScanAreaError, match=r"black\.png: no ultrasound image"):
        open_source(str(tmp_path), session_id="s")


def test_folder_without_images_and_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceFormatError, match="holds no png, jpg, bmp or tif images; give another folder"):
        open_source(str(tmp_path), session_id="s")
    with pytest.raises(SourceError, match=r"there is no folder .*gone; check"):
        open_source(f"images:{tmp_path / 'gone'}", session_id="s")
    with pytest.raises(UsageError, match="needs a folder; write"):
        open_source("images:", session_id="s")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tif"])
@pytest.mark.parametrize("kind", ["text", "empty", "cut"])
def test_unreadable_image_stops_the_run_and_is_named(
    suffix: str, kind: str, tmp_path: Path, make_images: MakeImages
) -> None:
    images = make_images(2, (64, 64))
    save(tmp_path / f"0.{suffix}", images[0])
    bad = save(tmp_path / f"1.{suffix}", images[1])
    data = {"text": b"no image at all", "empty": b"", "cut": bad.read_bytes()[: bad.stat().st_size // 2]}[kind]
    bad.write_bytes(data)
    with open_source(str(tmp_path), session_id="s", fast=True, crop="none") as source:
        frames = source.frames()
        next(frames)
        with pytest.raises(SourceFormatError, match=rf"1\.{suffix} is .*; |1\.{suffix} is empty; "):
            next(frames)


def test_pages_and_floating_point_samples_are_refused(tmp_path: Path, make_images: MakeImages) -> None:
    path = tmp_path / "pages.tif"
    assert cv2.imwritemulti(str(path), make_images(3, (16, 16)))
    with pytest.raises(SourceFormatError, match=r"holds 3 images; save each"):
        read_image(path)
    with pytest.raises(SourceFormatError, match=r"samples of type float32; save it"):
        read_image(save(tmp_path / "float.tif", np.zeros((8, 8), np.float32)))


def test_image_without_permission_is_named(
    tmp_path: Path, make_images: MakeImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.png", make_images(1, (16, 16))[0])

    def refuse(_path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(SourceError, match=r"a\.png cannot be read: Permission denied; check"):
        open_source(str(tmp_path), session_id="s")
