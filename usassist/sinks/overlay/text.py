"""Text on a canvas."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["BRIGHT", "DIM", "PAPER", "Color", "Pen"]

Color = tuple[int, int, int]

BRIGHT: Color = (226, 230, 233)
DIM: Color = (140, 148, 155)
PAPER: Color = (18, 20, 23)


class Pen:
    """Writes in one size unit.

    Parameters
    ----------
    unit : what sizes, in px, are multiplied with
    """

    def __init__(self, unit: float = 1.0) -> None:
        self.unit = unit
        self._font = cv2.FontFace("sans")

    def px(self, length: float) -> int:
        """A length in px of the canvas."""
        return round(length * self.unit)

    def write(
        self,
        canvas: npt.NDArray[np.uint8],
        text: str,
        place: tuple[int, int],
        color: Color,
        size: float,
        weight: int = 400,
    ) -> int:
        """Write a text with its baseline at `place`, canvas px; returns where it ends, px."""
        if not text:
            return place[0]
        (end_x, _), _ = cv2.putText(canvas, text, place, color, self._font, self.px(size), weight)
        return int(end_x)

    def width(self, text: str, size: float) -> int:
        """Width of a text, px."""
        if not text:
            return 0
        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), self._font, self.px(size), 400)
        return int(width)

    def fit(self, text: str, room_px: int, size: float) -> str:
        """Shorten a text to `room_px`."""
        if self.width(text, size) <= room_px:
            return text
        fits, too_long = 0, len(text)
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if self.width(text[:middle] + "…", size) <= room_px:
                fits = middle
            else:
                too_long = middle
        return text[:fits] + "…" if fits else ""
