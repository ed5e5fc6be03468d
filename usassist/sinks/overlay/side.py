"""The column beside the image: every nodule with its size, or the keys of the window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody
from usassist.records import Result
from usassist.sinks.overlay.keys import help_of
from usassist.sinks.overlay.layout import Layout
from usassist.sinks.overlay.nodules import color_of, name_of
from usassist.sinks.overlay.size_words import diameters_in_words, score_in_words
from usassist.sinks.overlay.text import BRIGHT, DIM, PAPER, Color, Pen, fill
from usassist.words import Words

__all__ = ["SIZE", "Line", "SideColumn", "key_lines", "nodule_lines"]

UInt8Array = npt.NDArray[np.uint8]

SIZE = 34.0
"""Of a diameter, times unit: digits of 51 px on 1080 lines, 16 minutes of arc at three metres, where there is room."""

_NAME, _SMALL, _MARGIN = 24.0, 13.0, 14
_LEAST_SIZE = 15.0
_WIDTH_OVER_IMAGE = 320.0
_KEY_WIDTH = 46.0
_AT_FULL_SIZE = 2  # nodules; with more, their sizes are written smaller


@dataclass(frozen=True, slots=True)
class Line:
    """One line, after the name of its `key` where it is about one. With `is_first`, the first one of a nodule.

    An empty text is a gap.
    """

    text: str
    color: Color
    size: float
    weight: int = 400
    is_first: bool = False
    key: str = ""


class SideColumn:
    """Draws the column of one layout; it is drawn again only where its text has changed.

    Parameters
    ----------
    words : of the part ``window``
    """

    def __init__(self, words: Words) -> None:
        self._words = words
        self._key: tuple[object, ...] = ()
        self._pixels: UInt8Array = np.empty((0, 0, 3), np.uint8)
        self._canvas: UInt8Array | None = None  # that it was drawn on last

    def clear(self) -> None:
        """Draw it again the next time: what was on the canvas is gone."""
        self._canvas = None

    def draw(self, canvas: UInt8Array, layout: Layout, lines: Sequence[Line]) -> None:
        """Draw it; over the image where the layout has no column.

        Parameters
        ----------
        canvas : uint8 (H, W, 3), RGB, of that layout
        lines : from top to bottom; those without room are left out, and said to be
        """
        height_px, width_px = layout.canvas_hw_px
        over_w_px = min(width_px, round(_WIDTH_OVER_IMAGE * layout.unit))
        over_image = (0, layout.upper_px, over_w_px, height_px - layout.lower_px)
        x1, y1, x2, y2 = layout.side_xyxy_px or over_image
        place = canvas[y1:y2, x1:x2]
        key, is_over_image = (layout, tuple(lines)), layout.side_xyxy_px is None
        if key != self._key or (canvas is not self._canvas and not is_over_image):
            self._key, self._canvas = key, canvas
            fill(place, PAPER)
            self._write(place, Pen(layout.unit), lines)
            if is_over_image:
                self._pixels = place.copy()
        elif is_over_image:  # in a column of its own it stays
            np.copyto(place, self._pixels)

    def _write(self, place: UInt8Array, pen: Pen, lines: Sequence[Line]) -> None:
        height, width = place.shape[:2]
        y, x = pen.px(6), pen.px(_MARGIN)
        for index, line in enumerate(lines):
            size = (
                pen.size_that_fits(line.text, width - 2 * x, line.size, line.weight) if line.weight > 400 else line.size
            )
            step = pen.px(size * (1.3 if line.text else 1.0))
            if y + step + pen.px(2 * _SMALL) > height and any(rest.text for rest in lines[index + 1 :]):
                left = sum(rest.is_first for rest in lines[index:])
                more = self._words("size.more", count=left) if left else "…"
                pen.write(place, more, (x, y + pen.px(1.3 * _SMALL)), DIM, _SMALL)
                return
            y += step
            pen.write(place, line.key, (x, y), line.color, size, 600)
            from_x = x + pen.px(_KEY_WIDTH) * bool(line.key)
            pen.write(place, pen.fit(line.text, width - x - from_x, size), (from_x, y), line.color, size, line.weight)


def nodule_lines(result: Result, engine: EngineBody | None, words: Words) -> list[Line]:
    """What is written of the nodules of one frame, which may be drawn."""
    labels = {} if engine is None else {label.id: label for label in engine.labels}
    lines: list[Line] = []
    count = len(result.detections)
    size = SIZE if count <= _AT_FULL_SIZE else max(_LEAST_SIZE, SIZE * _AT_FULL_SIZE / count)
    for row in range(count):
        sizes = result.measurements.row(row)
        lines.append(Line(name_of(result, row), color_of(result, row, labels), _NAME, 700, is_first=True))
        diameters = diameters_in_words(sizes, words)
        lines += [Line(text if index == 0 else f"× {text}", BRIGHT, size, 600) for index, text in enumerate(diameters)]
        small = []
        if sizes.get("cut"):
            small.append(words("size.cut"))
        if sizes.get("major_mm") is None:
            small.append(words("size.uncalibrated"))
        state, ap_t = result.measurements.ap_t_state(row), result.measurements.ap_t
        if state is not None and ap_t is not None:
            verdict = words(f"size.{state.value}")
            small.append(words("size.ap_t", value=words.number(float(ap_t[row]), 2), verdict=verdict))
        small.append(words("size.score", value=score_in_words(result, row, engine, words)))
        lines += [Line(text, DIM, _SMALL) for text in small]
        lines.append(Line("", DIM, 12))
    return lines


def key_lines(words: Words) -> list[Line]:
    """The keys of the window, each with what it does."""
    lines = [Line(words("keys.title"), BRIGHT, 16, 700), Line("", DIM, 6)]
    return lines + [Line(text, BRIGHT, _SMALL, key=key) for key, text in help_of(words).items()]
