"""Messages of a recording: those of frames get their pixels back."""

from __future__ import annotations

import math
import struct
from fractions import Fraction
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.bus import LoggedMessage, Message, decode
from usassist.errors import MessageError
from usassist.sources.recorded import FrameLine

__all__ = ["frame_line", "says_the_same", "whole_message"]

_LENGTH = struct.Struct("<I")
_ALIGNMENT = 64


class _Buffer(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]


class _Header(msgspec.Struct, frozen=True):
    buffers: tuple[_Buffer, ...]


_decode_header = msgspec.json.Decoder(_Header).decode


def whole_message(record: LoggedMessage, image: npt.NDArray[np.uint8] | None = None) -> Message:
    """Decode a record of a log.

    Parameters
    ----------
    record : of the log
    image : pixels of the frame whose message it is, uint8 (H, W) or (H, W, 3) RGB; without them such a message has a
        black picture of the right size

    Raises
    ------
    MessageError
        If it is not one of our messages, or the pixels are not of the size that it names.
    SchemaVersionError
        If it is of another major version.
    """
    if not record.without_pixels:
        return decode(record.data)
    sizes = [math.prod(item.shape) for item in _buffers(record.data)]
    pixels = bytearray(sum(-(-size // _ALIGNMENT) * _ALIGNMENT for size in sizes))
    if image is not None:
        if [image.size] != sizes or image.dtype != np.uint8:
            raise MessageError(f"a frame message names {sizes} bytes of pixels and the recording has {image.size}")
        pixels[: image.size] = np.ascontiguousarray(image).data.cast("B")
    return decode(record.data + bytes(pixels))


def frame_line(message: Message, file: str) -> FrameLine:
    """The line of a frame, from its message.

    Parameters
    ----------
    message : of a frame
    file : that its pixels are in; a message does not tell
    """
    body = message.body
    return FrameLine(
        frame_id=body.frame_id,
        t_capture_ns=body.t_capture_ns,
        file=file,
        channels=1 if message.buffers["image"].ndim == 2 else 3,
        roi_xyxy_px=body.roi_xyxy_px,
        spacing_rc_mm=body.spacing_rc_mm,
        spacing_rel_sd=body.spacing_rel_sd,
        calibration_id=body.calibration_id,
        pts=body.pts,
        time_base=None if body.time_base is None else str(Fraction(*body.time_base)),
        t_decoded_ns=body.t_decoded_ns,
        t_cropped_ns=body.t_cropped_ns,
        picture=body.picture,
        picture_reason=body.picture_reason,
        covered_xyxy_px=body.text_xyxy_px,
    )


def says_the_same(line: FrameLine, told: FrameLine) -> bool:
    """True when a line can be that of a frame's message.

    Only the line has the check sum of the picture, and it may have more boxes than the message: the recorder covers
    what was found after the frame was published, too.

    Parameters
    ----------
    line : as it stands in ``frames.jsonl``
    told : from the message, see :func:`frame_line`
    """
    covered = set(told.covered_xyxy_px) <= set(line.covered_xyxy_px)
    own = {"covered_xyxy_px": line.covered_xyxy_px, "crc32": line.crc32}
    return covered and line == msgspec.structs.replace(told, **own)


def _buffers(data: bytes) -> tuple[Any, ...]:
    start = data.find(b"\n", 0, 128) + 1
    try:
        (length,) = _LENGTH.unpack_from(data, start)
        buffers = _decode_header(data[start + _LENGTH.size : start + _LENGTH.size + length]).buffers
    except (struct.error, msgspec.DecodeError) as error:
        raise MessageError(f"the head of a frame message cannot be read: {error}") from error
    if any(item.dtype != "uint8" or min(item.shape, default=0) < 0 for item in buffers):
        raise MessageError("the head of a frame message names pixels that are no bytes")
    return buffers
