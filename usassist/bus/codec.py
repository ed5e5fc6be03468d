"""One message is one block of bytes.

======================= =====================================================================================
topic                   ASCII, ``result/v1/us0/``: name, major version, source; the trailing slash, because a
                        subscription is a prefix and ``us0`` would also match ``us01``
``0x0A``                end of the topic
header length           uint32, little-endian, at most 65536
header                  UTF-8 JSON: schema, version, source_id, seq, t_publish_ns, body, buffers
zeros                   up to a multiple of 64 bytes from the start
buffers                 raw arrays, C order, little-endian, in the order listed, each at a multiple of 64
======================= =====================================================================================

One block and not several parts, so that a reader may keep only the newest (``ZMQ_CONFLATE`` silently loses parts).
Never pickle. Input is not trusted: sizes are checked against the bytes that are there before anything is allocated,
and arrays are views of the bytes received.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt

from usassist.bus.topics import TOPICS, DescriptorBody, FrameBody, ResultBody, Topic
from usassist.common.wire_fields import Int64, read_fraction, write_fraction
from usassist.errors import MessageError, RecordError, SchemaVersionError
from usassist.records import Detections, Frame, Measurements, Result, Segmentation

__all__ = ["Message", "decode", "encode", "encode_frame", "encode_result", "frame_from", "peek_topic", "result_from"]

HEADER_LIMIT_BYTES = 65536
_ALIGNMENT = 64
_LENGTH = struct.Struct("<I")
_TOPIC_LIMIT_BYTES = 128
_MAJOR = re.compile(r"v[0-9]{1,9}")
_DTYPES = {name: np.dtype(name).newbyteorder("<") for name in ("uint8", "int32", "float32")}

Array = npt.NDArray[Any]


class _Buffer(msgspec.Struct, frozen=True):
    name: str
    dtype: str
    shape: Annotated[tuple[Int64, ...], msgspec.Meta(max_length=4)]


class _Header(msgspec.Struct, frozen=True, kw_only=True):
    schema: str
    version: tuple[Int64, Int64]
    source_id: str
    seq: Int64
    t_publish_ns: Int64
    body: msgspec.Raw
    buffers: Annotated[tuple[_Buffer, ...], msgspec.Meta(max_length=32)]


_decode_header = msgspec.json.Decoder(_Header).decode
_decode_body = {
    topic.name: msgspec.json.Decoder(topic.body, dec_hook=read_fraction).decode for topic in TOPICS.values()
}
_encode_json = msgspec.json.Encoder(enc_hook=write_fraction).encode

_frame_values = attrgetter(*FrameBody.__struct_fields__)
_descriptor_values = attrgetter(*DescriptorBody.__struct_fields__)
_result_values = attrgetter(*ResultBody.__struct_fields__)
_DESCRIPTORS = ResultBody.__struct_fields__.index("descriptors")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Message:
    """A message as received.

    Attributes
    ----------
    topic : its row of the table
    source_id, seq, t_publish_ns : its sender, sequence number within the topic, and time of sending (monotonic ns)
    body : one of the structs of ``bus.topics``
    buffers : read-only arrays, views of the bytes received
    header_bytes : length of everything before the buffers
    record : cached by :func:`frame_from` or :func:`result_from`; None before
    """

    topic: Topic
    source_id: str
    seq: int
    t_publish_ns: int
    body: Any
    buffers: dict[str, Array]
    header_bytes: int
    record: Frame | Result | None = field(default=None, init=False, repr=False)


def encode(
    topic: Topic, source_id: str, seq: int, t_publish_ns: int, body: msgspec.Struct, buffers: dict[str, Array]
) -> bytearray:
    """Make the bytes of one message.

    Raises
    ------
    MessageError
        If the header is longer than 64 KiB, or a buffer has a type that is not sent.
    """
    for name, array in buffers.items():
        if array.dtype.name not in _DTYPES:
            raise MessageError(f"buffer {name} of {topic.name} has dtype {array.dtype}; send one of {sorted(_DTYPES)}")
    header = _encode_json(
        _Header(
            schema=topic.schema,
            version=topic.version,
            source_id=source_id,
            seq=seq,
            t_publish_ns=t_publish_ns,
            body=msgspec.Raw(_encode_json(body)),
            buffers=tuple(_Buffer(name, array.dtype.name, array.shape) for name, array in buffers.items()),
        )
    )
    if len(header) > HEADER_LIMIT_BYTES:
        raise MessageError(f"the header of a {topic.name} message has {len(header)} bytes; at most 65536 are sent")
    head = topic.address(source_id) + b"\n" + _LENGTH.pack(len(header)) + header
    start = _aligned(len(head))
    message = bytearray(start + sum(_aligned(array.nbytes) for array in buffers.values()))
    message[: len(head)] = head
    for array in buffers.values():
        target = np.frombuffer(message, array.dtype, count=array.size, offset=start).reshape(array.shape)
        np.copyto(target, array)
        start += _aligned(array.nbytes)
    return message


def peek_topic(data: bytes | bytearray | memoryview) -> str:
    """The topic of a message as on the wire, or an empty text when there is none."""
    head = bytes(data[:_TOPIC_LIMIT_BYTES])
    end = head.find(b"\n")
    return head[:end].decode("ascii", "replace") if end > 0 else ""


def decode(data: bytes | bytearray | memoryview) -> Message:
    """Read one message.

    Parameters
    ----------
    data : the bytes; the arrays of the message are views of them

    Raises
    ------
    MessageError
        If the bytes are not one of our messages, whole and unchanged in form.
    SchemaVersionError
        If they are one of another major version.
    """
    view = memoryview(data)
    wire_topic = peek_topic(view)
    parts = wire_topic.split("/")
    topic = TOPICS.get(parts[0]) if len(parts) == 4 and parts[3] == "" else None
    if topic is None or not _MAJOR.fullmatch(parts[1]):
        raise MessageError("not a message of usassist: its topic is unknown; check what publishes on this address")
    if parts[1] != f"v{topic.version[0]}":
        raise SchemaVersionError(
            f"a {topic.name} message of version {parts[1]} came, this usassist reads v{topic.version[0]}; "
            "use the same usassist at both ends"
        )
    offset = len(wire_topic) + 1
    if len(view) < offset + _LENGTH.size:
        raise MessageError(f"a {topic.name} message is cut off before its header")
    (header_length,) = _LENGTH.unpack_from(view, offset)
    offset += _LENGTH.size
    if header_length > HEADER_LIMIT_BYTES or offset + header_length > len(view):
        raise MessageError(f"a {topic.name} message claims a header of {header_length} bytes that is not there")
    try:
        header = _decode_header(view[offset : offset + header_length])
        body = _decode_body[topic.name](header.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"the header of a {topic.name} message cannot be read: {error}") from error
    if header.schema != topic.schema or header.version[0] != topic.version[0] or header.source_id != parts[2]:
        raise MessageError(f"the header of a {topic.name} message does not agree with its topic {wire_topic}")
    header_bytes = _aligned(offset + header_length)
    return Message(
        topic=topic,
        source_id=header.source_id,
        seq=header.seq,
        t_publish_ns=header.t_publish_ns,
        body=body,
        buffers=_read_buffers(view, header_bytes, header.buffers, topic),
        header_bytes=header_bytes,
    )


def encode_frame(frame: Frame, seq: int, t_publish_ns: int) -> bytearray:
    """The bytes of a ``frame`` message."""
    body = FrameBody(*_frame_values(frame))
    return encode(TOPICS["frame"], frame.source_id, seq, t_publish_ns, body, {"image": frame.image})


def frame_from(message: Message) -> Frame:
    """The frame in a ``frame`` message; its image is a view of the bytes received.

    Raises
    ------
    MessageError
        If the content is not a valid frame.
    """
    if isinstance(message.record, Frame):
        return message.record
    try:
        frame = Frame(
            source_id=message.source_id, image=message.buffers["image"], **msgspec.structs.asdict(message.body)
        )
    except (RecordError, KeyError) as error:
        raise MessageError(f"a frame message holds no valid frame: {error}") from error
    object.__setattr__(message, "record", frame)
    return frame


_DETECTION_BUFFERS = ("xyxy_px", "score", "label_id", "track_id")
_SEGMENTATION_BUFFERS = ("contour_xy_px", "contour_start")


def encode_result(result: Result, seq: int, t_publish_ns: int) -> bytearray:
    """The bytes of a ``result`` message."""
    values = list(_result_values(result))
    values[_DESCRIPTORS] = tuple(
        tuple(DescriptorBody(*_descriptor_values(item)) for item in entry) for entry in result.descriptors
    )
    body = ResultBody(*values)
    buffers: dict[str, Array] = {}
    if len(result.detections):
        buffers = {name: getattr(result.detections, name) for name in _DETECTION_BUFFERS}
        buffers |= {name: getattr(result.segmentation, name) for name in _SEGMENTATION_BUFFERS}
        sizes = {name: getattr(result.measurements, name) for name in Measurements.COLUMNS}
        buffers |= {name: column for name, column in sizes.items() if column is not None}
    return encode(TOPICS["result"], result.source_id, seq, t_publish_ns, body, buffers)


def result_from(message: Message) -> Result:
    """The result in a ``result`` message.

    Raises
    ------
    MessageError
        If the content is not a valid result.
    """
    if isinstance(message.record, Result):
        return message.record
    found = message.buffers
    try:
        result = Result(
            source_id=message.source_id,
            **msgspec.structs.asdict(message.body),
            detections=Detections(**{name: found[name] for name in _DETECTION_BUFFERS})
            if found
            else Detections.empty(),
            segmentation=Segmentation(**{name: found[name] for name in _SEGMENTATION_BUFFERS})
            if found
            else Segmentation.empty(),
            measurements=Measurements(**{name: found[name] for name in Measurements.COLUMNS if name in found})
            if found
            else Measurements.empty(),
        )
    except (RecordError, KeyError, TypeError) as error:
        raise MessageError(f"a result message holds no valid result: {error}") from error
    object.__setattr__(message, "record", result)
    return result


def _read_buffers(view: memoryview, start: int, listed: tuple[_Buffer, ...], topic: Topic) -> dict[str, Array]:
    buffers: dict[str, Array] = {}
    for item in listed:
        dtype = _DTYPES.get(item.dtype)
        if dtype is None or any(side < 0 for side in item.shape):
            raise MessageError(f"buffer {item.name} of a {topic.name} message has no readable type or shape")
        count = math.prod(item.shape)
        size = count * dtype.itemsize
        if start + size > len(view):
            raise MessageError(f"buffer {item.name} of a {topic.name} message is cut off")
        try:
            array = np.frombuffer(view, dtype, count=count, offset=start).reshape(item.shape)
        except (ValueError, OverflowError) as error:  # a side of an empty array may be anything
            raise MessageError(f"buffer {item.name} of a {topic.name} message has an impossible shape") from error
        array.flags.writeable = False
        buffers[item.name] = array
        start += _aligned(size)
    if start != len(view):
        raise MessageError(f"a {topic.name} message has {len(view)} bytes, its header describes {start}")
    return buffers


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
