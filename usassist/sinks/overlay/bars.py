"""The bar above the image, with state and recording, and the bar below it, with engine and notice."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sinks.overlay.layout import Layout
from usassist.sinks.overlay.signs import draw_sign
from usassist.sinks.overlay.status import Status
from usassist.sinks.overlay.text import ALERT, BRIGHT, CAP, DIM, PAPER, Pen, fill
from usassist.sinks.view import STATE_COLOR_RGB

__all__ = ["HEADLINE", "Bars"]

UInt8Array = npt.NDArray[np.uint8]

HEADLINE = 42.5
"""Size of the state, times unit: capital letters of 63 px on 1080 lines, 20 minutes of arc at three metres."""

_HEADLINE_SHARE, _RECORDING_SHARE = 0.5, 0.3  # of the width, at most; longer texts get smaller
_RECORDING, _DETAIL, _SMALL = 30.0, 14.0, 12.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """A bar as it was drawn last, the texts that it was drawn for, and between where there is room for more, px."""

    key: tuple[object, ...]
    from_x: int
    to_x: int
    pixels: UInt8Array


class Bars:
    """Draws both bars of one layout; what has not changed is copied from what was drawn last.

    Parameters
    ----------
    pen : writes
    layout : of the canvas
    """

    def __init__(self, pen: Pen, layout: Layout) -> None:
        self._pen, self._layout = pen, layout
        self._upper: _Part | None = None
        self._lower: _Part | None = None

    def draw(self, canvas: UInt8Array, status: Status) -> None:
        """Draw them on a canvas of that layout, uint8 (H, W, 3) RGB."""
        self._draw_upper(canvas, status)
        self.draw_lower(canvas, status)

    def _draw_upper(self, canvas: UInt8Array, status: Status) -> None:
        pen, width, height = self._pen, canvas.shape[1], self._layout.upper_px
        place = canvas[:height]
        key = (status.state, status.sign, status.headline, status.recording, status.lost, status.is_recording)
        if self._upper is None or self._upper.key != key:
            fill(place, PAPER)
            from_x, to_x = self._draw_state(place, status), self._draw_recording(place, status)
            self._upper = _Part(key=key, from_x=from_x, to_x=to_x, pixels=place.copy())
        else:
            np.copyto(place, self._upper.pixels)
        x, frame_x = self._upper.from_x + pen.px(16), width - pen.px(10) - pen.width(status.frame, _SMALL)
        upper_y, lower_y = pen.px(22), height - pen.px(7)
        pen.write(place, status.frame, (frame_x, lower_y), DIM, _SMALL)
        rooms_px = (self._upper.to_x - x - pen.px(12), frame_x - x - pen.px(12))
        lines = [line for line in (status.detail, status.note) if line]
        if len(lines) == 1 and pen.width(lines[0], _DETAIL) > rooms_px[0]:
            lines = _break(pen, lines[0], rooms_px[0])
        for line, y, room_px in zip(lines, (upper_y, lower_y), rooms_px, strict=False):
            pen.write(place, pen.fit(line, room_px, _DETAIL), (x, y), BRIGHT, _DETAIL)

    def _draw_state(self, place: UInt8Array, status: Status) -> int:
        pen = self._pen
        height, width = place.shape[:2]
        color = STATE_COLOR_RGB[status.state]
        draw_sign(place[:, :height], status.sign, color)
        x, room_px = height + pen.px(10), round(width * _HEADLINE_SHARE) - height
        size = pen.size_that_fits(status.headline, room_px, HEADLINE, 700)
        return pen.write(place, status.headline, (x, (height + pen.px(size * CAP)) // 2), color, size, 700)

    def _draw_recording(self, place: UInt8Array, status: Status) -> int:
        """Draw the state of the recording at the right end; returns where it begins, px."""
        pen = self._pen
        width = int(place.shape[1])
        text = "  ".join(filter(None, (status.recording, status.lost)))
        if not text:
            return width - pen.px(10)
        is_loud = status.is_recording or bool(status.lost)
        room_px = round(width * _RECORDING_SHARE)
        size = pen.size_that_fits(text, room_px, _RECORDING if is_loud else _SMALL, 700 if is_loud else 400)
        weight, baseline = (700 if is_loud else 400), pen.px(7 + 0.5 * (_RECORDING * CAP + size * CAP))
        x = begin = width - pen.px(10) - pen.width(text, size, weight)
        if status.recording:
            x = pen.write(place, status.recording, (x, baseline), BRIGHT if is_loud else DIM, size, weight)
            x += pen.width("  ", size, weight) if status.lost else 0
        pen.write(place, status.lost, (x, baseline), ALERT, size, weight)
        if status.is_recording:
            radius = max(2, pen.px(0.28 * size))
            begin -= 2 * radius + pen.px(6)
            center = (begin + radius, baseline - pen.px(0.5 * size * CAP))
            # A full red disc says that everything is recorded; with losses it is an open ring.
            cv2.circle(place, center, radius, ALERT, max(1, pen.px(2)) if status.lost else -1, cv2.LINE_AA)
        return begin

    def draw_lower(self, canvas: UInt8Array, status: Status) -> None:
        """Draw the lower one alone."""
        pen, place, width = self._pen, canvas[-self._layout.lower_px :], canvas.shape[1]
        key = (status.alert, status.lower, status.said, status.notice)
        if self._lower is None or self._lower.key != key:
            fill(place, PAPER)
            y, x = place.shape[0] - pen.px(12), pen.px(10)
            end_x = width - pen.px(10) - pen.width(status.notice, _SMALL)
            pen.write(place, status.notice, (end_x, y), DIM, _SMALL)
            for text, color in ((status.alert, ALERT), (status.lower, DIM), (status.said, BRIGHT)):
                room_px = end_x - pen.px(20) - x
                x = pen.write(place, pen.fit(text, room_px, _SMALL), (x, y), color, _SMALL) + pen.px(14) * bool(text)
            self._lower = _Part(key=key, from_x=x, to_x=end_x, pixels=place.copy())
        else:
            np.copyto(place, self._lower.pixels)


def _break(pen: Pen, text: str, room_px: int) -> list[str]:
    """Two lines of a text, the first no wider than `room_px` where a space allows it."""
    words = text.split(" ")
    count = len(words)
    while count > 1 and pen.width(" ".join(words[:count]), _DETAIL) > room_px:
        count -= 1
    return [" ".join(words[:count]), " ".join(words[count:])]
