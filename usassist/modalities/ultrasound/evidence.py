"""The region of an engine's mask that belongs to one box, in pixels of the image."""

from __future__ import annotations

import math
from typing import Any

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
        scale, offset = image_to_input[[0, 1], [0, 1]] / stride_px, image_to_input[:, 2] / stride_px
        # Cells whose centre lies on the image: what the engine says of the padding is not smoothed into it.
        low = np.maximum(np.ceil(offset - 0.5 - 1e-6), 0).astype(int)
        high = np.floor(offset + scale * image_hw_px[::-1] - 0.5 + 1e-6).astype(int) + 1
        cells = mask_prob[low[1] : high[1], low[0] : high[0]]
        self._prob = cv2.GaussianBlur(cells, (0, 0), _SMOOTH_CELLS, borderType=cv2.BORDER_REPLICATE)
        self._scale, self._offset = scale, offset - low  # image px to cells
        thin_px = max(1, round(_THIN_CELLS / float(scale.mean())))
        self._square_px = round(0.4 * thin_px)  # a square and a diamond make an octagon
        self._diamond_px = thin_px - self._square_px

    def region(self, box: Float64Array, image_hw_px: tuple[int, ...]) -> tuple[UInt8Array, tuple[int, int]]:
        """The pixels around a box that belong to it.

        Parameters
        ----------
        box : float64 (4,), x1, y1, x2, y2 in px of the image
        image_hw_px : height and width of the image

        Returns
        -------
        region : uint8 (h, w), 0 or 1
        corner_xy_px : where its first pixel lies on the image
        """
        center, half = 0.5 * (box[:2] + box[2:]), 0.5 * (box[2:] - box[:2])
        corner = np.maximum(np.floor(center - _LIMIT * half), 0).astype(int)
        end = np.minimum(np.ceil(center + _LIMIT * half), image_hw_px[1::-1]).astype(int)
        # Cells that these pixels touch, and one more on every side for the interpolation.
        low = np.maximum(np.floor(self._scale * corner + self._offset - 0.5), 0).astype(int)
        high = np.minimum(np.ceil(self._scale * end + self._offset + 0.5), self._prob.shape[::-1]).astype(int)
        across, down = (
            (((np.arange(low[i], high[i]) + 0.5 - self._offset[i]) / self._scale[i] - center[i]) / half[i]) ** 2
            for i in (0, 1)
        )
        beyond = np.sqrt(across + down[:, None], dtype=np.float32) - np.float32(_FREE)
        least = _PROB + (1.0 - _PROB) / (_LIMIT - _FREE) * np.maximum(beyond, np.float32(0.0))
        above = self._prob[low[1] : high[1], low[0] : high[0]] - least.astype(np.float32)
        # Pixel (i, j) of the region has its centre at image (x + i + 0.5, y + j + 0.5); OpenCV's own coordinates have
        # pixel centres at whole numbers, so half a pixel is subtracted again in the cells.
        offset = self._scale * (corner + 0.5) + self._offset - 0.5 - low
        fine = cv2.warpAffine(
            above,
            np.array([[self._scale[0], 0.0, offset[0]], [0.0, self._scale[1], offset[1]]]),
            (int(end[0] - corner[0]), int(end[1] - corner[1])),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return (fine >= 0.0).astype(np.uint8), (int(corner[0]), int(corner[1]))

    def without_spikes(self, region: UInt8Array) -> UInt8Array:
        """The region without its thin parts: opened by an octagon with the radius of a cell."""
        square = np.ones((2 * self._square_px + 1,) * 2, np.uint8)
        opened: Any = cv2.erode(region, square)
        opened = cv2.erode(opened, _CROSS, iterations=self._diamond_px)
        opened = cv2.dilate(opened, _CROSS, iterations=self._diamond_px)
        return np.asarray(cv2.dilate(opened, square), np.uint8)
