"""Covers text that a scanner has burnt into the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "FindText", "cover"]

Box = tuple[int, int, int, int]
FindText = Callable[[Sequence[npt.NDArray[np.uint8]]], tuple[Box, ...]]
"""Boxes of text on frames of one size that belong together; see ``frames.burnt_text.find_text_boxes``."""

_RIM_PX = 6  # around a box of text: the colour it is covered with comes from there


def cover(image: npt.NDArray[np.uint8], boxes_xyxy_px: Sequence[Box]) -> npt.NDArray[np.uint8]:
    """The image with filled boxes over text and marks, so that nothing can be read from their shape.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3)
    boxes_xyxy_px : x2 and y2 exclusive; each is filled with the median of the box and a rim around it

    Returns
    -------
    uint8 of the same shape: the image itself where there are no boxes, else a copy
    """
    if not boxes_xyxy_px:
        return image
    covered = image.copy()
    for x1, y1, x2, y2 in boxes_xyxy_px:
        around = image[max(y1 - _RIM_PX, 0) : y2 + _RIM_PX, max(x1 - _RIM_PX, 0) : x2 + _RIM_PX]
        covered[y1:y2, x1:x2] = np.median(around, axis=(0, 1)).astype(np.uint8)
    return covered
