"""JPEG of a frame for the browser."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.records import Frame

__all__ = ["JpegEncoder"]

UInt8Array = npt.NDArray[np.uint8]


class JpegEncoder:
    """Encodes frames as JPEG; buffers are allocated once per image size.

    Parameters
    ----------
    quality : 1 to 100
    """

    def __init__(self, quality: int) -> None:
        self._options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        self._planes: list[UInt8Array] = []
        self._colour: UInt8Array = np.empty((0, 0, 3), np.uint8)

    def encode(self, frame: Frame) -> memoryview:
        """Encode one frame.

        An RGB image whose three planes are equal, as in most B-mode video, is encoded as grey: it decodes to the same
        pixels in two thirds of the time.

        Parameters
        ----------
        frame : grey or RGB

        Returns
        -------
        data : the JPEG file
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
