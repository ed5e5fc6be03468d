"""Pictures in the PDF: the frame as JPEG, with outline, calipers and a ruler bar as vectors over it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.utils import ImageReader
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable

from usassist.dicom.objects.content import Point
from usassist.dicom.objects.shown import Shown
from usassist.words import Words

__all__ = ["SectionPicture", "crop_of", "whole_of"]

UInt8Array = npt.NDArray[np.uint8]
Part = tuple[int, int, int, int]

_LARGEST_PX, _QUALITY = 900, 88
_CROP_SHARE, _LEAST_CROP_PX = 1.9, 96  # a crop is this much of the box of the nodule
_BAR_SHARE, _BARS_MM = 0.4, (1, 2, 5, 10, 20, 50)
_STRIP_PT, _FONT_PT = 11.0, 6.5
_OUTLINE, _CALIPER, _HALO, _INK = HexColor(0xFFC400), HexColor(0xFFFFFF), Color(0, 0, 0, 0.55), HexColor(0x14212B)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lines:
    """What is drawn on a part of the image, in px of the frame."""

    contour: npt.NDArray[np.float32]
    axes: Sequence[tuple[Point, Point]]


class SectionPicture(Flowable):  # type: ignore[misc]
    """A part of a frame with its outline; rows are stretched where pixels are not square.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3) RGB, the whole frame
    shown : the nodule on it
    part : x1, y1, x2, y2 of what is shown, px
    most_wh_pt : room that it has
    words : for the ruler bar
    font : name of a font
    with_calipers : axes are drawn too, where their ends are known and the nodule is whole
    """

    def __init__(
        self,
        image: UInt8Array,
        shown: Shown,
        part: Part,
        most_wh_pt: tuple[float, float],
        words: Words,
        font: str,
        *,
        with_calipers: bool,
    ) -> None:
        super().__init__()
        x1, y1, x2, y2 = part
        spacing = shown.frame.spacing_rc_mm
        stretch = 1.0 if spacing is None else spacing[0] / spacing[1]
        width_pt, height_pt = most_wh_pt
        unit = min(width_pt / (x2 - x1), (height_pt - _STRIP_PT) / ((y2 - y1) * stretch))
        self.width, self.height = (x2 - x1) * unit, (y2 - y1) * stretch * unit + _STRIP_PT
        self._part, self._unit_xy = part, (unit, unit * stretch)
        self._step_mm = None if spacing is None else spacing[1] / unit
        self._jpeg = _jpeg(image[y1:y2, x1:x2])
        ends = [shown.found.major_ends_xy_px, shown.found.minor_ends_xy_px]
        axes = [end for end in ends if end is not None] if with_calipers and not shown.found.cut else []
        self._lines = _Lines(contour=shown.found.contour_xy_px, axes=axes)
        self._words, self._font = words, font

    def wrap(self, _width: float, _height: float) -> tuple[float, float]:
        """The room that it takes, pt."""
        return self.width, self.height

    def draw(self) -> None:
        """Draw it with its lower left corner at the origin."""
        canvas = self.canv
        canvas.drawImage(
            ImageReader(io.BytesIO(self._jpeg)), 0, _STRIP_PT, self.width, self.height - _STRIP_PT, anchor="sw"
        )
        canvas.saveState()
        clip = canvas.beginPath()
        clip.rect(0, _STRIP_PT, self.width, self.height - _STRIP_PT)
        canvas.clipPath(clip, stroke=0, fill=0)
        self._draw_outline(canvas)
        for index, ends in enumerate(self._lines.axes):
            self._draw_axis(canvas, ends, turned=index == 1)
        canvas.restoreState()
        self._draw_bar(canvas)

    def _place(self, x: float, y: float) -> tuple[float, float]:
        """Px of the frame → pt from the lower left corner."""
        x1, y1, _, _ = self._part
        unit_x, unit_y = self._unit_xy
        return (x - x1) * unit_x, self.height - (y - y1) * unit_y

    def _draw_outline(self, canvas: Canvas) -> None:
        path = canvas.beginPath()
        points = [self._place(float(x), float(y)) for x, y in self._lines.contour]
        path.moveTo(*points[0])
        for point in points[1:]:
            path.lineTo(*point)
        path.close()
        for color, width_pt in ((_HALO, 1.8), (_OUTLINE, 0.9)):
            canvas.setStrokeColor(color)
            canvas.setLineWidth(width_pt)
            canvas.drawPath(path, stroke=1, fill=0)

    def _draw_axis(self, canvas: Canvas, ends: tuple[Point, Point], *, turned: bool) -> None:
        """A dotted line between marks, + at the longest diameter and x across it."""
        (xa, ya), (xb, yb) = (self._place(*end) for end in ends)
        arm = 3.0 / (2.0**0.5) if turned else 3.0
        arms = ((arm, arm), (arm, -arm)) if turned else ((arm, 0.0), (0.0, arm))
        for color, width_pt in ((_HALO, 1.6), (_CALIPER, 0.7)):
            canvas.setStrokeColor(color)
            canvas.setLineWidth(width_pt)
            canvas.setDash(1.0, 3.0)
            canvas.line(xa, ya, xb, yb)
            canvas.setDash()
            for x, y in ((xa, ya), (xb, yb)):
                for dx, dy in arms:
                    canvas.line(x - dx, y - dy, x + dx, y + dy)

    def _draw_bar(self, canvas: Canvas) -> None:
        """Below the image: a bar of whole mm, or that there is no scale."""
        canvas.setFont(self._font, _FONT_PT)
        canvas.setFillColor(_INK)
        if self._step_mm is None:
            canvas.drawString(0, 2.0, self._words("nodule.no_scale"))
            return
        fitting = [mm for mm in _BARS_MM if mm / self._step_mm <= _BAR_SHARE * self.width]
        length_mm = fitting[-1] if fitting else _BARS_MM[0]
        length = length_mm / self._step_mm
        canvas.setStrokeColor(_INK)
        canvas.setLineWidth(0.7)
        canvas.lines([(0, 4.5, length, 4.5), (0, 2.5, 0, 6.5), (length, 2.5, length, 6.5)])
        canvas.drawString(length + 3.0, 2.2, self._words("format.mm", value=self._words.number(length_mm)))


def whole_of(image: UInt8Array) -> Part:
    """All of a frame."""
    return 0, 0, image.shape[1], image.shape[0]


def crop_of(image: UInt8Array, shown: Shown) -> Part:
    """A square around the nodule, moved into the image; less than a square only where the image is smaller."""
    x1, y1, x2, y2 = shown.found.box_xyxy_px
    side = max(_LEAST_CROP_PX, round(_CROP_SHARE * max(x2 - x1, y2 - y1)))
    left, right = _fitted((x1 + x2) / 2, side, image.shape[1])
    top, bottom = _fitted((y1 + y2) / 2, side, image.shape[0])
    return left, top, right, bottom


def _fitted(centre: float, side: int, room: int) -> tuple[int, int]:
    begin = min(max(0, round(centre - side / 2)), max(0, room - side))
    return begin, min(begin + side, room)


def _jpeg(image: UInt8Array) -> bytes:
    height, width = image.shape[:2]
    shrink = min(1.0, _LARGEST_PX / max(height, width))
    if shrink < 1.0:
        size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    if image.ndim == 3 and (image == image[:, :, :1]).all():
        image = np.ascontiguousarray(image[:, :, 0])
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else np.ascontiguousarray(image)
    done, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"an image of {height} x {width} px cannot be coded as JPEG")
    return data.tobytes()
