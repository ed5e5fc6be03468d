"""An IMAGE of OpenIGTLink as a screen: what is accepted, its scale, and the pose that its matrix states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from usassist.common.openigtlink.content import IMAGE_HEAD_BYTES, ImageHead, read_image_head
from usassist.errors import SourceError
from usassist.records import Pose, PoseStatus
from usassist.records.poses import Matrix3x4

__all__ = ["EMBEDDED", "FLIPS", "ReceivedImage", "read_image"]

UInt8Array = npt.NDArray[np.uint8]
Float64Array = npt.NDArray[np.float64]

EMBEDDED = "embedded"
"""Name of the pose that is the matrix of the IMAGE itself."""

FLIPS = ("none", "x", "y", "xy")
_DEFAULT_MM = 1e-4  # a step this close to 1 mm is the default of many senders, and no calibration


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReceivedImage:
    """What one IMAGE holds.

    Attributes
    ----------
    image : uint8 (H, W) grey or (H, W, 3) RGB; a view of the message
    spacing_rc_mm : as stated, row step first; None where both steps are 1 mm, or make no sense
    matrix : float64 (4, 4), column and row of the image as it is shown to mm, origin at the centre of its first pixel
    """

    image: UInt8Array
    spacing_rc_mm: tuple[float, float] | None
    matrix: Float64Array

    def embedded(self, stamp_ns: int | None) -> Pose:
        """The matrix of the image as a pose."""
        if not np.isfinite(self.matrix).all():
            return Pose(name=EMBEDDED, status=PoseStatus.INVALID, sender_stamp_ns=stamp_ns)
        return Pose(
            name=EMBEDDED,
            status=PoseStatus.VALID,
            matrix_mm=cast(Matrix3x4, tuple(self.matrix[:3].ravel().tolist())),
            sender_stamp_ns=stamp_ns,
        )


def read_image(content: memoryview, flip: str) -> ReceivedImage:
    """Read the content of an IMAGE, whose length the reader has checked.

    Parameters
    ----------
    content : head and pixels
    flip : one of :data:`FLIPS`: how the pixels are mirrored

    Raises
    ------
    SourceError
        If it is not one plane of grey or RGB with 8 bits, or a part of an image.
    ProtocolError
        If its head makes no sense.
    """
    head = read_image_head(content)
    _check(head)
    width, height, _ = head.size_ijk
    shape = (height, width) if head.components == 1 else (height, width, 3)
    image = np.frombuffer(content, np.uint8, offset=IMAGE_HEAD_BYTES).reshape(shape)
    matrix = head.matrix
    if "x" in flip:
        image, matrix = image[:, ::-1], matrix @ _mirror(0, width)
    if "y" in flip:
        image, matrix = image[::-1], matrix @ _mirror(1, height)
    return ReceivedImage(image=image, spacing_rc_mm=_spacing(matrix), matrix=matrix)


def _check(head: ImageHead) -> None:
    if head.scalar != "uint8":
        raise SourceError(f"openigtlink: the images are {head.scalar}; let the sender send uint8 (B-mode)")
    if head.components not in (1, 3):
        raise SourceError(
            f"openigtlink: the images have {head.components} values per pixel; let the sender send grey or RGB"
        )
    if head.size_ijk[2] != 1:
        raise SourceError(f"openigtlink: the images are volumes of {head.size_ijk[2]} planes; choose a 2D image")
    if not head.is_whole:
        raise SourceError("openigtlink: the images come in parts; let the sender send whole ones")


def _mirror(axis: int, size_px: int) -> Float64Array:
    mirror = np.eye(4)
    mirror[axis, axis], mirror[axis, 3] = -1.0, size_px - 1.0
    return mirror


def _spacing(matrix: Float64Array) -> tuple[float, float] | None:
    column_mm, row_mm = (float(f"{np.linalg.norm(matrix[:3, axis]):.7g}") for axis in (0, 1))  # sent as float32
    steps = (row_mm, column_mm)
    if not all(np.isfinite(step) and step > 0.0 for step in steps):
        return None
    return None if all(abs(step - 1.0) <= _DEFAULT_MM for step in steps) else steps
