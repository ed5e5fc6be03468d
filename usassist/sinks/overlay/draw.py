"""Draw a result on its own frame.

On the ultrasound frame itself only outlines, corners of boxes and a small name beside each are drawn; everything else
stands in bars above and below it, so that no text covers the frame. A line runs outside the outline and leaves the
border of the nodule itself to be seen. Without an answer the frame gets a border of red hatching: "no result" must not
look like an empty scene.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, LabelBody
from usassist.records import Frame, Result, ResultState
from usassist.sinks.overlay.bars import Bars
from usassist.sinks.overlay.layout import Layout, native_layout
from usassist.sinks.overlay.text import PAPER, Color, Pen
from usassist.sinks.sizes import number_in_words, size_in_words
from usassist.sinks.view import STATE_COLOR_RGB, View

__all__ = ["Painter", "color_of", "describe", "name_of", "score_in_words"]

UInt8Array = npt.NDArray[np.uint8]

_EMPTY_HW_PX = (360, 560)  # of the canvas before the first frame
_BORDER_PX = 6
_HALO: Color = (0, 0, 0)
_SUBPIXEL_BITS = 4


class Painter:
    """Draws frames of one stream. Canvas and bars are allocated once per layout and reused."""

    def __init__(self) -> None:
        self._canvas: UInt8Array = np.empty((0, 0, 3), np.uint8)
        self._layout: Layout | None = None
        self._pen = Pen()
        self._bars = Bars(self._pen, 0)
        self._hatched = np.nonzero(np.empty((0, 0), np.uint8))  # rows and columns in the image's box
        self._labels: dict[int, LabelBody] = {}
        self._labels_of = ""

    @property
    def canvas(self) -> UInt8Array:
        """What :meth:`paint` returned last, uint8 (H, W, 3) RGB."""
        return self._canvas

    def paint(
        self,
        frame: Frame | None,
        result: Result | None,
        view: View,
        engine: EngineBody | None,
        layout: Layout | None = None,
        *,
        outlines: bool = True,
        detail: str | None = None,
        lower: str = "",
        alert: str = "",
    ) -> UInt8Array:
        """Compose the canvas to show.

        Parameters
        ----------
        frame : the frame; None while none has come
        result : its own result, or None
        view : what may be shown, from ``sinks.view``
        engine : names and colours of labels
        layout : where everything lies; None = the frame at its own size
        outlines : False leaves the frame without anything drawn on it
        detail : beside the headline, where `view` has none; None = the nodules in words
        lower, alert : what else stands in the lower bar, and what it begins with in red

        Returns
        -------
        canvas : uint8 (H, W, 3) RGB; overwritten by the next call

        Raises
        ------
        ValueError
            If the result belongs to another frame.
        """
        if frame is not None and result is not None and result.frame_id != frame.frame_id:
            raise ValueError(f"result of frame {result.frame_id} must not be drawn on frame {frame.frame_id}")
        layout = layout or native_layout(_EMPTY_HW_PX if frame is None else frame.image_hw_px)
        area = self._prepare(layout)
        if frame is None:
            area[...] = PAPER
        else:
            _copy_image(frame.image, area)
        if engine is not None and engine.engine_id != self._labels_of:
            self._labels = {label.id: label for label in engine.labels}
            self._labels_of = engine.engine_id
        if frame is not None and result is not None and view.draw and outlines:
            self._draw_nodules(area, result, layout.scale_xy(frame.image_hw_px))
        if not view.state.is_answer:
            area[self._hatched] = STATE_COLOR_RGB[view.state]
        if detail is None:
            detail = describe(result, engine) if view.draw and result is not None else ""
        ran = result.backend if result is not None else (engine.backend if engine is not None else "")
        name = engine.engine_id.partition("+")[0] if engine is not None else "no engine"
        note = f"  –  {engine.note}" if engine is not None and engine.note else ""
        text = "  –  ".join(filter(None, (f"{name}  {ran}{note}", lower)))
        self._bars.draw(self._canvas, view, view.detail or detail, _right(frame, view), text, alert)
        return self._canvas

    def _prepare(self, layout: Layout) -> UInt8Array:
        if layout != self._layout:
            self._layout = layout
            self._canvas = np.empty((*layout.canvas_hw_px, 3), np.uint8)
            self._canvas[...] = PAPER
            x1, y1, x2, y2 = layout.image_xyxy_px
            self._pen = Pen(layout.unit)
            self._bars = Bars(self._pen, layout.bar_px)
            self._hatched = np.nonzero(_hatching(y2 - y1, x2 - x1, layout.unit))
        x1, y1, x2, y2 = layout.image_xyxy_px
        return self._canvas[y1:y2, x1:x2]

    def _draw_nodules(self, area: UInt8Array, result: Result, scale_xy: tuple[float, float]) -> None:
        pen, scale = self._pen, np.array(scale_xy, np.float32)
        for i, contour in enumerate(result.segmentation):
            color = color_of(result, i, self._labels)
            points = np.round((contour * scale - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
            _draw_outside(area, points, color, max(1, pen.px(1)))
            x1, y1, x2, y2 = (round(float(side)) for side in result.detections.xyxy_px[i] * np.tile(scale, 2))
            gap = pen.px(3)
            _draw_corners(area, (x1 - gap, y1 - gap, x2 + gap, y2 + gap), color, max(1, pen.px(0.7)))
            text = name_of(result, i)
            place = (min(x2 + pen.px(8), area.shape[1] - pen.px(10 * len(text) + 6)), max(y1 + pen.px(8), pen.px(16)))
            for shade, weight in ((_HALO, 900), (color, 600)):
                pen.write(area, text, place, shade, 15, weight)


def color_of(result: Result, row: int, labels: dict[int, LabelBody]) -> Color:
    """Colour of the label of one nodule, RGB."""
    label = labels.get(int(result.detections.label_id[row]))
    return label.color_rgb if label is not None else STATE_COLOR_RGB[ResultState.FINDING]


def name_of(result: Result, row: int) -> str:
    """What one nodule is called, see :func:`usassist.sinks.sizes.number_in_words`."""
    return number_in_words(int(result.detections.track_id[row]), row)


def describe(result: Result, engine: EngineBody | None = None) -> str:
    """Text of the nodules: score, in percent only where calibrated; size, in mm only with its uncertainty."""
    return "   ".join(
        f"{name_of(result, i)}: score {score_in_words(result, i, engine)}, {size_in_words(result.measurements.row(i))}"
        for i in range(len(result.detections))
    )


def score_in_words(result: Result, row: int, engine: EngineBody | None) -> str:
    """Score of one nodule, in percent only where scores are calibrated."""
    score = float(result.detections.score[row])
    calibrated = engine is not None and engine.score_calibration_id is not None
    return f"{min(99.0, 100.0 * score):.0f} %" if calibrated else f"{score:.2f}"


def _right(frame: Frame | None, view: View) -> str:
    if frame is None:
        return "no frame"
    parts = [f"frame {frame.frame_id}"]
    if frame.pts is not None and frame.time_base is not None:
        seconds = float(frame.pts * frame.time_base)
        parts.append(f"{int(seconds // 60)}:{seconds % 60:04.1f}")
    if view.age_ms is not None:
        parts.append(f"age {view.age_ms:.0f} ms")
    return "  ".join(parts)


def _copy_image(image: UInt8Array, area: UInt8Array) -> None:
    height, width = area.shape[:2]
    if image.shape[:2] != (height, width):
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    if image.ndim == 2:
        cv2.cvtColor(image, cv2.COLOR_GRAY2RGB, dst=area)
    else:
        np.copyto(area, image)


def _draw_outside(area: UInt8Array, points: npt.NDArray[np.int32], color: Color, line_px: int) -> None:
    """Draw a line with a dark seam around a closed outline (sub-pixel fixed point), outside of it."""
    reach = 2 * line_px + 3
    low = np.maximum((points.min(axis=0) >> _SUBPIXEL_BITS) - reach, 0)
    high = np.minimum((points.max(axis=0) >> _SUBPIXEL_BITS) + reach + 1, area.shape[1::-1])
    window = area[low[1] : high[1], low[0] : high[0]]
    if not window.size:
        return
    inside = points - (low.astype(np.int32) << _SUBPIXEL_BITS)
    before = window.copy()
    drawn = np.ascontiguousarray(window)
    for shade, width_px in ((_HALO, 2 * line_px + 5), (color, 2 * line_px + 1)):
        cv2.polylines(drawn, [inside], True, shade, width_px, cv2.LINE_AA, _SUBPIXEL_BITS)
    mask = np.zeros(drawn.shape[:2], np.uint8)
    cv2.fillPoly(mask, [inside], 255, cv2.LINE_8, _SUBPIXEL_BITS)
    np.copyto(window, drawn)
    cv2.copyTo(before, mask, window)


def _draw_corners(area: UInt8Array, xyxy: tuple[int, int, int, int], color: Color, line_px: int) -> None:
    x1, y1, x2, y2 = xyxy
    length = max(4, min(x2 - x1, y2 - y1) // 6)
    for x, step_x in ((x1, length), (x2, -length)):
        for y, step_y in ((y1, length), (y2, -length)):
            cv2.line(area, (x, y), (x + step_x, y), color, line_px)
            cv2.line(area, (x, y), (x, y + step_y), color, line_px)


def _hatching(height: int, width: int, unit: float) -> UInt8Array:
    """Mask of a hatched border: diagonal stripes, `_BORDER_PX` times `unit` wide."""
    border, step = max(2, round(_BORDER_PX * unit)), max(3, round(8 * unit))
    row, column = np.ogrid[:height, :width]
    stripes = (row + column) // step % 2 == 0
    stripes[border:-border, border:-border] = False
    return np.asarray(stripes, np.uint8)
