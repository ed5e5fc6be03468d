"""The two forms of a segmentation in COCO as masks: polygons, and run lengths.

Polygons run along the edges of pixels, as COCO means them, or through their centres, where a program has traced a mask
with OpenCV and written the numbers of its pixels, as the brush export of Label Studio does
(``label_studio_sdk/converter/exports/brush_to_coco.py``). Taken for the other, a region loses half a pixel all around.

Run lengths count the pixels column by column, first those outside. ``counts`` is a list of numbers, or the same packed
into text: https://github.com/cocodataset/cocoapi/blob/master/common/maskApi.c
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["looks_traced", "polygons_mask", "run_length_mask"]

BoolArray = npt.NDArray[np.bool_]
Float64Array = npt.NDArray[np.float64]

_OUTSIDE_PX = 0.5  # tools round, and some let a point lie on the border of the last pixel
_LEAST_CORNERS = 3
_EDGES_AT_ONCE = 256


def looks_traced(polygons: Any) -> bool:
    """True where polygons look traced through the centres of pixels: whole numbers, and steps of 0, 45 or 90 degrees.

    At least one step is of 45 degrees, which a polygon along pixel edges has not. What is no list of polygons is not.
    """
    try:
        found = [_points(polygon) for polygon in polygons]
    except (TypeError, ValueError):
        return False
    steps = [np.abs(np.roll(points, -1, axis=0) - points) for points in found]
    whole = all((points == np.round(points)).all() for points in found)
    chain = all(((x == 0) | (y == 0) | (x == y)).all() for x, y in (step.T for step in steps))
    return bool(found) and whole and chain and all((step.min(axis=1) > 0).any() for step in steps)


def polygons_mask(polygons: Any, image_hw_px: tuple[int, int], *, through_centres: bool = False) -> BoolArray:
    """The pixels whose centre is inside one of the polygons.

    Parameters
    ----------
    polygons : lists ``[x1, y1, x2, y2, …]``, px, the corner of the first pixel at (0, 0)
    image_hw_px : of the image
    through_centres : the centre of the first pixel is at (0, 0) instead, and a polygon runs through the outermost
        pixels of its region, which belong to it

    Returns
    -------
    mask : bool (H, W)

    Raises
    ------
    ValueError
        If a polygon has another form, lies outside of the image, or crosses itself; the message is a phrase.
    """
    height, width = image_hw_px
    mask = np.zeros(image_hw_px, np.bool_)
    if not isinstance(polygons, list) or not polygons:
        raise ValueError("has no polygon")
    for polygon in polygons:
        points = _points(polygon)
        if (points < -_OUTSIDE_PX).any() or (points > np.array([width, height]) + _OUTSIDE_PX).any():
            raise ValueError("has a polygon outside of the image")
        if _crosses_itself(points):
            raise ValueError("has a polygon that crosses itself")
        if through_centres:
            filled = np.zeros(image_hw_px, np.uint8)
            cv2.fillPoly(filled, [np.round(points).astype(np.int32)], 1)
            mask |= filled > 0
        else:
            mask |= _inside(points, image_hw_px)
    return mask


def run_length_mask(segmentation: Any, image_hw_px: tuple[int, int]) -> BoolArray:
    """The mask of run lengths, packed or not.

    Parameters
    ----------
    segmentation : ``size`` (height and width) and ``counts``
    image_hw_px : of the image

    Returns
    -------
    mask : bool (H, W)

    Raises
    ------
    ValueError
        If they have another form, or are of another size; the message is a phrase.
    """
    if segmentation.get("size") != list(image_hw_px):
        raise ValueError("has run lengths of another size than its image")
    counts = segmentation.get("counts")
    runs = _unpack(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise ValueError("has run lengths that are no numbers from 0")
    if sum(runs) != image_hw_px[0] * image_hw_px[1]:
        raise ValueError("has run lengths that do not add up to its image")
    inside = np.arange(len(runs)) % 2 == 1
    return np.repeat(inside, runs).reshape(image_hw_px, order="F")


def _points(polygon: Any) -> Float64Array:
    is_list = isinstance(polygon, list) and all(type(value) in (int, float) for value in polygon)
    if not is_list or len(polygon) % 2 or not np.isfinite(np.array(polygon, np.float64)).all():
        raise ValueError("has a polygon that is no list of pairs of numbers")
    points = np.array(polygon, np.float64).reshape(-1, 2)
    if len(points) and (points[0] == points[-1]).all():  # some tools repeat the first point
        points = points[:-1]
    corners: Float64Array = points[(points != np.roll(points, 1, axis=0)).any(axis=1)]
    if len(corners) < _LEAST_CORNERS:
        raise ValueError("has a polygon of fewer than three corners")
    return corners


def _inside(points: Float64Array, image_hw_px: tuple[int, int]) -> BoolArray:
    """Pixels with an odd number of edges to their left, at the height of their centre."""
    height, width = image_hw_px
    start, end = points, np.roll(points, -1, axis=0)
    lowest, highest = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    first = np.clip(np.ceil(lowest - 0.5), 0, height).astype(np.intp)  # row of an edge, and the one after its last
    count = np.clip(np.ceil(highest - 0.5), 0, height).astype(np.intp) - first
    edge = np.repeat(np.arange(len(points)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    (x1, y1), (x2, y2) = start[edge].T, end[edge].T
    x = x1 + (row + 0.5 - y1) * (x2 - x1) / (y2 - y1)
    column = np.clip(np.ceil(x - 0.5), 0, width).astype(np.intp)
    mask = np.zeros(image_hw_px, np.bool_)
    if not len(edge):
        return mask
    top, left = int(row.min()), int(column.min())
    turns = np.zeros((int(row.max()) + 1 - top, int(column.max()) + 1 - left), np.intp)
    np.add.at(turns, (row - top, column - left), 1)
    inside = np.cumsum(turns, axis=1)[:, :-1] % 2 == 1  # after the last edge of a row nothing is inside
    mask[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return mask


def _crosses_itself(points: Float64Array) -> bool:
    """True where two edges cross in their inside. Edges that touch do not, as those of pixels at a corner do."""
    start, end = points, np.roll(points, -1, axis=0)
    for first in range(0, len(points), _EDGES_AT_ONCE):
        a, b = start[first : first + _EDGES_AT_ONCE, None], end[first : first + _EDGES_AT_ONCE, None]
        across = _side(a, b, start[None]) * _side(a, b, end[None]) < 0
        back = _side(start[None], end[None], a) * _side(start[None], end[None], b) < 0
        if (across & back).any():
            return True
    return False


def _side(a: Float64Array, b: Float64Array, point: Float64Array) -> Float64Array:
    """On which side of the line from a to b a point is: -1, 0 or 1."""
    along, to = b - a, point - a
    side: Float64Array = np.sign(np.round(along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0], 9))
    return side


def _unpack(text: str) -> list[int]:
    """Five bits a letter, the sixth says that more follow; from the fourth on, the difference to the last but one."""
    runs: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64:
            raise ValueError("has packed run lengths with a letter that cannot be in them")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            if code & 16:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
        elif shift > 60:
            raise ValueError("has packed run lengths that are too long")
    if shift:
        raise ValueError("has packed run lengths that break off")
    return runs
