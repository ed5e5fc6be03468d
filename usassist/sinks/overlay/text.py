"""Text on a canvas, in the typeface that OpenCV brings: Latin, Greek and Hangul, without a font of the system."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["ALERT", "BRIGHT", "CAP", "DIM", "HALO", "PAPER", "Color", "Pen", "fill"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Color = tuple[int, int, int]

BRIGHT: Color = (226, 230, 233)
DIM: Color = (140, 148, 155)
PAPER: Color = (18, 20, 23)
ALERT: Color = (232, 110, 96)
HALO: Color = (0, 0, 0)

_STAMPS_KEPT = 64

CAP = 0.75
"""Height of a capital letter, as a part of the size of the typeface."""


def fill(area: UInt8Array, color: Color) -> None:
    """Give all pixels one colour; `area` is uint8 (H, W, 3). numpy takes twenty times as long for three channels."""
    cv2.rectangle(area, (0, 0), (area.shape[1], area.shape[0]), color, cv2.FILLED)


class Pen:
    """Writes in one size unit.

    Parameters
    ----------
    unit : what sizes, in px, are multiplied with
    """

    def __init__(self, unit: float = 1.0) -> None:
        self.unit = unit
        self._font = cv2.FontFace("sans")
        self._stamps: dict[tuple[str, Color, int, int], tuple[Float32Array, Float32Array, tuple[int, int]]] = {}

    def px(self, length: float) -> int:
        """A length in px of the canvas."""
        return round(length * self.unit)

    def write(
        self,
        canvas: UInt8Array,
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
        self, canvas: UInt8Array, text: str, place: tuple[int, int], color: Color, size: float, weight: int = 600
    ) -> None:
        """Write a text with a dark edge, so that it is read on any image; what is beyond the canvas is cut off."""
        if not text:
            return
        ink, edge, (left, top) = self._stamp(text, color, self.px(size), weight)
        x, y = place[0] + left, place[1] + top
        x1, y1 = max(0, -x), max(0, -y)
        x2, y2 = min(ink.shape[1], canvas.shape[1] - x), min(ink.shape[0], canvas.shape[0] - y)
        if x2 <= x1 or y2 <= y1:
            return
        window = canvas[y + y1 : y + y2, x + x1 : x + x2]
        drawn = window * edge[y1:y2, x1:x2]
        drawn += ink[y1:y2, x1:x2]
        np.copyto(window, drawn, casting="unsafe")

    def _stamp(
        self, text: str, color: Color, size_px: int, weight: int
    ) -> tuple[Float32Array, Float32Array, tuple[int, int]]:
        """What is added to each pixel, and what share of the image is left, float32 (H, W, 3), and where it begins from
        `place`, px."""
        key = (text, color, size_px, weight)
        if key not in self._stamps:
            edge_px = max(1, round(size_px / 12))
            left, top = -2 * edge_px, -size_px - 2 * edge_px
            width, height = self.width_px(text, size_px, weight) + 4 * edge_px, 3 * size_px // 2 + 4 * edge_px
            mask = np.zeros((height, width), np.uint8)
            cv2.putText(mask, text, (-left, -top), (255,), self._font, size_px, weight)
            round_px = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * edge_px + 1, 2 * edge_px + 1))
            ink, dark = ((one / 255.0).astype(np.float32)[..., None] for one in (mask, cv2.dilate(mask, round_px)))
            while len(self._stamps) >= _STAMPS_KEPT:
                del self._stamps[next(iter(self._stamps))]
            left_over = np.repeat(np.float32(1.0) - np.maximum(dark, ink), 3, axis=2)  # numpy is slow with one channel
            self._stamps[key] = np.array(color, np.float32) * ink, left_over, (left, top)
        return self._stamps[key]

    def width(self, text: str, size: float, weight: int = 400) -> int:
        """Width of a text, px."""
        if not text:
            return 0
        return self.width_px(text, self.px(size), weight)

    def width_px(self, text: str, size_px: int, weight: int) -> int:
        """Width of a text of a size in px, px."""
        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), self._font, size_px, weight)
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
