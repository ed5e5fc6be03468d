"""Draw a result on its own frame.

On the ultrasound frame itself only outlines, boxes and a small number beside each are drawn; everything else stands in
a bar above and a bar below it, so that no text covers the frame. Without an answer the frame gets a border of red
hatching: "no result" must not look like an empty scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, LabelBody
from usassist.records import Frame, Result, ResultState
from usassist.sinks.sizes import number_in_words, size_in_words
from usassist.sinks.view import STATE_COLOR_RGB, View

__all__ = ["Painter"]

UInt8Array = npt.NDArray[np.uint8]
Color = tuple[int, int, int]

_BAR_PX = 34
_MIN_WIDTH_PX = 560
_BORDER_PX = 6
_TEXT: Color = (226, 230, 233)
_DIM: Color = (140, 148, 155)
_PAPER: Color = (18, 20, 23)
_HALO: Color = (0, 0, 0)
_NOTICE = "Research use only. Not a medical device."
_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bar:
    """A bar as drawn last, the texts that it was drawn for, and where its first text ends, px."""

    key: tuple[str, ...]
    end_x: int
    pixels: UInt8Array


class Painter:
    """Draws frames of one stream. Canvas and bars are allocated once per frame size and reused.

    Small frames are enlarged by a whole number, so that the outline can be judged.
    """

    def __init__(self) -> None:
        self._font = cv2.FontFace("sans")
        self._canvas: UInt8Array = np.empty((0, 0, 3), np.uint8)
        self._hatched: npt.NDArray[np.intp] = np.empty(0, np.intp)  # flat pixel indices
        self._bars: dict[str, _Bar] = {}
        self._labels: dict[int, LabelBody] = {}
        self._labels_of = ""

    def paint(self, frame: Frame | None, result: Result | None, view: View, engine: EngineBody | None) -> UInt8Array:
        """Compose the canvas to show.

        Parameters
        ----------
        frame : the frame; None while none has come
        result : its own result, or None
        view : what may be shown, from ``sinks.view``
        engine : names and colours of labels

        Returns
        -------
        canvas : uint8 (H + bars, W, 3) RGB; overwritten by the next call

        Raises
        ------
        ValueError
            If the result belongs to another frame.
        """
        if frame is not None and result is not None and result.frame_id != frame.frame_id:
            raise ValueError(f"result of frame {result.frame_id} must not be drawn on frame {frame.frame_id}")
        height, width = frame.image_hw_px if frame is not None else (360, _MIN_WIDTH_PX)
        scale = max(1, -(-_MIN_WIDTH_PX // width))
        area = self._prepare(height * scale, width * scale)
        if frame is None:
            area[...] = _PAPER
        else:
            _copy_image(frame.image, area)
        if view.draw and result is not None:
            self._draw_nodules(area, result, engine, scale)
        if not view.state.is_answer:
            area.reshape(-1, 3)[self._hatched] = STATE_COLOR_RGB[view.state]
        self._draw_bars(frame, result, view, engine)
        return self._canvas

    def _prepare(self, height: int, width: int) -> UInt8Array:
        shape = (height + 2 * _BAR_PX, width, 3)
        if self._canvas.shape != shape:
            self._canvas = np.empty(shape, np.uint8)
            self._hatched = np.flatnonzero(_hatching(height, width))
            self._bars.clear()
        return self._canvas[_BAR_PX:-_BAR_PX]

    def _draw_nodules(self, area: UInt8Array, result: Result, engine: EngineBody | None, scale: int) -> None:
        if engine is not None and engine.engine_id != self._labels_of:
            self._labels = {label.id: label for label in engine.labels}
            self._labels_of = engine.engine_id
        for i, contour in enumerate(result.segmentation):
            label = self._labels.get(int(result.detections.label_id[i]))
            color = label.color_rgb if label is not None else STATE_COLOR_RGB[ResultState.FINDING]
            points = np.round((contour * scale - 0.5) * (1 << _SUBPIXEL_BITS)).astype(np.int32)
            cv2.polylines(area, [points], True, _HALO, 3, cv2.LINE_AA, _SUBPIXEL_BITS)
            cv2.polylines(area, [points], True, color, 1, cv2.LINE_AA, _SUBPIXEL_BITS)
            x1, y1, x2, y2 = (round(float(side) * scale) for side in result.detections.xyxy_px[i])
            _draw_corners(area, (x1 - 3, y1 - 3, x2 + 3, y2 + 3), color)
            text = number_in_words(int(result.detections.track_id[i]), i)
            place = (min(x2 + 6, area.shape[1] - 10 * len(text) - 6), max(y1 + 8, 16))
            for shade, weight in ((_HALO, 900), (color, 600)):
                cv2.putText(area, text, place, shade, self._font, 15, weight)

    def _draw_bars(self, frame: Frame | None, result: Result | None, view: View, engine: EngineBody | None) -> None:
        width = self._canvas.shape[1]
        x = self._draw_upper_bar(view)
        right = _NOTHING if frame is None else f"frame {frame.frame_id}"
        if view.age_ms is not None:
            right += f"  age {view.age_ms:.0f} ms"
        right_width = self._width(right, 13)
        self._write(right, width - right_width - 10, 22, _DIM, 13)
        detail = view.detail or (_describe(result, engine) if view.draw and result is not None else "")
        self._write(self._fit(detail, width - right_width - x - 44, 14), x + 16, 22, _TEXT, 14)
        ran = result.backend if result is not None else (engine.backend if engine is not None else "")
        name = engine.engine_id.partition("+")[0] if engine is not None else "no engine"
        note = f"  –  {engine.note}" if engine is not None and engine.note else ""
        self._draw_lower_bar(f"{name}  {ran}{note}")

    def _draw_upper_bar(self, view: View) -> int:
        """Draw the upper bar, from cache while its headline is the same; returns where the headline ends, px."""
        place, color = self._canvas[:_BAR_PX], STATE_COLOR_RGB[view.state]
        bar = self._bars.get("upper")
        if bar is None or bar.key != (view.state, view.headline):
            place[...] = _PAPER
            cv2.rectangle(self._canvas, (0, 0), (9, _BAR_PX - 1), color, -1)
            x = self._write(view.headline, 18, 23, color, 17, 700)
            self._bars["upper"] = _Bar(key=(view.state, view.headline), end_x=x, pixels=place.copy())
            return x
        np.copyto(place, bar.pixels)
        return bar.end_x

    def _draw_lower_bar(self, text: str) -> None:
        """Draw the lower bar, from cache while its text is the same."""
        place, bottom, width = self._canvas[-_BAR_PX:], self._canvas.shape[0] - 12, self._canvas.shape[1]
        bar = self._bars.get("lower")
        if bar is None or bar.key != (text,):
            place[...] = _PAPER
            notice_width = self._width(_NOTICE, 12)
            self._write(_NOTICE, width - notice_width - 10, bottom, _DIM, 12)
            x = self._write(self._fit(text, width - notice_width - 40, 12), 10, bottom, _DIM, 12)
            self._bars["lower"] = _Bar(key=(text,), end_x=x, pixels=place.copy())
        else:
            np.copyto(place, bar.pixels)

    def _write(self, text: str, x: int, y: int, color: Color, size: int, weight: int = 400) -> int:
        if not text:
            return x
        (end_x, _), _ = cv2.putText(self._canvas, text, (x, y), color, self._font, size, weight)
        return int(end_x)

    def _width(self, text: str, size: int) -> int:
        if not text:
            return 0
        _, _, width, _ = cv2.getTextSize((0, 0), text, (0, 0), self._font, size, 400)
        return int(width)

    def _fit(self, text: str, room_px: int, size: int) -> str:
        """Shorten a text to `room_px`."""
        if self._width(text, size) <= room_px:
            return text
        fits, too_long = 0, len(text)
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            if self._width(text[:middle] + "…", size) <= room_px:
                fits = middle
            else:
                too_long = middle
        return text[:fits] + "…" if fits else ""


_NOTHING = "no frame"


def _describe(result: Result, engine: EngineBody | None = None) -> str:
    """Text of the nodules: score, in percent only where calibrated; size, in mm only with its uncertainty."""
    sizes = result.measurements
    calibrated = engine is not None and engine.score_calibration_id is not None
    parts = []
    for i in range(len(result.detections)):
        score = float(result.detections.score[i])
        name = number_in_words(int(result.detections.track_id[i]), i)
        text = f"{name}: score " + (f"{min(99.0, 100.0 * score):.0f} %" if calibrated else f"{score:.2f}")
        text += f", {size_in_words(sizes.row(i))}"
        parts.append(text)
    return "   ".join(parts)


def _copy_image(image: UInt8Array, area: UInt8Array) -> None:
    height, width = area.shape[:2]
    if image.shape[:2] != (height, width):
        image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    if image.ndim == 2:
        cv2.cvtColor(image, cv2.COLOR_GRAY2RGB, dst=area)
    else:
        np.copyto(area, image)


def _draw_corners(area: UInt8Array, xyxy: tuple[int, int, int, int], color: Color) -> None:
    x1, y1, x2, y2 = xyxy
    length = max(4, min(x2 - x1, y2 - y1) // 6)
    for x, step_x in ((x1, length), (x2, -length)):
        for y, step_y in ((y1, length), (y2, -length)):
            cv2.line(area, (x, y), (x + step_x, y), color, 1)
            cv2.line(area, (x, y), (x, y + step_y), color, 1)


def _hatching(height: int, width: int) -> UInt8Array:
    """Mask of a hatched border: diagonal stripes, `_BORDER_PX` wide."""
    row, column = np.ogrid[:height, :width]
    stripes = (row + column) // 8 % 2 == 0
    stripes[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = False
    return np.asarray(stripes, np.uint8)
