"""OpenIGTLink messages as buffers to be sent, without a copy of the pixels."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from usassist.common.openigtlink.crc64 import crc64
from usassist.common.openigtlink.header import Header, pack_header

__all__ = ["MAX_STRING_BYTES", "image_content", "pack", "status_content", "string_content", "transform_content"]

Buffer = bytes | memoryview
Float64Array = npt.NDArray[np.float64]

MAX_STRING_BYTES = 65535
_UINT8, _LITTLE, _RAS = 3, 2, 1
_ASCII, _UTF8 = 3, 106  # IANA character sets
_EXTENDED_BYTES = 12


def pack(
    kind: str,
    device: str,
    stamp_ns: int,
    content: Sequence[Buffer],
    *,
    version: int = 1,
    metadata: Mapping[str, str] | None = None,
    message_id: int = 0,
) -> list[Buffer]:
    """A whole message.

    Parameters
    ----------
    kind : type of the message
    device : name, up to 20 ASCII characters
    stamp_ns : ns since 1970
    content : by one of the functions below
    version : of the header
    metadata : key → text; sent with version 2 alone
    message_id : likewise, 32 bits

    Returns
    -------
    buffers : to be sent one after the other
    """
    body = list(content)
    if version > 1:
        lengths, texts = _metadata(metadata or {})
        extended = struct.pack(">HHII", _EXTENDED_BYTES, len(lengths), len(texts), message_id & 0xFFFFFFFF)
        body = [extended, *body, lengths, texts]
    crc = 0
    for part in body:
        crc = crc64(part, crc)
    header = Header(
        version=version,
        type=kind,
        device=device,
        stamp_ns=stamp_ns,
        body_bytes=sum(len(memoryview(part).cast("B")) for part in body),
        crc=crc,
    )
    return [pack_header(header), *body]


def image_content(image: npt.NDArray[np.uint8], matrix: Float64Array) -> list[Buffer]:
    """Content of IMAGE: one plane, in RAS.

    Parameters
    ----------
    image : uint8 (H, W) grey or (H, W, 3) RGB, C order; kept until it is sent
    matrix : (4, 4), from column, row and plane to mm, origin at the centre of the first pixel
    """
    height, width = image.shape[:2]
    components = 1 if image.ndim == 2 else image.shape[2]
    # The protocol states the centre of the image in place of its first pixel.
    centre = matrix[:3, 3] + matrix[:3, :3] @ ((width - 1) / 2.0, (height - 1) / 2.0, 0.0)
    head = struct.pack(
        ">HBBBB3H12f6H",
        1,
        components,
        _UINT8,
        _LITTLE,
        _RAS,
        width,
        height,
        1,
        *matrix[:3, :3].T.ravel(),
        *centre,
        0,
        0,
        0,
        width,
        height,
        1,
    )
    return [head, np.ascontiguousarray(image).data.cast("B")]


def transform_content(matrix: Float64Array) -> list[Buffer]:
    """Content of TRANSFORM: (3, 4) or (4, 4), mm, column by column."""
    return [struct.pack(">12f", *matrix[:3].T.ravel())]


def string_content(text: str) -> list[Buffer]:
    """Content of STRING.

    Raises
    ------
    ValueError
        If it is longer than 65535 bytes.
    """
    data = text.encode("utf-8")
    if len(data) > MAX_STRING_BYTES:
        raise ValueError(f"a STRING holds {MAX_STRING_BYTES} bytes, got {len(data)}")
    return [struct.pack(">HH", _ASCII if text.isascii() else _UTF8, len(data)) + data]


def status_content(code: int, name: str, text: str) -> list[Buffer]:
    """Content of STATUS: code by the table of the protocol, a name up to 20 characters, and a text."""
    return [struct.pack(">Hq20s", code, 0, name.encode("ascii", "replace")) + text.encode("ascii", "replace") + b"\0"]


def _metadata(metadata: Mapping[str, str]) -> tuple[bytes, bytes]:
    lengths, texts = struct.pack(">H", len(metadata)), b""
    for key, value in metadata.items():
        name, text = key.encode("ascii"), value.encode("utf-8")
        lengths += struct.pack(">HHI", len(name), _ASCII if value.isascii() else _UTF8, len(text))
        texts += name + text
    return lengths, texts
