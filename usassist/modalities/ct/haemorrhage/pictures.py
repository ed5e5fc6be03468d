"""Pictures of head CT, of 8 bits and an unknown window, on a scale of HU that is good enough for the engine.

Their most frequent grey inside the skull is taken for brain, 33 HU, and a grey level for 80/255 HU, as in the commonest
window of the head. Training varies both widely. Nothing in mm or mL may come from a picture.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import VolumeError
from usassist.modalities.ct.haemorrhage.preprocess import HeadSquare, find_head

__all__ = ["BRAIN_HU", "HU_PER_GREY", "to_hu"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

BRAIN_HU = 33.0
HU_PER_GREY = 80.0 / 255.0

_AIR_HU = -1000.0
_AIR_GREY = 12


def to_hu(grey: UInt8Array) -> tuple[Float32Array, HeadSquare]:
    """A picture in HU, roughly, and the square around its head.

    Parameters
    ----------
    grey : uint8 (H, W)

    Returns
    -------
    hu : float32 (H, W), -1000 in the black around the head
    square : of :func:`usassist.modalities.ct.haemorrhage.preprocess.find_head`

    Raises
    ------
    VolumeError
        If there is nothing that could be a head.
    """
    dark = (cv2.medianBlur(grey, 3) <= _AIR_GREY).astype(np.uint8)
    padded = cv2.copyMakeBorder(dark, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    count, labels = cv2.connectedComponents(padded, connectivity=4)
    air = (labels == labels[0, 0])[1:-1, 1:-1] if count > 1 else np.zeros(grey.shape, np.bool_)
    if air.all():
        raise VolumeError("the picture is black; pass a slice of a head")
    hu = (grey.astype(np.float32) - np.float32(_brain_grey(grey, air))) * np.float32(HU_PER_GREY) + np.float32(BRAIN_HU)
    hu[air] = _AIR_HU
    return hu, find_head([hu])


def _brain_grey(grey: UInt8Array, air: BoolArray) -> float:
    """The most frequent grey of the middle of the head."""
    rows, columns = np.flatnonzero((~air).any(axis=1)), np.flatnonzero((~air).any(axis=0))
    height, width = rows[-1] - rows[0], columns[-1] - columns[0]
    middle = grey[
        rows[0] + height // 5 : rows[-1] - height // 5 + 1, columns[0] + width // 5 : columns[-1] - width // 5 + 1
    ]
    counts = np.bincount(middle.ravel(), minlength=256).astype(np.float32)
    counts[:20] = 0.0
    counts[245:] = 0.0
    return float(np.argmax(cv2.GaussianBlur(counts[None], (0, 0), 4.0)))
