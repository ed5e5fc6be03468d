"""The part of a head CT that the haemorrhage engine sees, whatever the field of view, and the way back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from usassist.errors import VolumeError
from usassist.modalities.ct.haemorrhage.preprocess import (
    INPUT_SIDE_PX,
    WINDOWS,
    HeadSquare,
    crop_head,
    find_head,
    place_back,
    prepare_plane,
    prepare_slice,
    window_planes,
)


def _plane(side: int, centre: tuple[float, float], axes: tuple[float, float], headrest: bool = False) -> np.ndarray:
    """An oval head of 40 HU, all lengths in shares of the side; perhaps with a thin headrest that touches it."""
    plane = np.full((side, side), -1000, np.int16)
    y, x = np.mgrid[:side, :side] / side
    plane[((y - centre[0]) / axes[0]) ** 2 + ((x - centre[1]) / axes[1]) ** 2 <= 1.0] = 40
    if headrest:
        row = round((centre[0] + axes[0]) * side)
        plane[row : row + max(side // 128, 1), :] = 100
    return plane


@pytest.mark.parametrize("side", [96, 512])
def test_square_is_that_of_the_head_without_its_headrest(side: int) -> None:
    square = find_head([_plane(side, (0.5, 0.5), (0.3, 0.2), headrest=True)] * 3)
    assert square.side_px == pytest.approx(0.6 * 1.08 * side, abs=0.05 * side)
    assert square.top_px + square.side_px / 2 == pytest.approx(side / 2, abs=0.02 * side)
    assert square.left_px + square.side_px / 2 == pytest.approx(side / 2, abs=0.02 * side)


def test_square_holds_every_plane_of_one_head_and_nothing_beside_it() -> None:
    planes = [_plane(128, (0.4 + 0.02 * z, 0.5), (0.2, 0.2)) for z in range(6)]
    alone = find_head(planes)
    for plane in planes:  # an arm beside the head, in every plane
        plane[110:126, 0:16] = 30
    assert find_head(planes) == alone
    crop = crop_head(planes[0], alone)
    assert (crop > 0).sum() / crop.size == pytest.approx(np.pi * 0.2**2 / (alone.side_px / 128) ** 2, rel=0.05)


def test_two_parts_that_meet_in_a_later_plane_are_one_object() -> None:
    first = np.full((128, 128), -1000, np.int16)
    first[20:60, 10:50], first[20:60, 78:118] = 40, 40
    second = np.full((128, 128), -1000, np.int16)
    second[20:60, 10:118] = 40
    assert find_head([first, second]).side_px == round(108 * 1.08)


@pytest.mark.parametrize(
    "planes", [[], [np.full((64, 64), -1000, np.int16)], [np.eye(64, dtype=np.int16) * 2000 - 1000]]
)
def test_without_a_head_there_is_no_square(planes: list[np.ndarray]) -> None:
    with pytest.raises(VolumeError, match="no head was found"):
        find_head(planes)


def test_windows_are_the_published_ones() -> None:
    """Brain 80/40, subdural 200/80, bone 2800/600 (width/centre)."""
    values = np.array([[0.0, 40.0, 80.0, 180.0, -20.0, -800.0, 2000.0, 600.0]], np.float32)
    brain, subdural, bone = window_planes(values)
    assert [window.name for window in WINDOWS] == ["brain", "subdural", "bone"]
    assert brain[0].tolist() == [0.0, 0.5, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]
    assert subdural[0] == pytest.approx([0.1, 0.3, 0.5, 1.0, 0.0, 0.0, 1.0, 1.0])
    assert bone[0, [5, 6, 7]] == pytest.approx([0.0, 1.0, 0.5])


def test_tensor_does_not_depend_on_field_of_view_or_orientation() -> None:
    """The same head at twice the voxels gives the same tensor; turned by 90 degrees, the turned one."""
    small = _plane(256, (0.5, 0.5), (0.35, 0.3))
    small[100:140, 110:150] = 70
    tensor, _ = prepare_slice(small)
    assert tensor.shape == (3, INPUT_SIDE_PX, INPUT_SIDE_PX)
    large = cv2.resize(small, (512, 512), interpolation=cv2.INTER_NEAREST)
    assert np.abs(prepare_slice(large)[0] - tensor).mean() < 0.02
    assert np.abs(prepare_slice(np.rot90(small).copy())[0] - np.rot90(tensor, axes=(1, 2))).mean() < 0.02


def test_padding_values_and_metal_do_not_bleed() -> None:
    plane = _plane(128, (0.5, 0.5), (0.3, 0.3)).astype(np.float32)
    plane[0, 0], plane[60, 60] = -32768.0, 30000.0
    crop = crop_head(plane, HeadSquare(-10, -10, 148))
    assert crop.min() >= -1024.0
    assert crop.max() <= 3071.0
    assert crop[0, 0] == -1000.0  # outside of the plane


def test_what_the_engine_gives_lies_on_its_voxels_again() -> None:
    plane = np.full((200, 180), -1000, np.int16)
    plane[90:120, 40:60] = 80
    for square in (HeadSquare(20, -30, 190), HeadSquare(-15, 10, 260), HeadSquare(60, 20, 70)):
        bright = (prepare_plane(plane, square)[1] > 0.3).astype(np.float32)
        again = place_back(bright, square, plane.shape) >= 0.5
        assert (again != (plane == 80)).sum() <= 2 * (30 + 20) * max(square.side_px / 256, 0.5)
