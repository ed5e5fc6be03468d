"""The region of an engine's mask that belongs to one box, in pixels of the image."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["EvidenceMask"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

_PROB = 0.5
_SMOOTH_CELLS = 1.0  # sd of the smoothing of the mask, in its own cells
_FREE, _LIMIT = 1.2, math.sqrt(2.0)  # half-axes of ellipses around a box, in halves of its sides
_THIN_CELLS = 1.0  # a part through which no disc of this radius fits is a spike
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


class _Span(NamedTuple):
    """Along one axis: the pixels of a region, the cells below them, squared distances of these from the centre of the
    box in halves of its side, and the place of the first pixel in these cells.
    """

    first_px: int
    size_px: int
    cells: slice
    beyond: Float64Array
    offset: float


class EvidenceMask:
    """The mask of one frame.

    The mask is smoothed by a Gaussian with a standard deviation of one of its cells, a few pixels of the image. This
    moves the border of a round region of radius r inwards by 1 / (2 r) of a cell, and takes away what is thinner than
    about two cells.

    A detector's box is less accurate at the border than its mask, but tells how large the object is, and a mask may run
    on into a neighbour. So a pixel needs a probability of 0.5 within the ellipse that is 1.2 times as large as the box,
    and more beyond it, up to 1 at the ellipse through the corners of the box. Nothing is cut straight at the box.

    Parameters
    ----------
    mask_prob : float32 (h, w), probability in each cell of the input
    stride_px : side of a cell, px of the input
    image_to_input : float64 (2, 3), letterbox map from image px to input px, without rotation
    image_hw_px : height and width of the image
    """

    def __init__(
        self, mask_prob: Float32Array, stride_px: int, image_to_input: Float64Array, image_hw_px: tuple[int, int]
    ) -> None:
        (scale_x, _, offset_x), (_, scale_y, offset_y) = (image_to_input / stride_px).tolist()
        # Cells whose centre lies on the image: what the engine says of the padding is not smoothed into it.
        (left, right), (top, bottom) = (
            (max(math.ceil(offset - 0.5 - 1e-6), 0), math.floor(offset + scale * side_px - 0.5 + 1e-6) + 1)
            for offset, scale, side_px in ((offset_x, scale_x, image_hw_px[1]), (offset_y, scale_y, image_hw_px[0]))
        )
        self._prob = cv2.GaussianBlur(
            mask_prob[top:bottom, left:right], (0, 0), _SMOOTH_CELLS, borderType=cv2.BORDER_REPLICATE
        )
        self._scale, self._offset = (scale_x, scale_y), (offset_x - left, offset_y - top)  # image px to cells
        thin_px = max(1, round(_THIN_CELLS / ((scale_x + scale_y) / 2.0)))
        self._square_px = round(0.4 * thin_px)  # a square and a diamond make an octagon
        self._diamond_px = thin_px - self._square_px

    def region(
        self, box: tuple[float, float, float, float], image_hw_px: tuple[int, int]
    ) -> tuple[UInt8Array, tuple[int, int]]:
        """The pixels around a box that belong to it.

        Parameters
        ----------
        box : x1, y1, x2, y2 in px of the image
        image_hw_px : height and width of the image

        Returns
        -------
        region : uint8 (h, w), 0 or 1
        corner_xy_px : where its first pixel lies on the image
        """
        x1, y1, x2, y2 = box
        across, down = (
            self._along(axis, *ends, image_hw_px[1 - axis]) for axis, ends in enumerate(((x1, x2), (y1, y2)))
        )
        beyond = np.sqrt(across.beyond + down.beyond[:, None], dtype=np.float32) - np.float32(_FREE)
        least = _PROB + (1.0 - _PROB) / (_LIMIT - _FREE) * np.maximum(beyond, np.float32(0.0))
        above = self._prob[down.cells, across.cells] - least
        fine = cv2.warpAffine(
            above,
            np.array([[self._scale[0], 0.0, across.offset], [0.0, self._scale[1], down.offset]]),
            (across.size_px, down.size_px),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return (fine >= 0.0).view(np.uint8), (across.first_px, down.first_px)

    def _along(self, axis: int, begin_px: float, end_px: float, side_px: int) -> _Span:
        """What :meth:`region` looks at along x (0) or y (1), of a box from `begin_px` to `end_px`."""
        scale, offset = self._scale[axis], self._offset[axis]
        center, half = 0.5 * (begin_px + end_px), 0.5 * (end_px - begin_px)
        first = max(math.floor(center - _LIMIT * half), 0)
        end = min(math.ceil(center + _LIMIT * half), side_px)
        # Cells that these pixels touch, and one more on every side for the interpolation.
        low = max(math.floor(scale * first + offset - 0.5), 0)
        high = min(math.ceil(scale * end + offset + 0.5), self._prob.shape[1 - axis])
        return _Span(
            first_px=first,
            size_px=end - first,
            cells=slice(low, high),
            beyond=(((np.arange(low, high) + 0.5 - offset) / scale - center) / half) ** 2,
            # Pixel i of the region has its centre at image first + i + 0.5; OpenCV's own coordinates have pixel centres
            # at whole numbers, so half a pixel is subtracted again in the cells.
            offset=scale * (first + 0.5) + offset - 0.5 - low,
        )

    def without_spikes(self, region: UInt8Array) -> UInt8Array:
        """The region without its thin parts: opened by an octagon with the radius of a cell."""
        square = np.ones((2 * self._square_px + 1,) * 2, np.uint8)
        opened: Any = cv2.erode(region, square)
        opened = cv2.erode(opened, _CROSS, iterations=self._diamond_px)
        opened = cv2.dilate(opened, _CROSS, iterations=self._diamond_px)
        return np.asarray(cv2.dilate(opened, square), np.uint8)
