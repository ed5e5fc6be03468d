"""A small copy of a picture, and its 64-bit perceptual hash.

The hash has the signs of the lowest coefficients of the cosine transform (Zauner, Implementation and Benchmarking of
Perceptual Image Hash Functions, 2010). Neither changes much with the border, the size or the quality of a picture.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import ConfigError

__all__ = ["hash_pictures", "read_grey", "reduce_picture", "standardise"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]

_SIDE_PX = 32
_DARK = 12  # grey level up to which a pixel is taken for the screen around the picture
_LEAST_SHARE = 0.15  # share of a row or column that is brighter, inside the picture


def read_grey(path: Path) -> UInt8Array:
    """A picture as uint8 (H, W).

    Raises
    ------
    ConfigError
        If it cannot be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise ConfigError(f"{path} cannot be read; fetch the data set again")
    return np.asarray(image, np.uint8)


def reduce_picture(image: UInt8Array) -> Float32Array:
    """The picture without the dark screen around it, 32 x 32."""
    bright = cv2.blur(image, (5, 5)) > _DARK
    rows = np.flatnonzero(bright.mean(axis=1) > _LEAST_SHARE)
    columns = np.flatnonzero(bright.mean(axis=0) > _LEAST_SHARE)
    if len(rows) > _SIDE_PX and len(columns) > _SIDE_PX:
        image = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return np.asarray(cv2.resize(image, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA), np.float32)


def hash_pictures(small: Float32Array) -> npt.NDArray[np.uint64]:
    """The signs of the 64 lowest coefficients of the cosine transform, about their median: uint64 (N,)."""
    low = np.stack([cv2.dct(one)[:8, :8].ravel() for one in small])
    low[:, 0] = 0.0  # the mean grey says nothing
    bits = low > np.median(low, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64).ravel()


def standardise(small: Float32Array) -> Float32Array:
    """Without slow changes of grey, of mean 0 and length 1: float32 (N, 1024)."""
    fine = np.stack([one - cv2.GaussianBlur(one, (0, 0), 3.0) for one in small])
    flat = fine.reshape(len(fine), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), np.float32)
