"""A scale in mm beside the image: a tick every 5 mm from its upper edge, a figure every 10 mm."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sinks.overlay.layout import Layout
from usassist.sinks.overlay.text import DIM, PAPER, Pen, fill

__all__ = ["DepthScale"]

UInt8Array = npt.NDArray[np.uint8]

_TICK_MM = 5.0
_LEAST_GAP_PX = 9.0  # between ticks, times unit; where they would be closer, only every tenth millimetre has one


class DepthScale:
    """Draws the scale of one layout, and draws it again only where layout or scale have changed."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._pixels: UInt8Array = np.empty((0, 0, 3), np.uint8)

    def draw(self, canvas: UInt8Array, layout: Layout, mm_per_px: float | None, image_h_px: int) -> None:
        """Draw it, or leave its place empty.

        Parameters
        ----------
        canvas : uint8 (H, W, 3), RGB, of that layout, which has a gutter
        mm_per_px : row step of the frame, mm; None = it has no scale
        image_h_px : rows of the frame
        """
        x1, y1, _, y2 = layout.image_xyxy_px
        place = canvas[y1:y2, :x1]
        key = (layout, mm_per_px, image_h_px)
        if key != self._key:
            self._key = key
            fill(place, PAPER)
            if mm_per_px is not None:
                _draw(place, Pen(layout.unit), mm_per_px * image_h_px)
            self._pixels = place.copy()
        else:
            np.copyto(place, self._pixels)


def _draw(place: UInt8Array, pen: Pen, depth_mm: float) -> None:
    height, width = place.shape[:2]
    px_per_mm = height / depth_mm
    tick_mm = _TICK_MM if _TICK_MM * px_per_mm >= pen.px(_LEAST_GAP_PX) else 2.0 * _TICK_MM
    figure_mm = 10.0 if 10.0 * px_per_mm >= pen.px(18) else 50.0
    x2, line_px = width - pen.px(5), max(1, pen.px(1))
    for index in range(int(depth_mm / tick_mm) + 1):
        at_mm = index * tick_mm
        y = min(height - 1, round(at_mm * px_per_mm))
        is_major = at_mm % 10.0 == 0.0
        cv2.line(place, (x2 - pen.px(9 if is_major else 5), y), (x2, y), DIM, line_px)
        if at_mm and at_mm % figure_mm == 0.0 and y + pen.px(4) < height:
            text = f"{at_mm:.0f}"
            pen.write(place, text, (x2 - pen.px(13) - pen.width(text, 11), y + pen.px(4)), DIM, 11)
    pen.write(place, "mm", (x2 - pen.px(13) - pen.width("mm", 11), pen.px(11)), DIM, 11)
