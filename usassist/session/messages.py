"""Messages of a recording, whole again, and compared with the lines of the same frames."""

from __future__ import annotations

import dataclasses
import math
import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.bus import LoggedMessage, Message, decode
from usassist.errors import MessageError
from usassist.records import FrameLine, frame_metadata
from usassist.sinks.lines import RESULT_KEYS

__all__ = ["frame_line", "same_frame", "same_result", "whole_message"]

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
        black image of the right size

    Raises
    ------
    MessageError
        If it is not one of our messages, or the pixels do not have its size.
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
    file : that its pixels are in, which is not in the message
    """
    return FrameLine(
        **frame_metadata(message.body),
        file=file,
        channels=1 if message.buffers["image"].ndim == 2 else 3,
        covered_xyxy_px=message.body.text_xyxy_px,
    )


def same_frame(line: FrameLine, expected: FrameLine) -> bool:
    """True when a line of ``frames.jsonl`` agrees with the message of its frame.

    Only the line has a checksum, and it may have more boxes than the message: the recorder also covers text that was
    detected after the frame was published.

    Parameters
    ----------
    line : as recorded
    expected : from the message, see :func:`frame_line`
    """
    covered = set(expected.covered_xyxy_px) <= set(line.covered_xyxy_px)
    return covered and line == dataclasses.replace(expected, covered_xyxy_px=line.covered_xyxy_px, crc32=line.crc32)


def same_result(line: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
    """True when a line of ``results.jsonl`` agrees with the message of its result; keys of a newer version are ignored.

    Parameters
    ----------
    line : as recorded
    expected : from the message, see ``sinks.lines.result_line``
    """
    known = {key: value for key, value in line.items() if key in RESULT_KEYS}
    return known == msgspec.json.decode(msgspec.json.encode(expected), type=dict[str, Any])


def _buffers(data: bytes) -> tuple[Any, ...]:
    start = data.find(b"\n", 0, 128) + 1
    try:
        (length,) = _LENGTH.unpack_from(data, start)
        buffers = _decode_header(data[start + _LENGTH.size : start + _LENGTH.size + length]).buffers
    except (struct.error, msgspec.DecodeError) as error:
        raise MessageError(f"the head of a frame message cannot be read: {error}") from error
    if any(item.dtype != "uint8" or min(item.shape, default=0) < 0 for item in buffers):
        raise MessageError("the head of a frame message names pixels that are not uint8")
    return buffers
