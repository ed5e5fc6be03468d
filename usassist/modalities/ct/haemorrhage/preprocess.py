"""From a head CT in HU to the input tensor of the haemorrhage engine, and back onto its voxels.

The head fills the input whatever field of view it was scanned with, so nothing here needs the spacing. The same
function makes the tensors of training and of use.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import VolumeError
from usassist.frames.components import Components

__all__ = [
    "AIR_HU",
    "INPUT_SIDE_PX",
    "WINDOWS",
    "HeadSquare",
    "Window",
    "crop_head",
    "find_head",
    "place_back",
    "prepare_plane",
    "prepare_slice",
    "window_planes",
]

Float32Array = npt.NDArray[np.float32]
AnyArray = npt.NDArray[Any]

INPUT_SIDE_PX = 256
"""Side of the engine's input, px."""

AIR_HU = -1000.0
"""What lies beyond the edge of a plane."""

_LOWEST_HU, _HIGHEST_HU = -1024.0, 3071.0  # 12 bits; padding values and metal beyond them would bleed into neighbours
_BODY_HU = -300.0
_MARGIN = 0.04  # of the extent of the head, on each side
_OPENING = 0.025  # width of what is removed, as a share of the shorter side of a plane: headrest, straps, tubes
_LEAST_SHARE = 0.02  # of a plane; a largest object that is smaller is not a head


@dataclass(frozen=True, slots=True)
class Window:
    """What is shown of the range of HU.

    Attributes
    ----------
    name : for people
    width_hu, centre_hu : values from ``centre - width / 2`` to ``centre + width / 2`` become 0 to 1
    """

    name: str
    width_hu: float
    centre_hu: float


WINDOWS = (Window("brain", 80.0, 40.0), Window("subdural", 200.0, 80.0), Window("bone", 2800.0, 600.0))
"""The channels of the engine's input, in their order."""


@dataclass(frozen=True, slots=True)
class HeadSquare:
    """The part of every plane that the engine sees.

    Attributes
    ----------
    top_px, left_px : row and column of its first voxel; negative where it begins outside of the plane
    side_px : rows and columns; it may end outside of the plane
    """

    top_px: int
    left_px: int
    side_px: int


def find_head(planes: Iterable[AnyArray], report: Callable[[int], None] | None = None) -> HeadSquare:
    """The square around the head: the largest object of the volume that is denser than -300 HU.

    Each plane is opened first, so a headrest that touches the skin is not part of it. Objects of neighbouring planes
    are one where they overlap. Only the last plane is kept.

    Parameters
    ----------
    planes : int16 or float32 (Y, X), HU, all of one size, in the order of the series
    report : receives the index of each plane that was read

    Raises
    ------
    VolumeError
        If there is no plane, or no object that could be a head.
    """
    objects = Components()
    shape_yx = (0, 0)
    for index, plane in enumerate(planes):
        shape_yx = plane.shape
        objects.add(_dense(plane))
        if report is not None:
            report(index)
    found = next(iter(objects.parts()), None)
    if found is None or found.area_px < _LEAST_SHARE * shape_yx[0] * shape_yx[1]:
        raise VolumeError(
            "no head was found: nothing that is denser than -300 HU is large enough; pass a CT of the head"
        )
    height, width = found.bottom - found.top, found.right - found.left
    side = round(max(height, width) * (1.0 + 2.0 * _MARGIN))
    top, left = found.top + (height - side) // 2, found.left + (width - side) // 2
    return HeadSquare(top_px=top, left_px=left, side_px=side)


def crop_head(plane: AnyArray, square: HeadSquare, side_px: int = INPUT_SIDE_PX) -> Float32Array:
    """One plane on the engine's grid, still in HU.

    Parameters
    ----------
    plane : int16 or float32 (Y, X), HU
    square : of the volume that the plane belongs to
    side_px : of the answer

    Returns
    -------
    crop : float32 (side_px, side_px), HU limited to -1024 to 3071. Resampled by area where it shrinks, linearly where
        it grows.
    """
    height, width = plane.shape
    top, left, side = square.top_px, square.left_px, square.side_px
    part = plane[max(top, 0) : max(min(top + side, height), 0), max(left, 0) : max(min(left + side, width), 0)]
    values = np.full((side, side), AIR_HU, np.float32)
    row, column = max(-top, 0), max(-left, 0)
    target = values[row : row + part.shape[0], column : column + part.shape[1]]
    np.clip(part, _LOWEST_HU, _HIGHEST_HU, out=target, casting="unsafe")
    method = cv2.INTER_AREA if side > side_px else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, (side_px, side_px), interpolation=method), np.float32)


def window_planes(crop: Float32Array, out: Float32Array | None = None) -> Float32Array:
    """The windows of one cropped plane.

    Parameters
    ----------
    crop : float32 (Y, X), HU
    out : float32 (3, Y, X) to write into

    Returns
    -------
    channels : float32 (3, Y, X), 0 to 1, in the order of :data:`WINDOWS`; `out` when it was given
    """
    if out is None:
        out = np.empty((len(WINDOWS), *crop.shape), np.float32)
    for channel, window in zip(out, WINDOWS, strict=True):
        np.subtract(crop, np.float32(window.centre_hu - window.width_hu / 2.0), out=channel)
        channel /= np.float32(window.width_hu)
        np.clip(channel, 0.0, 1.0, out=channel)
    return out


def prepare_plane(plane: AnyArray, square: HeadSquare, out: Float32Array | None = None) -> Float32Array:
    """One plane of a volume as the engine sees it.

    Parameters
    ----------
    plane : int16 or float32 (Y, X), HU
    square : from :func:`find_head` of the whole volume
    out : float32 (3, 256, 256) to write into

    Returns
    -------
    channels : float32 (3, 256, 256), 0 to 1
    """
    return window_planes(crop_head(plane, square), out)


def prepare_slice(plane: AnyArray) -> tuple[Float32Array, HeadSquare]:
    """A single slice, which is its own volume: the tensor float32 (3, 256, 256) and the square that it shows.

    Raises
    ------
    VolumeError
        As :func:`find_head`.
    """
    square = find_head([plane])
    return prepare_plane(plane, square), square


def place_back(values: Float32Array, square: HeadSquare, shape_yx: tuple[int, int]) -> Float32Array:
    """What the engine gave for one plane, on the voxels of that plane.

    Parameters
    ----------
    values : float32 (h, w), on the grid of the engine's input or a coarser one
    square : that the input showed
    shape_yx : of the plane

    Returns
    -------
    plane : float32 `shape_yx`, 0 outside of the square
    """
    height, width = shape_yx
    top, left, side = square.top_px, square.left_px, square.side_px
    whole = cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR)
    plane = np.zeros(shape_yx, np.float32)
    rows = slice(max(top, 0), max(min(top + side, height), 0))
    columns = slice(max(left, 0), max(min(left + side, width), 0))
    plane[rows, columns] = whole[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return plane


def _dense(plane: AnyArray) -> npt.NDArray[np.uint8]:
    """What of a plane is denser than -300 HU and not thin; uint8 (Y, X), 0 or 1."""
    width = max(round(_OPENING * min(plane.shape)), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return np.asarray(cv2.morphologyEx((plane > _BODY_HU).astype(np.uint8), cv2.MORPH_OPEN, kernel), np.uint8)
