"""One whole screen as decoded: luma is available at once, colour is computed on demand.

A B-mode image is grey, and video stores luma in a plane of its own. So most screens are never converted to RGB: the
scan area is cut out of the luma plane if the chroma planes are neutral there. The result is bit for bit that of
converting everything and finding that red, green and blue are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import cv2
import numpy as np

from usassist.common.pyav import av
from usassist.sources.cropping import Roi, cut, cut_plain
from usassist.sources.pixels import UInt8Array, is_grey, to_image

__all__ = ["Layout", "Screen", "Window"]

Window = tuple[slice, slice]

_NEUTRAL = 128  # level of both chroma planes where there is no colour
# FFmpeg's scaler has no fast path from these to RGB; through the planar format it takes a tenth to a third of the time.
_PLANAR = {"nv12": "yuv420p", "uyvy422": "yuv422p", "yuyv422": "yuv422p"}
_CHROMA_SHIFT = {  # planar formats of 8 bits → log2 of the chroma subsampling of rows and of columns
    **dict.fromkeys(("yuv420p", "yuvj420p"), (1, 1)),
    **dict.fromkeys(("yuv422p", "yuvj422p"), (0, 1)),
    **dict.fromkeys(("yuv444p", "yuvj444p"), (0, 0)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Memory layout of a screen's pixels.

    Attributes
    ----------
    format : FFmpeg's name: ``gray``, ``rgb24``, or a planar format of 8 bits
    hw_px : height and width, px
    color_range, colorspace : FFmpeg's numbers; 0 and 2 where unspecified
    """

    format: str
    hw_px: tuple[int, int]
    color_range: int = 0
    colorspace: int = 2

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of the planes, in order: (rows, columns); of ``rgb24`` one of (rows, columns, 3).

        Raises
        ------
        ValueError
            If a screen cannot have this format.
        """
        height, width = self.hw_px
        if self.format == "gray":
            return (self.hw_px,)
        if self.format == "rgb24":
            return ((height, width, 3),)
        if self.format not in _CHROMA_SHIFT:
            raise ValueError(f"a screen cannot have the format {self.format}")
        down, across = _CHROMA_SHIFT[self.format]
        small = (-(-height >> down), -(-width >> across))
        return self.hw_px, small, small


class Screen:
    """A screen from an array of pixels.

    Parameters
    ----------
    image : uint8 (H, W) grey or (H, W, 3) RGB
    """

    __slots__ = ("_colour", "_image", "_levels", "_luma", "layout")

    def __init__(self, image: UInt8Array) -> None:
        self.layout = Layout(format="gray" if image.ndim == 2 else "rgb24", hw_px=(image.shape[0], image.shape[1]))
        self._image: UInt8Array | None = image
        self._luma = image
        self._colour: tuple[UInt8Array, ...] = ()
        self._levels: UInt8Array | None = None

    @classmethod
    def of(cls, frame: av.VideoFrame, *, borrowed: bool = False) -> Screen:
        """A screen from a decoded frame.

        Parameters
        ----------
        frame : in any software pixel format
        borrowed : its memory belongs to a driver and goes with the device, so its pixels must be copied

        Raises
        ------
        av.error.FFmpegError, ValueError, MemoryError
            If its pixels cannot be converted.
        """
        planar = _PLANAR.get(frame.format.name)
        if planar is not None:
            frame, borrowed = frame.reformat(format=planar, threads=1), False
        shrunk = _CHROMA_SHIFT.get(frame.format.name)
        if shrunk is None:
            image = to_image(frame)
            return cls(np.array(image) if borrowed and (is_grey(frame) or frame.format.name == "rgb24") else image)
        layout = Layout(
            format=frame.format.name,
            hw_px=(frame.height, frame.width),
            color_range=int(frame.color_range),
            colorspace=int(frame.colorspace),
        )
        planes = [_plane(frame, number) for number in range(3)]
        return cls.of_planes(layout, [plane.copy() for plane in planes] if borrowed else planes)

    @classmethod
    def of_planes(cls, layout: Layout, planes: Sequence[UInt8Array]) -> Screen:
        """A screen from arrays of pixels.

        Parameters
        ----------
        layout : of the pixels
        planes : uint8, of ``layout.shapes``; not copied
        """
        screen = cls(planes[0])
        if len(planes) > 1:
            screen._image, screen._colour, screen.layout = None, tuple(planes[1:]), layout
            screen._levels = _levels(layout.format, layout.color_range)
        return screen

    @property
    def planes(self) -> tuple[UInt8Array, ...]:
        """Its pixels, of ``layout.shapes``; views."""
        return self._luma, *self._colour

    @property
    def hw_px(self) -> tuple[int, int]:
        """Height and width, px."""
        return int(self._luma.shape[0]), int(self._luma.shape[1])

    @property
    def is_grey(self) -> bool:
        """True when it cannot show any colour."""
        return not self._colour and self._luma.ndim == 2

    @property
    def image(self) -> UInt8Array:
        """All pixels: uint8 (H, W) grey or (H, W, 3) RGB; a view that must not be written to."""
        if self._image is None:
            self._image = to_image(_frame_of(self.layout, self.planes))
        return self._image

    @property
    def raw(self) -> UInt8Array:
        """Pixels as decoded, of planar formats the luma plane alone: to compare two screens for equality."""
        return self._luma

    def grey(self, window: Window = np.s_[:, :]) -> UInt8Array:
        """Luma, black at 0 and white at 255: uint8 (rows, columns), in C order."""
        part = self._luma[window]
        if part.ndim == 3:
            return _brightness(np.ascontiguousarray(part))
        if self._levels is None or not part.size:
            return np.ascontiguousarray(part)
        return np.asarray(cv2.LUT(part, self._levels), np.uint8)

    def take(self, points: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> UInt8Array:
        """Luma at points, given as row-major indices: uint8 (n,)."""
        if self._luma.ndim == 3:
            picked = np.ascontiguousarray(self._luma).reshape(-1, 3).take(points, axis=0)
            return _brightness(picked[None]).reshape(-1)
        luma = self._luma
        picked = luma.reshape(-1)[points] if luma.flags.c_contiguous else luma[np.divmod(points, luma.shape[1])]
        return picked if self._levels is None else np.asarray(self._levels[picked], np.uint8)

    def colours(self, window: Window) -> UInt8Array | None:
        """Pixels of a part of the screen: uint8 (rows, columns, 3) RGB; None where it shows no colour.

        Of a planar format, each pixel takes the nearest chroma sample, without interpolation.
        """
        if not self._colour:
            return None if self._luma.ndim == 2 else np.ascontiguousarray(self._luma[window])
        rows, columns = (range(size)[part] for size, part in zip(self.hw_px, window, strict=True))
        if not rows or not columns or not self._shows_colour(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1):
            return None
        down, across = _CHROMA_SHIFT[self.layout.format]
        places = np.ix_(np.array(rows) >> down, np.array(columns) >> across)
        luma = np.ascontiguousarray(self._luma[window])
        full = "yuvj444p" if self.layout.format.startswith("yuvj") else "yuv444p"
        layout = replace(self.layout, format=full, hw_px=luma.shape[:2])
        return to_image(_frame_of(layout, (luma, *(plane[places] for plane in self._colour))))

    def cut(self, roi_xyxy_px: Roi) -> UInt8Array:
        """The part inside the rectangle as published: one grey plane where it shows no colour, else RGB."""
        x1, y1, x2, y2 = roi_xyxy_px
        if not self._colour:
            return cut_plain(self._luma, roi_xyxy_px)
        if self._shows_colour(*roi_xyxy_px):
            return cut_plain(self.image, roi_xyxy_px)
        if self._levels is None:
            return cut(self._luma, roi_xyxy_px)
        line = _line(self.layout.format, self.layout.color_range)
        if line is None:
            return self.grey(np.s_[y1:y2, x1:x2])
        part = self._luma[y1:y2, x1:x2]
        return np.asarray(cv2.addWeighted(part, line[0], part, 0.0, line[1]), np.uint8)

    def _shows_colour(self, x1: int, y1: int, x2: int, y2: int) -> bool:
        """True when a chroma plane is not neutral everywhere in a rectangle."""
        down, across = _CHROMA_SHIFT[self.layout.format]
        over = np.s_[y1 >> down : ((y2 - 1) >> down) + 1, x1 >> across : ((x2 - 1) >> across) + 1]
        parts = (plane[over] for plane in self._colour)
        return any(not int(part.min()) == _NEUTRAL == int(part.max()) for part in parts)


def _brightness(image: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) if image.size else image[..., 0]


def _plane(frame: av.VideoFrame, number: int) -> UInt8Array:
    """One plane of a frame, a view."""
    plane = frame.planes[number]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _frame_of(layout: Layout, planes: Sequence[UInt8Array]) -> av.VideoFrame:
    """A frame for FFmpeg's scaler, with a copy of the pixels."""
    height, width = layout.hw_px
    frame = av.VideoFrame(width, height, layout.format)
    frame.color_range, frame.colorspace = layout.color_range, layout.colorspace
    for number, plane in enumerate(planes):
        _plane(frame, number)[...] = plane
    return frame


@cache
def _levels(name: str, color_range: int) -> UInt8Array | None:
    """FFmpeg's scaler as a table for pixels without colour; None where it is the identity."""
    ramp = av.VideoFrame(256, 2, name)
    ramp.color_range = color_range
    for number in range(3):
        _plane(ramp, number)[...] = np.arange(256, dtype=np.uint8) if number == 0 else _NEUTRAL
    levels: UInt8Array = to_image(ramp)[0, :, 1].copy()
    levels.flags.writeable = False
    return None if np.array_equal(levels, np.arange(256)) else levels


@cache
def _line(name: str, color_range: int) -> tuple[float, float] | None:
    """Factor and offset with which ``cv2.addWeighted`` gives :func:`_levels`, in half its time; None where none does.

    FFmpeg stretches 16 to 235 over 0 to 255 and rounds down, a little above whole numbers. Each level is tried where
    OpenCV computes many pixels at once, and where it computes one.
    """
    levels = _levels(name, color_range)
    if levels is None:
        return None
    factor, offset = 1.1644, -16.0 * 1.1644 - 0.4925
    many, one = (
        np.tile(np.arange(256, dtype=np.uint8), (2, 2)),
        np.arange(512, dtype=np.uint16)[:, None].astype(np.uint8),
    )
    for ramp in (many, np.repeat(one, 3, axis=1)[:, :1]):
        if not np.array_equal(cv2.addWeighted(ramp, factor, ramp, 0.0, offset), levels[ramp]):
            return None
    return factor, offset
