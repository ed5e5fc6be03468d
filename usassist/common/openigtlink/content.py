"""Read what is in an OpenIGTLink message; every length is checked against the bytes that are there."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.common.openigtlink.header import Header, ProtocolError

__all__ = ["IMAGE_HEAD_BYTES", "Body", "ImageHead", "body_layout", "read_image_head", "read_metadata", "read_transform"]

Float64Array = npt.NDArray[np.float64]

IMAGE_HEAD_BYTES = 72
_IMAGE_HEAD = struct.Struct(">HBBBB3H12f6H")
_EXTENDED = struct.Struct(">HHII")
_MAX_EXTENDED_BYTES, _MAX_METADATA_BYTES = 256, 1 << 20
_SCALAR_BYTES = {2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 4, 10: 4, 11: 8}
_SCALAR_NAMES = {2: "int8", 3: "uint8", 4: "int16", 5: "uint16", 6: "int32", 7: "uint32", 10: "float32", 11: "float64"}
_LPS = 2


@dataclass(frozen=True, slots=True)
class Body:
    """Where the parts of a body lie: content from `begin` to `end`, metadata from there to the end of the body."""

    begin: int
    end: int
    metadata_head_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageHead:
    """The head of an IMAGE.

    Attributes
    ----------
    components : 1 = scalar, 3 = RGB, interleaved
    scalar : name of the type of a component
    size_ijk : columns, rows, planes
    is_whole : the message holds all of the image, not a part of it
    pixel_bytes : length of what follows the head
    matrix : float64 (4, 4), from column, row and plane to mm in RAS, origin at the centre of the first pixel
    """

    components: int
    scalar: str
    size_ijk: tuple[int, int, int]
    is_whole: bool
    pixel_bytes: int
    matrix: Float64Array


def body_layout(header: Header, begin: bytes | bytearray | memoryview) -> Body:
    """Where the content lies in a body.

    Parameters
    ----------
    header : of the message
    begin : of the body, at least the first 12 bytes of it where it is as long

    Raises
    ------
    ProtocolError
        If the lengths contradict each other.
    """
    if header.version == 1:
        return Body(0, header.body_bytes, 0)
    if header.body_bytes < _EXTENDED.size or len(begin) < _EXTENDED.size:
        raise ProtocolError(f"a message {header.type} is shorter than its extended header")
    size, head_bytes, metadata_bytes, _ = _EXTENDED.unpack(begin[: _EXTENDED.size])
    end = header.body_bytes - head_bytes - metadata_bytes
    if not _EXTENDED.size <= size <= min(end, _MAX_EXTENDED_BYTES) or metadata_bytes > _MAX_METADATA_BYTES:
        raise ProtocolError(f"a message {header.type} has an extended header that contradicts its length")
    return Body(size, end, head_bytes)


def read_metadata(body: bytes | bytearray | memoryview, layout: Body) -> dict[str, str]:
    """Key → text.

    Raises
    ------
    ProtocolError
        If the lengths contradict each other.
    """
    head = bytes(body[layout.end : layout.end + layout.metadata_head_bytes])
    texts = bytes(body[layout.end + layout.metadata_head_bytes :])
    if not head:
        return {}
    count = int.from_bytes(head[:2], "big")
    if len(head) < 2 + 8 * count:
        raise ProtocolError("the metadata of a message are shorter than their number of entries")
    found, at = {}, 0
    for number in range(count):
        name_bytes, _, text_bytes = struct.unpack_from(">HHI", head, 2 + 8 * number)
        name, text = texts[at : at + name_bytes], texts[at + name_bytes : at + name_bytes + text_bytes]
        at += name_bytes + text_bytes
        if at > len(texts):
            raise ProtocolError("the metadata of a message are longer than the message")
        found[name.decode("utf-8", "replace")] = text.decode("utf-8", "replace")
    return found


def read_image_head(content: bytes | bytearray | memoryview) -> ImageHead:
    """Read the first 72 bytes of the content of an IMAGE.

    Raises
    ------
    ProtocolError
        If there are fewer, or they make no sense.
    """
    if len(content) < IMAGE_HEAD_BYTES:
        raise ProtocolError("an IMAGE is shorter than its head")
    values = _IMAGE_HEAD.unpack(content[:IMAGE_HEAD_BYTES])
    version, components, scalar, endian, coordinates = values[:5]
    size, numbers, offset, part = values[5:8], np.array(values[8:20], np.float64), values[20:23], values[23:26]
    if version not in (1, 2) or not components or scalar not in _SCALAR_BYTES or endian not in (1, 2) or 0 in part:
        raise ProtocolError("an IMAGE has a head that makes no sense")
    if any(begin + length > whole for begin, length, whole in zip(offset, part, size, strict=True)):
        raise ProtocolError("an IMAGE states a part that lies outside the image")
    matrix = np.eye(4)
    matrix[:3, :3] = numbers[:9].reshape(3, 3).T
    matrix[:3, 3] = numbers[9:] - matrix[:3, :3] @ ((np.array(size) - 1.0) / 2.0)
    if coordinates == _LPS:
        matrix[:2] *= -1.0
    return ImageHead(
        components=components,
        scalar=_SCALAR_NAMES[scalar],
        size_ijk=(size[0], size[1], size[2]),
        is_whole=part == size,
        pixel_bytes=part[0] * part[1] * part[2] * components * _SCALAR_BYTES[scalar],
        matrix=matrix,
    )


def read_transform(content: bytes | bytearray | memoryview) -> Float64Array:
    """The matrix of a TRANSFORM, float64 (4, 4), mm.

    Raises
    ------
    ProtocolError
        If the content is of another length, or not finite.
    """
    if len(content) != 48:
        raise ProtocolError(f"a TRANSFORM of {len(content)} bytes; it has 48")
    numbers = np.frombuffer(content, ">f4").astype(np.float64)
    if not np.isfinite(numbers).all():
        raise ProtocolError("a TRANSFORM that is not finite")
    matrix = np.eye(4)
    matrix[:3] = numbers.reshape(4, 3).T
    return matrix
