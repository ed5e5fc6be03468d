from __future__ import annotations

from itertools import islice

import cv2
import numpy as np
import pytest

from usassist.common.clock import FakeClock
from usassist.errors import SourceFormatError, UsageError
from usassist.sources import open_source
from usassist.sources.null import draw_pattern, read_frame_id


@pytest.mark.parametrize("hw_px", [(32, 68), (187, 253), (480, 640), (1080, 1920)])
@pytest.mark.parametrize("frame_id", [0, 1, 255, 65_537, 2**32 - 1])
def test_frame_number_can_be_read_from_the_pixels(hw_px: tuple[int, int], frame_id: int) -> None:
    image = draw_pattern(frame_id, hw_px)
    assert image.shape == hw_px
    assert read_frame_id(image) == frame_id
    assert read_frame_id(np.repeat(image[..., None], 3, axis=2)) == frame_id


def test_frame_number_survives_lossy_compression() -> None:
    ok, data = cv2.imencode(".jpg", draw_pattern(4711, (480, 640)), [cv2.IMWRITE_JPEG_QUALITY, 40])
    assert ok
    assert read_frame_id(np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)) == 4711


@pytest.mark.parametrize("level", [0, 128, 255])
def test_other_pixels_hold_no_number(level: int) -> None:
    with pytest.raises(SourceFormatError, match="no frame number; give"):
        read_frame_id(np.full((480, 640), level, np.uint8))
    with pytest.raises(SourceFormatError):
        read_frame_id(np.zeros((8, 8), np.uint8))


def test_every_frame_carries_its_own_number_on_time() -> None:
    with open_source("null:frames=40,rate=50,size=48x136", session_id="s", clock=FakeClock()) as source:
        assert source.info.image_hw_px == (48, 136)
        assert source.info.frame_count == 40
        frames = list(source.frames())
    assert [read_frame_id(frame.image) for frame in frames] == list(range(40)) == [f.frame_id for f in frames]
    assert [frame.t_capture_ns for frame in frames] == [index * 20_000_000 for index in range(40)]


def test_without_frames_it_goes_on_and_count_ends_it() -> None:
    with open_source("null:", session_id="s", fast=True) as source:
        assert source.info.frame_count is None
        assert len(list(islice(source.frames(), 500))) == 500
    with open_source("null:frames=3", session_id="s", fast=True, repeat=True, count=7) as source:
        assert [read_frame_id(frame.image) for frame in source.frames()] == list(range(7))


def test_crop_is_cut_from_the_pattern() -> None:
    with open_source("null:", session_id="s", fast=True, crop=(10, 20, 50, 60), count=1) as source:
        (frame,) = source.frames()
    np.testing.assert_array_equal(frame.image, draw_pattern(0, (480, 640))[20:60, 10:50])


@pytest.mark.parametrize(
    "settings",
    ["frames=0", "frames=x", "rate=0", "rate=nan", "size=480", "size=4x4", "size=99999x99999", "colour=red", "frames"],
)
def test_bad_settings_are_refused_with_a_remedy(settings: str) -> None:
    with pytest.raises(UsageError, match=r"source null.*; (give|write|leave)"):
        open_source(f"null:{settings}", session_id="s")
