"""Screens in planes: what is cut out of them is what converting all of them would give."""

import numpy as np
import numpy.typing as npt
import pytest

from usassist.common.pyav import av
from usassist.sources.cropping import cut_plain
from usassist.sources.pixels import to_image
from usassist.sources.screen import Screen

UInt8Array = npt.NDArray[np.uint8]

_FORMATS = ["yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "nv12", "yuyv422", "rgb24", "bgr0", "gray"]
_PARTS = [(0, 0, 96, 64), (8, 6, 56, 50), (9, 7, 55, 49), (60, 3, 61, 4)]
_COLOURED = (70, 10, 90, 30)  # x1, y1, x2, y2


def _image() -> UInt8Array:
    """Noise without colour, and a red patch on its right."""
    noise = np.random.default_rng(5).integers(0, 256, (64, 96), np.uint8)
    image = np.dstack([noise] * 3)
    x1, y1, x2, y2 = _COLOURED
    image[y1:y2, x1:x2] = (220, 40, 30)
    return image


def _frame(name: str, color_range: int = 1) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(_image(), "rgb24").reformat(format=name, dst_color_range=color_range)
    if name in ("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p"):  # the scaler's rounding tints grey by a level
        for number in (1, 2):
            plane = frame.planes[number]
            values = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            values[np.abs(values.astype(int) - 128) <= 3] = 128
    return frame


def _converted(frame: av.VideoFrame) -> UInt8Array:
    planar = {"nv12": "yuv420p", "yuyv422": "yuv422p"}.get(frame.format.name)
    return to_image(frame if planar is None else frame.reformat(format=planar))


@pytest.mark.parametrize("borrowed", [False, True])
@pytest.mark.parametrize("name", _FORMATS)
def test_what_is_cut_out_is_what_converting_everything_gives(name: str, borrowed: bool) -> None:
    frame = _frame(name)
    screen = Screen.of(frame, borrowed=borrowed)
    converted = _converted(frame)
    assert screen.hw_px == (64, 96)
    assert np.array_equal(screen.image, converted)
    for part in _PARTS:
        assert np.array_equal(Screen.of(frame, borrowed=borrowed).cut(part), cut_plain(converted, part))


@pytest.mark.parametrize("name", ["yuv420p", "yuvj420p", "yuv422p", "yuv444p"])
@pytest.mark.parametrize("color_range", [1, 2])
def test_a_part_without_colour_is_one_plane(name: str, color_range: int) -> None:
    screen = Screen.of(_frame(name, color_range))
    assert screen.cut((0, 0, 64, 64)).shape == (64, 64)
    assert screen.cut((0, 0, 96, 64)).shape == (64, 96, 3)
    assert screen.colours(np.s_[:, :64]) is None
    assert np.array_equal(screen.grey(np.s_[3:60:2, 1:63:3]), screen.image[3:60:2, 1:63:3, 1])


def test_one_pixel_of_colour_is_enough() -> None:
    frame = _frame("yuv444p")
    plane = frame.planes[2]
    np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[40, 20] = 160
    screen = Screen.of(frame)
    assert screen.cut((0, 0, 64, 64)).ndim == 3
    assert screen.cut((0, 0, 20, 64)).ndim == screen.cut((21, 0, 64, 64)).ndim == 2


@pytest.mark.parametrize("name", _FORMATS)
def test_samples_have_the_colour_of_the_image(name: str) -> None:
    screen, window = Screen.of(_frame(name)), np.s_[12:28:3, 74:88:2]
    colours = screen.colours(window)
    if name == "gray":
        assert colours is None
        return
    assert colours is not None
    assert colours.shape == (6, 7, 3)
    assert np.abs(colours.astype(int) - screen.image[window]).max() <= 4


@pytest.mark.parametrize("name", ["yuv420p", "yuv444p", "rgb24", "gray"])
def test_brightness_is_the_same_by_window_and_by_point(name: str) -> None:
    screen = Screen.of(_frame(name))
    points = np.array([0, 95, 96 * 20 + 80, 96 * 64 - 1])
    assert np.array_equal(screen.take(points), screen.grey().reshape(-1)[points])
    assert screen.take(points[:0]).shape == (0,)
    assert screen.grey(np.s_[5:5, :]).size == 0


@pytest.mark.parametrize("name", ["yuv420p", "yuvj420p", "gray", "rgb24"])
def test_nothing_is_kept_of_a_borrowed_frame(name: str) -> None:
    frame = _frame(name)
    screen = Screen.of(frame, borrowed=True)
    before = screen.cut((0, 0, 60, 60)).copy()
    for plane in frame.planes:
        np.frombuffer(memoryview(plane), np.uint8)[...] = 99
    assert np.array_equal(screen.cut((0, 0, 60, 60)), before)
