"""The picture of a frame for a browser."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.records import Frame

__all__ = ["JpegEncoder"]

UInt8Array = npt.NDArray[np.uint8]


class JpegEncoder:
    """Makes JPEG files of frames, one after another; what it needs for that is made once per picture size.

    Parameters
    ----------
    quality : 1 to 100
    """

    def __init__(self, quality: int) -> None:
        self._options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        self._planes: list[UInt8Array] = []
        self._colour: UInt8Array = np.empty((0, 0, 3), np.uint8)

    def encode(self, frame: Frame) -> memoryview:
        """The picture of a frame as JPEG.

        One whose three planes are equal, as most B-mode pictures are, is written as grey: it decodes to the same
        pixels and takes two thirds of the time.

        Parameters
        ----------
        frame : grey or RGB

        Returns
        -------
        data : the file, bytes
        """
        image: UInt8Array = frame.image
        if image.ndim == 3:
            image = self._grey_or_bgr(image)
        _, data = cv2.imencode(".jpg", image, self._options)
        return np.ascontiguousarray(data, np.uint8).reshape(-1).data

    def _grey_or_bgr(self, image: UInt8Array) -> UInt8Array:
        if self._colour.shape != image.shape:
            self._colour = np.empty_like(image)
            self._planes = [np.empty(image.shape[:2], np.uint8) for _ in range(3)]
        cv2.split(image, self._planes)
        red, green, blue = self._planes
        if cv2.norm(red, green, cv2.NORM_INF) == 0 and cv2.norm(green, blue, cv2.NORM_INF) == 0:
            return green
        cv2.cvtColor(image, cv2.COLOR_RGB2BGR, dst=self._colour)
        return self._colour
