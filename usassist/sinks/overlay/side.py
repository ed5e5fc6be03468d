"""The column beside the image: every nodule with its size, or the keys of the window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody
from usassist.records import Result
from usassist.sinks.overlay.draw import color_of, name_of, score_in_words
from usassist.sinks.overlay.layout import Layout
from usassist.sinks.overlay.text import BRIGHT, DIM, PAPER, Color, Pen
from usassist.sinks.sizes import size_in_words

__all__ = ["SideColumn"]

UInt8Array = npt.NDArray[np.uint8]
Line = tuple[str, Color, float, int]  # text, colour, size, weight; an empty text is a gap

_GAP: Line = ("", DIM, 8, 400)
_AP_T = {"taller": "taller than wide", "wider": "wider than tall", "uncertain": "wider or taller: uncertain"}


class SideColumn:
    """Draws the column of one layout; it is drawn again only where its text has changed."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._pixels: UInt8Array = np.empty((0, 0, 3), np.uint8)

    def draw(self, canvas: UInt8Array, layout: Layout, lines: Sequence[Line]) -> None:
        """Draw it.

        Parameters
        ----------
        canvas : uint8 (H, W, 3), RGB, of that layout, which has a side column
        lines : from top to bottom; those without room are left out, and said to be
        """
        assert layout.side_xyxy_px is not None
        x1, y1, x2, y2 = layout.side_xyxy_px
        place = canvas[y1:y2, x1:x2]
        key = (layout, tuple(lines))
        if key != self._key:
            self._key = key
            place[...] = PAPER
            _write(place, Pen(layout.unit), lines)
            self._pixels = place.copy()
        else:
            np.copyto(place, self._pixels)


def nodule_lines(result: Result, engine: EngineBody | None) -> list[Line]:
    """What is written of the nodules of one frame, which may be drawn."""
    labels = {} if engine is None else {label.id: label for label in engine.labels}
    lines: list[Line] = []
    for row in range(len(result.detections)):
        color, sizes = color_of(result, row, labels), result.measurements.row(row)
        lines.append((name_of(result, row), color, 19, 700))
        lines += [(part, BRIGHT, 15, 600) for part in _size_lines(sizes)]
        if sizes.get("ap_t") is not None and sizes.get("ap_t_state") is not None:
            lines.append((f"AP/T {sizes['ap_t']:.2f}, {_AP_T[str(sizes['ap_t_state'])]}", DIM, 12, 400))
        lines.append((f"score {score_in_words(result, row, engine)}", DIM, 12, 400))
        lines.append(_GAP)
    return lines


def key_lines(keys: Mapping[str, str]) -> list[Line]:
    """The keys of the window, each with what it does."""
    lines: list[Line] = [("Keys", BRIGHT, 15, 700), _GAP]
    return lines + [(f"{key}   {text}", BRIGHT, 12, 400) for key, text in keys.items()]


def _size_lines(sizes: Mapping[str, Any]) -> list[str]:
    """The size in one line for each diameter."""
    first, _, second = size_in_words(sizes).partition(" × ")
    return [f"{first} ×", second] if second else [first]


def _write(place: UInt8Array, pen: Pen, lines: Sequence[Line]) -> None:
    height, width = place.shape[:2]
    y, x = pen.px(10), pen.px(14)
    for index, (text, color, size, weight) in enumerate(lines):
        step = pen.px(size * (1.45 if text else 1.0))
        if y + 2 * step > height and any(line[0] for line in lines[index + 1 :]):
            left = sum(line[2] == 19 for line in lines[index:])
            pen.write(place, f"and {left} more" if left else "…", (x, y + pen.px(14)), DIM, 12)
            return
        y += step
        pen.write(place, pen.fit(text, width - 2 * x, size), (x, y), color, size, weight)
