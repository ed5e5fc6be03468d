"""The bar above the image, with the state of the frame, and the bar below it, with engine and notice."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sinks.overlay.text import BRIGHT, DIM, PAPER, Color, Pen
from usassist.sinks.view import STATE_COLOR_RGB, View

__all__ = ["NOTICE", "Bars"]

UInt8Array = npt.NDArray[np.uint8]

NOTICE = "Research use only. Not a medical device."


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bar:
    """A bar as drawn last, the texts that it was drawn for, and where its first text ends, px."""

    key: tuple[object, ...]
    end_x: int
    pixels: UInt8Array


class Bars:
    """Draws both bars of one canvas; what has not changed is copied from the bar drawn last.

    Parameters
    ----------
    pen : writes
    height_px : of each bar
    """

    def __init__(self, pen: Pen, height_px: int) -> None:
        self._pen, self._height_px = pen, height_px
        self._upper: _Bar | None = None
        self._lower: _Bar | None = None

    def draw(self, canvas: UInt8Array, view: View, detail: str, right: str, lower: str, alert: str = "") -> None:
        """Draw them.

        Parameters
        ----------
        canvas : uint8 (H, W, 3), RGB
        view : state and headline
        detail : text beside the headline, shortened to the room that is left
        right : text at the right end of the upper bar
        lower : text of the lower bar
        alert : text before it, in the colour of missing results
        """
        pen, width = self._pen, canvas.shape[1]
        x = self._draw_headline(canvas, view)
        right_width = pen.width(right, 13)
        y = pen.px(22)
        pen.write(canvas, right, (width - right_width - pen.px(10), y), DIM, 13)
        room_px = width - right_width - x - pen.px(44)
        pen.write(canvas, pen.fit(detail, room_px, 14), (x + pen.px(16), y), BRIGHT, 14)
        self._draw_lower(canvas, lower, alert)

    def _draw_headline(self, canvas: UInt8Array, view: View) -> int:
        """Draw the upper bar with its headline; returns where that ends, px."""
        pen, place, color = self._pen, canvas[: self._height_px], STATE_COLOR_RGB[view.state]
        key = (view.state, view.headline)
        if self._upper is None or self._upper.key != key:
            place[...] = PAPER
            cv2.rectangle(canvas, (0, 0), (pen.px(9), self._height_px - 1), color, -1)
            x = pen.write(canvas, view.headline, (pen.px(18), pen.px(23)), color, 17, 700)
            self._upper = _Bar(key=key, end_x=x, pixels=place.copy())
        else:
            np.copyto(place, self._upper.pixels)
        return self._upper.end_x

    def _draw_lower(self, canvas: UInt8Array, text: str, alert: str) -> None:
        pen, place, width = self._pen, canvas[-self._height_px :], canvas.shape[1]
        if self._lower is None or self._lower.key != (text, alert):
            place[...] = PAPER
            y, x = canvas.shape[0] - pen.px(12), pen.px(10)
            notice_width = pen.width(NOTICE, 12)
            pen.write(canvas, NOTICE, (width - notice_width - pen.px(10), y), DIM, 12)
            for words, color in ((alert, _ALERT), (text, DIM)):
                room_px = width - notice_width - pen.px(30) - x
                end_x = pen.write(canvas, pen.fit(words, room_px, 12), (x, y), color, 12)
                x = end_x + pen.px(14) if words else x
            self._lower = _Bar(key=(text, alert), end_x=x, pixels=place.copy())
        else:
            np.copyto(place, self._lower.pixels)


_ALERT: Color = (232, 110, 96)
