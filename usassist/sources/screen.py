"""One whole screen as a decoder gives it: brightness is at hand, colour is computed where somebody asks for it.

A scanner's picture is grey, and video carries brightness in a plane of its own. So most screens never have to be made
into RGB: their scan area is cut out of that plane, if the planes of colour beside it are neutral there. What comes out
is the same to the last bit as converting everything and finding that red, green and blue are equal.
"""

from __future__ import annotations

from functools import cache

import cv2  # before av: in the other order cv2.imshow hangs in this process
import numpy as np

# isort: split
import av

from usassist.sources.cropping import Roi, cut, cut_plain
from usassist.sources.pixels import UInt8Array, is_grey, to_image

__all__ = ["Screen", "Window"]

Window = tuple[slice, slice]

_NEUTRAL = 128  # the level of both planes of colour where there is none
# FFmpeg's scaler has no fast way from these to RGB; by the planar format it takes a tenth to a third of the time.
_PLANAR = {"nv12": "yuv420p", "uyvy422": "yuv422p", "yuyv422": "yuv422p"}
_SHRUNK = {  # planar formats of 8 bits → by which power of two colour has fewer rows and columns
    **dict.fromkeys(("yuv420p", "yuvj420p"), (1, 1)),
    **dict.fromkeys(("yuv422p", "yuvj422p"), (0, 1)),
    **dict.fromkeys(("yuv444p", "yuvj444p"), (0, 0)),
}


class Screen:
    """A screen from an array of pixels.

    Parameters
    ----------
    image : uint8 (H, W) grey or (H, W, 3) RGB
    """

    __slots__ = ("_frame", "_image", "_levels", "_luma", "_shrunk")

    def __init__(self, image: UInt8Array) -> None:
        self._image: UInt8Array | None = image
        self._frame: av.VideoFrame | None = None
        self._luma = image
        self._levels: UInt8Array | None = None
        self._shrunk = (0, 0)

    @classmethod
    def of(cls, frame: av.VideoFrame, *, borrowed: bool = False) -> Screen:
        """A screen from a decoded frame.

        Parameters
        ----------
        frame : in any software pixel format
        borrowed : its memory belongs to a driver and goes with the device, so that nothing may be kept of it

        Raises
        ------
        av.error.FFmpegError, ValueError, MemoryError
            If its pixels cannot be converted.
        """
        planar = _PLANAR.get(frame.format.name)
        if planar is not None:
            frame, borrowed = frame.reformat(format=planar, threads=1), False
        shrunk = _SHRUNK.get(frame.format.name)
        if shrunk is None:
            image = to_image(frame)
            return cls(np.array(image) if borrowed and (is_grey(frame) or frame.format.name == "rgb24") else image)
        if borrowed:
            frame = _copy(frame)
        screen = cls(_plane(frame, 0))
        screen._image, screen._frame, screen._shrunk = None, frame, shrunk
        screen._levels = _levels(frame.format.name, int(frame.color_range))
        return screen

    @property
    def hw_px(self) -> tuple[int, int]:
        """Height and width, px."""
        return int(self._luma.shape[0]), int(self._luma.shape[1])

    @property
    def is_grey(self) -> bool:
        """True when it cannot show any colour."""
        return self._frame is None and self._luma.ndim == 2

    @property
    def image(self) -> UInt8Array:
        """All pixels: uint8 (H, W) grey or (H, W, 3) RGB; a view, not to be written into."""
        if self._image is None:
            assert self._frame is not None
            self._image = to_image(self._frame)
        return self._image

    @property
    def raw(self) -> UInt8Array:
        """Pixels as they came, of frames in planes the brightness alone: to tell whether two screens are the same."""
        return self._luma

    def grey(self, window: Window = np.s_[:, :]) -> UInt8Array:
        """Brightness, black at 0 and white at 255: uint8 (rows, columns), in C order."""
        part = self._luma[window]
        if part.ndim == 3:
            return _brightness(np.ascontiguousarray(part))
        if self._levels is None or not part.size:
            return np.ascontiguousarray(part)
        return np.asarray(cv2.LUT(part, self._levels), np.uint8)

    def take(self, points: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> UInt8Array:
        """Brightness at points, counted row by row: uint8 (n,)."""
        if self._luma.ndim == 3:
            picked = np.ascontiguousarray(self._luma).reshape(-1, 3).take(points, axis=0)
            return _brightness(picked[None]).reshape(-1)
        luma = self._luma
        picked = luma.reshape(-1)[points] if luma.flags.c_contiguous else luma[np.divmod(points, luma.shape[1])]
        return picked if self._levels is None else np.asarray(self._levels[picked], np.uint8)

    def colours(self, window: Window) -> UInt8Array | None:
        """Pixels of a part of the screen: uint8 (rows, columns, 3) RGB; None where it shows no colour.

        Of a frame in planes, each pixel takes the colour that is stored for the place it lies in.
        """
        if self._frame is None:
            return None if self._luma.ndim == 2 else np.ascontiguousarray(self._luma[window])
        rows, columns = (range(size)[part] for size, part in zip(self.hw_px, window, strict=True))
        if not rows or not columns or not self._shows_colour(columns[0], rows[0], columns[-1] + 1, rows[-1] + 1):
            return None
        down, across = self._shrunk
        places = np.ix_(np.array(rows) >> down, np.array(columns) >> across)
        blue, red = (_plane(self._frame, number)[places] for number in (1, 2))
        planes = np.stack([np.ascontiguousarray(self._luma[window]), blue, red])
        full = "yuvj444p" if self._frame.format.name.startswith("yuvj") else "yuv444p"
        small = av.VideoFrame.from_ndarray(planes, full, channel_last=False)
        small.color_range, small.colorspace = self._frame.color_range, self._frame.colorspace
        return to_image(small)

    def cut(self, roi_xyxy_px: Roi) -> UInt8Array:
        """The part inside the rectangle as it is to be published: one grey plane where it shows no colour, else RGB."""
        x1, y1, x2, y2 = roi_xyxy_px
        if self._frame is None:
            return cut_plain(self._luma, roi_xyxy_px)
        if self._shows_colour(*roi_xyxy_px):
            return cut_plain(self.image, roi_xyxy_px)
        return self.grey(np.s_[y1:y2, x1:x2]) if self._levels is not None else cut(self._luma, roi_xyxy_px)

    def _shows_colour(self, x1: int, y1: int, x2: int, y2: int) -> bool:
        """True when one of the planes of colour is not neutral everywhere in a rectangle."""
        assert self._frame is not None
        down, across = self._shrunk
        over = np.s_[y1 >> down : ((y2 - 1) >> down) + 1, x1 >> across : ((x2 - 1) >> across) + 1]
        parts = (_plane(self._frame, number)[over] for number in (1, 2))
        return any(not int(part.min()) == _NEUTRAL == int(part.max()) for part in parts)


def _brightness(image: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8) if image.size else image[..., 0]


def _plane(frame: av.VideoFrame, number: int) -> UInt8Array:
    """One plane of a frame, a view."""
    plane = frame.planes[number]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]


def _copy(frame: av.VideoFrame) -> av.VideoFrame:
    copy = av.VideoFrame(frame.width, frame.height, frame.format.name)
    copy.color_range, copy.colorspace = frame.color_range, frame.colorspace
    for number in range(len(frame.planes)):
        _plane(copy, number)[...] = _plane(frame, number)
    return copy


@cache
def _levels(name: str, color_range: int) -> UInt8Array | None:
    """What FFmpeg's scaler makes of each level of a pixel without colour; None where that is the same level."""
    ramp = av.VideoFrame(256, 2, name)
    ramp.color_range = color_range
    for number in range(3):
        _plane(ramp, number)[...] = np.arange(256, dtype=np.uint8) if number == 0 else _NEUTRAL
    levels: UInt8Array = to_image(ramp)[0, :, 1].copy()
    levels.flags.writeable = False
    return None if np.array_equal(levels, np.arange(256)) else levels
