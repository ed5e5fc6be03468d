"""The 58 bytes before every OpenIGTLink message, and its time stamp."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

__all__ = ["DEVICE_BYTES", "HEADER_BYTES", "Header", "ProtocolError", "pack_header", "read_header"]

HEADER_BYTES = 58
_HEADER = struct.Struct(">H12s20sIIQQ")
_TYPE = re.compile(r"[A-Z][A-Z0-9_]{0,11}")
DEVICE_BYTES = 20
"""Length of a device's name; senders cut longer ones."""

_VERSIONS = (1, 2)


class ProtocolError(ValueError):
    """Bytes that are not OpenIGTLink, or a message that contradicts itself; after it a connection cannot be read on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What the header says.

    Attributes
    ----------
    version : 1, or 2 with an extended header and metadata in the body (protocol 3)
    type : of the message, for example ``IMAGE``
    device : name of the device, printable characters alone
    stamp_ns : ns since 1970 on the sender's clock; None where the sender gives none
    body_bytes : length of the body, as it is stated
    crc : of the body
    """

    version: int
    type: str
    device: str
    stamp_ns: int | None
    body_bytes: int
    crc: int


def read_header(data: bytes | bytearray | memoryview) -> Header:
    """Read a header.

    Raises
    ------
    ProtocolError
        If it is none, or of another version.
    """
    version, kind, device, seconds, fraction, body_bytes, crc = _HEADER.unpack(data)
    name = kind.rstrip(b" \0").decode("ascii", "replace")
    if _TYPE.fullmatch(name) is None:
        raise ProtocolError("what arrives is not OpenIGTLink")
    if version not in _VERSIONS:
        raise ProtocolError(f"the messages have headers of version {version}, and only 1 and 2 are known")
    return Header(
        version=version,
        type=name,
        device=_printable(device),
        stamp_ns=seconds * 1_000_000_000 + ((fraction * 1_000_000_000 + (1 << 31)) >> 32) if seconds else None,
        body_bytes=body_bytes,
        crc=crc,
    )


def pack_header(header: Header) -> bytes:
    """A header as bytes.

    Raises
    ------
    ValueError
        If the name of type or device is too long.
    """
    device = header.device.encode("ascii")
    if _TYPE.fullmatch(header.type) is None or len(device) > DEVICE_BYTES:
        raise ValueError(f"type {header.type} or device {header.device} is too long for a header")
    seconds, rest_ns = divmod(header.stamp_ns or 0, 1_000_000_000)
    fraction = min(((rest_ns << 32) + 500_000_000) // 1_000_000_000, (1 << 32) - 1)
    return _HEADER.pack(
        header.version, header.type.encode("ascii"), device, seconds, fraction, header.body_bytes, header.crc
    )


def _printable(name: bytes) -> str:
    """A name as text: what follows a zero is left out, and characters that cannot be printed are replaced."""
    text = name.split(b"\0", 1)[0].decode("utf-8", "replace").strip()
    return "".join(char if char.isascii() and char.isprintable() else "?" for char in text)
