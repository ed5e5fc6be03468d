"""Draw a result on its own frame.

On the ultrasound frame itself only outlines, calipers and a small label beside each nodule are drawn; everything else
stands in bars above and below it, so that no text covers the frame. A line runs beside the outline and leaves the
border of the nodule itself to be seen. Without an answer the frame gets a border of hatching: "no result" must not look
like an empty scene.
"""

from __future__ import annotations

import dataclasses
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from usassist.bus import EngineBody, LabelBody
from usassist.records import Frame, Result
from usassist.sinks.overlay.bars import Bars
from usassist.sinks.overlay.layout import Layout, layout_of
from usassist.sinks.overlay.nodules import Look, NodulePainter, name_of
from usassist.sinks.overlay.size_words import diameters_in_words, score_in_words
from usassist.sinks.overlay.status import Status, status_of
from usassist.sinks.overlay.text import PAPER, Pen, fill
from usassist.sinks.view import STATE_COLOR_RGB, View
from usassist.words import Words, load_words

__all__ = ["Painter", "describe"]

UInt8Array = npt.NDArray[np.uint8]

_BORDER_PX = 6


class Painter:
    """Draws frames of one stream. Canvas and bars are allocated once per layout and reused.

    Parameters
    ----------
    words : of the part ``window``; None = in English
    """

    def __init__(self, words: Words | None = None) -> None:
        self._words = words or _english()
        self._canvas: UInt8Array = np.empty((0, 0, 3), np.uint8)
        self._layout = layout_of(None)
        self._hatched = np.nonzero(np.empty((0, 0), np.uint8))  # rows and columns in the image's box
        self._labels: dict[int, LabelBody] = {}
        self._labels_of = ""
        self._grey: UInt8Array = np.empty((0, 0), np.uint8)
        self._begin(self._layout)

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
        look: Look | None = None,
        status: Status | None = None,
    ) -> UInt8Array:
        """Compose the canvas to show.

        Parameters
        ----------
        frame : the frame; None while none has come
        result : its own result, or None
        view : what may be shown, from ``sinks.view``
        engine : names and colours of labels
        layout : where everything lies; None = the frame at its own size
        look : how nodules are drawn
        status : texts of the bars; None = those of the frame, with its nodules in words

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
        layout, look = layout or layout_of(frame), look or Look()
        if layout != self._layout:
            self._begin(layout)
        x1, y1, x2, y2 = layout.image_xyxy_px
        area = self._canvas[y1:y2, x1:x2]
        if frame is None:
            fill(area, PAPER)
        else:
            self._copy_image(frame.image, area)
        if engine is not None and engine.engine_id != self._labels_of:
            self._labels = {label.id: label for label in engine.labels}
            self._labels_of = engine.engine_id
        if frame is not None and result is not None and view.draw and look.outlines:
            self._nodules.draw(area, result, layout.scale_xy(frame.image_hw_px), self._labels, look, self._words)
        if not view.state.is_answer:
            area[self._hatched] = STATE_COLOR_RGB[view.state]
        if status is None:
            status = status_of(frame, result, view, engine, self._words)
            if view.draw and result is not None:
                status = dataclasses.replace(status, detail=describe(result, engine, self._words))
        self._bars.draw(self._canvas, status)
        return self._canvas

    def clear(self) -> None:
        """Forget what others have drawn on the canvas beside image and bars."""
        fill(self._canvas, PAPER)

    def snapshot(self, status: Status) -> UInt8Array:
        """A copy of what :meth:`paint` returned last, with another lower bar: uint8 (H, W, 3) RGB."""
        canvas = self._canvas.copy()
        self._bars.draw_lower(canvas, status)
        return canvas

    def _begin(self, layout: Layout) -> None:
        self._layout = layout
        self._canvas = np.empty((*layout.canvas_hw_px, 3), np.uint8)
        fill(self._canvas, PAPER)
        x1, y1, x2, y2 = layout.image_xyxy_px
        pen = Pen(layout.unit)
        self._bars, self._nodules = Bars(pen, layout), NodulePainter(pen)
        self._hatched = np.nonzero(_hatching(y2 - y1, x2 - x1, layout.unit))
        self._grey = np.empty((y2 - y1, x2 - x1), np.uint8)

    def _copy_image(self, image: UInt8Array, area: UInt8Array) -> None:
        height, width = area.shape[:2]
        is_grey = image.ndim == 2
        if image.shape[:2] != (height, width):
            target = self._grey if is_grey else None
            image = np.asarray(cv2.resize(image, (width, height), dst=target, interpolation=cv2.INTER_CUBIC), np.uint8)
        if is_grey:
            cv2.cvtColor(image, cv2.COLOR_GRAY2RGB, dst=area)
        else:
            np.copyto(area, image)


@cache
def _english() -> Words:
    return load_words("en", "window")


def describe(result: Result, engine: EngineBody | None, words: Words) -> str:
    """Text of the nodules: score, in percent only where calibrated; size, in mm only with its uncertainty."""
    texts = []
    for row in range(len(result.detections)):
        sizes = result.measurements.row(row)
        size = " × ".join(diameters_in_words(sizes, words))
        if sizes.get("cut"):
            size += f", {words('size.cut')}"
        texts.append(f"{name_of(result, row)}  {size}  {score_in_words(result, row, engine, words)}")
    return "   ".join(texts)


def _hatching(height: int, width: int, unit: float) -> UInt8Array:
    """Mask of a hatched border: diagonal stripes, `_BORDER_PX` times `unit` wide."""
    border, step = max(2, round(_BORDER_PX * unit)), max(3, round(8 * unit))
    row, column = np.ogrid[:height, :width]
    stripes = (row + column) // step % 2 == 0
    stripes[border:-border, border:-border] = False
    return np.asarray(stripes, np.uint8)
