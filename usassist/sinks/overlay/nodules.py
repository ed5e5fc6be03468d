"""Nodules on the image: outline, calipers, and a label with name, score and diameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.bus import LabelBody
from usassist.records import Result, ResultState
from usassist.sinks.overlay.calipers import caliper_ends, draw_axis, draw_mark
from usassist.sinks.overlay.outline import SUBPIXEL_BITS, draw_outside
from usassist.sinks.overlay.placing import Box, Places
from usassist.sinks.overlay.size_words import diameters_in_words
from usassist.sinks.overlay.text import BRIGHT, HALO, Color, Pen
from usassist.sinks.sizes import number_in_words
from usassist.sinks.view import STATE_COLOR_RGB
from usassist.words import Words

__all__ = ["LINE_RANGE_PX", "Look", "NodulePainter", "color_of", "name_of"]

UInt8Array = npt.NDArray[np.uint8]
Labels = Mapping[int, LabelBody]

LINE_RANGE_PX = (1.0, 6.0)

_NAME, _SIZE = 16.0, 12.0
_ARM, _GAP, _ROW = 3.5, 8.0, 15.0
_SCORE_BAR = (26.0, 3.0)  # width and height


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How nodules are drawn.

    Attributes
    ----------
    outlines : with them; without, nothing is drawn on the image
    calipers : with marks at the ends of the diameters, and their lengths
    line_px : thickness of outlines, px of a window of 1080 lines
    """

    outlines: bool = True
    calipers: bool = True
    line_px: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Label:
    """What stands beside one nodule: `sizes` are its diameters, each with the mark of its caliper where it has one."""

    name: str
    color: Color
    score: float
    sizes: tuple[str, ...]
    has_marks: bool

    def size_px(self, pen: Pen) -> tuple[int, int]:
        """Width and height."""
        name_px = pen.width(self.name, _NAME, 600) + pen.px(_GAP + _SCORE_BAR[0])
        sizes_px = [self.indent_px(pen) + pen.width(text, _SIZE, 600) for text in self.sizes]
        return max([name_px, *sizes_px]) + pen.px(4), pen.px(_NAME + _ROW * len(self.sizes) + 4)

    def indent_px(self, pen: Pen) -> int:
        """Of the sizes, for their marks."""
        return pen.px(3 * _ARM) if self.has_marks else 0


class NodulePainter:
    """Draws the nodules of one stream in one layout; remembers on which side of its nodule a label stands.

    Parameters
    ----------
    pen : writes
    """

    def __init__(self, pen: Pen) -> None:
        self._pen = pen
        self._places = Places(pen.px(_GAP))

    def draw(
        self, area: UInt8Array, result: Result, scale_xy: tuple[float, float], labels: Labels, look: Look, words: Words
    ) -> None:
        """Draw all of them.

        Parameters
        ----------
        area : uint8 (H, W, 3), RGB, the image
        result : of the frame
        scale_xy : px of `area` per px of the frame
        labels : of the engine, by id
        look : how
        words : of the part ``window``
        """
        scale = np.array(scale_xy, np.float32)
        line_px = max(1.0, look.line_px * self._pen.unit / 2.0)
        colors = [color_of(result, row, labels) for row in range(len(result.detections))]
        boxes = [
            _draw_outline(area, contour * scale, color, line_px)
            for contour, color in zip(result.segmentation, colors, strict=True)
        ]
        ends = [caliper_ends(result.measurements, row) if look.calipers else () for row in range(len(boxes))]
        arm_px, thin_px = self._pen.px(_ARM), max(1, self._pen.px(0.5))
        for color, of_row in zip(colors, ends, strict=True):
            for is_minor, axis in enumerate(of_row):
                draw_axis(area, axis * scale, color, arm_px, thin_px, turned=bool(is_minor))
        taken = list(boxes)
        for row, box in enumerate(boxes):
            label = _Label(
                name=name_of(result, row),
                color=colors[row],
                score=float(result.detections.score[row]),
                sizes=diameters_in_words(result.measurements.row(row), words) if look.calipers else (),
                has_marks=bool(ends[row]),
            )
            size_px, area_px = label.size_px(self._pen), (area.shape[1], area.shape[0])
            place = self._places.find(label.name, size_px, box, taken, area_px)
            if place is not None:  # else everything about it stands beside the image alone
                taken.append(place)
                self._write(area, place, label)

    def _write(self, area: UInt8Array, place: Box, label: _Label) -> None:
        pen, (x, top, _, _) = self._pen, place
        x, y = x + pen.px(2), top + pen.px(_NAME - 2)
        pen.write_on_image(area, label.name, (x, y), label.color, _NAME)
        self._draw_score(area, x + pen.width(label.name, _NAME, 600) + pen.px(_GAP), y, label)
        for index, text in enumerate(label.sizes):
            y += pen.px(_ROW)
            if label.has_marks:
                center = np.array([x + pen.px(_ARM), y - pen.px(0.36 * _SIZE)], np.float32)
                draw_mark(area, center, label.color, pen.px(_ARM), max(1, pen.px(0.5)), turned=bool(index))
            pen.write_on_image(area, text, (x + label.indent_px(pen), y), BRIGHT, _SIZE)

    def _draw_score(self, area: UInt8Array, x: int, baseline: int, label: _Label) -> None:
        """A small bar, filled as far as the score goes."""
        pen = self._pen
        width, height = pen.px(_SCORE_BAR[0]), max(2, pen.px(_SCORE_BAR[1]))
        y = baseline - pen.px(0.36 * _NAME) - height // 2
        cv2.rectangle(area, (x - 1, y - 1), (x + width, y + height), HALO, -1)
        cv2.rectangle(area, (x, y), (x + width - 1, y + height - 1), tuple(part // 3 for part in label.color), -1)
        if (filled := round(width * min(1.0, label.score))) > 0:
            cv2.rectangle(area, (x, y), (x + filled - 1, y + height - 1), label.color, -1)


def _draw_outline(area: UInt8Array, contour: npt.NDArray[np.float32], color: Color, line_px: float) -> Box:
    """Draw the line beside an outline, px of `area`; returns the box of both."""
    points = np.round((contour - 0.5) * (1 << SUBPIXEL_BITS)).astype(np.int32)
    draw_outside(area, points, color, line_px)
    reach = round(2.0 * line_px) + 2
    x1, y1 = (points.min(axis=0) >> SUBPIXEL_BITS).tolist()
    x2, y2 = (points.max(axis=0) >> SUBPIXEL_BITS).tolist()
    return x1 - reach, y1 - reach, x2 + reach + 1, y2 + reach + 1


def color_of(result: Result, row: int, labels: Labels) -> Color:
    """Colour of the label of one nodule, RGB."""
    label = labels.get(int(result.detections.label_id[row]))
    return label.color_rgb if label is not None else STATE_COLOR_RGB[ResultState.FINDING]


def name_of(result: Result, row: int) -> str:
    """What one nodule is called, see :func:`usassist.sinks.sizes.number_in_words`."""
    return number_in_words(int(result.detections.track_id[row]), row)
