"""Convert decoded pixels to uint8 grey or RGB."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from usassist.common.pyav import av

__all__ = ["Orientation", "UInt8Array", "is_grey", "luma", "orient", "orientation_of", "to_eight_bits", "to_image"]

UInt8Array = npt.NDArray[np.uint8]
_thread_local = threading.local()
Orientation = tuple[bool, bool, bool]  # swap the axes, then mirror left-right, then mirror up-down

_RANGE_LIMITED = 1  # AVCOL_RANGE_MPEG: black is 16 and white is 235, times 2**(bits - 8)
_GREY_PREFIXES = ("gray", "ya", "mono")


def is_grey(frame: av.VideoFrame) -> bool:
    """True when the frame's pixel format has luma only."""
    return frame.format.name.startswith(_GREY_PREFIXES)


def luma(image: UInt8Array) -> UInt8Array:
    """The brightness of an image, uint8 (H, W) or (H, W, 3) RGB: uint8 (H, W)."""
    return image if image.ndim == 2 else np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def to_image(frame: av.VideoFrame) -> UInt8Array:
    """The pixels of a decoded frame, with black at 0 and white at 255.

    Grey formats of 8 to 16 bits are read directly; where the stream states limited range, they are expanded, because
    FFmpeg's scaler treats all grey frames as full range. All other formats go through that scaler once, which expands
    them.

    Parameters
    ----------
    frame : a decoded frame in any software pixel format

    Returns
    -------
    image : uint8 (H, W) for grey formats, else uint8 (H, W, 3) RGB; may be a view of the decoder's memory
    """
    name = frame.format.name
    if not name.startswith(_GREY_PREFIXES):
        return _rgb(frame)
    limited = int(frame.color_range) == _RANGE_LIMITED
    bits = frame.format.components[0].bits
    if name.startswith("gray") and not name.startswith("grayf") and bits <= 16:
        samples = frame.to_ndarray()
        if bits == 8 and not limited:
            return np.asarray(samples, np.uint8)
        return np.asarray(_table(bits, limited)[samples], np.uint8)
    samples = frame.to_ndarray(format="gray", threads=1)
    return np.asarray(_table(8, True)[samples] if limited else samples, np.uint8)


def _rgb(frame: av.VideoFrame) -> UInt8Array:
    """The pixels in RGB, as a view of the converted frame; the scaler is kept for the next frame of this thread."""
    from usassist.common.pyav import VideoReformatter

    reformatter = getattr(_thread_local, "reformatter", None)
    if reformatter is None:
        reformatter = _thread_local.reformatter = VideoReformatter()
    converted = reformatter.reformat(frame, format="rgb24", threads=1)
    (plane,) = converted.planes
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    image: UInt8Array = rows[: converted.height, : 3 * converted.width].reshape(converted.height, converted.width, 3)
    return image


def to_eight_bits(samples: npt.NDArray[np.unsignedinteger[Any]]) -> UInt8Array:
    """Scale 16-bit samples to 8 bits over their whole range, rounded; 8-bit samples are returned as they are."""
    if samples.dtype == np.uint8:
        return np.asarray(samples, np.uint8)
    return np.asarray(_table(16, False)[samples], np.uint8)


@cache
def _table(bits: int, limited: bool) -> UInt8Array:
    """Output level for every sample value of a grey format."""
    scale: int = 2 ** (bits - 8)
    black, white = (16 * scale, 235 * scale) if limited else (0, 2**bits - 1)
    # Decoders may set bits above those of the format: the table covers every value of the type.
    value = np.arange(2 ** (8 if bits == 8 else 16), dtype=np.float64)
    table: UInt8Array = np.clip(np.rint((value - black) * 255.0 / (white - black)), 0, 255).astype(np.uint8)
    table.flags.writeable = False
    return table


def orientation_of(frame: av.VideoFrame) -> Orientation | None:
    """How a frame must be rotated or mirrored to be upright, by its display matrix.

    Returns
    -------
    orientation : or None when the angle is no multiple of 90 degrees
    """
    items: list[Any] = list(frame.side_data)  # PyAV's stubs type the items as names
    for item in items:
        if item.type.name == "DISPLAYMATRIX":
            matrix = np.frombuffer(item, np.int32)
            # (x, y) is shown at (a x + c y, b x + d y), up to a shift.
            a, b, c, d = (int(matrix[index]) for index in (0, 1, 3, 4))
            if not b and not c and a and d:
                return False, a < 0, d < 0
            if not a and not d and b and c:
                return True, c < 0, b < 0
            return None
    return False, False, False


def orient(image: UInt8Array, orientation: Orientation) -> UInt8Array:
    """Rotate and mirror an image; a view, not a copy."""
    swap, mirror_x, mirror_y = orientation
    if swap:
        image = image.swapaxes(0, 1)
    if mirror_x:
        image = image[:, ::-1]
    if mirror_y:
        image = image[::-1]
    return image
