"""Text on a canvas, in the typeface that OpenCV brings: Latin, Greek and Hangul, without a font of the system."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["ALERT", "BRIGHT", "CAP", "DIM", "HALO", "PAPER", "Color", "Pen"]

Color = tuple[int, int, int]

BRIGHT: Color = (226, 230, 233)
DIM: Color = (140, 148, 155)
PAPER: Color = (18, 20, 23)
ALERT: Color = (232, 110, 96)
HALO: Color = (0, 0, 0)

CAP = 0.75
"""Height of a capital letter, as a part of the size of the typeface."""


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

    def write_on_image(
        self, canvas: npt.NDArray[np.uint8], text: str, place: tuple[int, int], color: Color, size: float
    ) -> None:
        """Write a text with a dark edge, so that it is read on any image."""
        for shade, weight in ((HALO, 900), (color, 600)):
            self.write(canvas, text, place, shade, size, weight)

    def width(self, text: str, size: float, weight: int = 400) -> int:
        """Width of a text, px."""
        if not text:
            return 0
        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), self._font, self.px(size), weight)
        return int(width)

    def size_that_fits(self, text: str, room_px: int, size: float, weight: int = 400) -> float:
        """The largest size, at most `size`, in which a text is no wider than `room_px`."""
        width_px = self.width(text, size, weight)
        if width_px <= room_px:
            return size
        size *= max(0, room_px) / width_px
        while size > 1.0 and self.width(text, size, weight) > room_px:  # sizes are rounded to px
            size -= 0.5 / self.unit
        return max(size, 1.0 / self.unit)

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
