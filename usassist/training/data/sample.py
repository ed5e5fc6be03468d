"""A training frame with its labels, cropped to the scan area as in the live path."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.errors import ScanAreaError
from usassist.frames import find_scan_area
from usassist.training.data.marks import remove_marks

__all__ = ["Sample", "bare_sample", "compute_fingerprint", "crop", "crop_and_clean", "nothing_marked"]

logger = logging.getLogger(__name__)

UInt8Array = npt.NDArray[np.uint8]

_MIN_SIDE_PX = 96  # a smaller crop is taken for an error, and the whole frame is used


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """One cropped frame with its labels.

    Attributes
    ----------
    name : within its data set
    image : uint8 (H, W), grey
    nodule : uint8 (H, W), 1 = nodule
    gland : uint8 (H, W), 1 = thyroid gland; all 0 if unknown
    look : which scanner or set it looks like; frames are drawn evenly over the looks of a kind
    outline_known : False: of each nodule only the box is known, and `nodule` holds the ellipse that touches its sides
    all_marked : False: nodules may be visible that are not marked
    is_thyroid : False: it shows something else, and what is marked is no thyroid nodule
    cleaned : uint8 (H, W), `image` with its calipers painted out; None = it has none
    """

    name: str
    image: UInt8Array
    nodule: UInt8Array
    gland: UInt8Array
    look: str = ""
    outline_known: bool = True
    all_marked: bool = True
    is_thyroid: bool = True
    cleaned: UInt8Array | None = None


def nothing_marked(image: UInt8Array) -> UInt8Array:
    """A read-only plane of zeros of an image's size, which takes no memory."""
    return np.broadcast_to(np.uint8(0), image.shape)


def compute_fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 over names, sizes, pixels and masks, in order."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(f"{sample.name} {sample.image.shape}".encode())
        for array in (sample.image, sample.nodule, sample.gland):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def bare_sample(name: str, image: UInt8Array) -> Sample:
    """A frame of which nothing is marked."""
    return Sample(name=name, image=image, nodule=nothing_marked(image), gland=nothing_marked(image))


def crop(sample: Sample) -> Sample:
    """The same frame, cropped to its scan area; whole where none is found."""
    image = sample.image
    try:
        x1, y1, x2, y2 = find_scan_area([image]).xyxy_px
    except ScanAreaError as error:
        logger.warning("frame %s is used without cropping: %s", sample.name, error)
        x1, y1, x2, y2 = 0, 0, image.shape[1], image.shape[0]
    if min(x2 - x1, y2 - y1) < _MIN_SIDE_PX:
        x1, y1, x2, y2 = 0, 0, image.shape[1], image.shape[0]
    area = np.s_[y1:y2, x1:x2]
    planes = {name: getattr(sample, name)[area].copy() for name in ("image", "nodule", "gland")}
    return dataclasses.replace(sample, **planes)


def crop_and_clean(sample: Sample) -> Sample:
    """The same frame, cropped to its scan area, and besides with its calipers painted out."""
    cropped = crop(sample)
    cleaned = remove_marks(cropped.image)
    return cropped if np.array_equal(cleaned, cropped.image) else dataclasses.replace(cropped, cleaned=cleaned)
