"""Recovery points of H.264: where a stream without keyframes is intact again (intra refresh, a column at a time).

See the recovery point SEI message of ITU-T H.264, D.1.8 and D.2.8 (payload type 6): the frame that follows it by the
stated count is correct, whatever was lost before.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["recovery_frames"]

_SEI, _RECOVERY_POINT = 6, 6
_SLICES = frozenset({1, 2, 3, 4, 5})
_MAX_SEI_BYTES = 1024  # a longer one holds user data


def recovery_frames(packet: bytes, extradata: bytes | None) -> int | None:
    """Number of frames after which the stream is intact again.

    Parameters
    ----------
    packet : one H.264 frame, its NAL units separated by start codes, or by lengths where `extradata` states that
    extradata : of the stream

    Returns
    -------
    count : 0 = from this frame on; None without a recovery point
    """
    length_bytes = (extradata[4] & 3) + 1 if extradata and len(extradata) > 4 and extradata[0] == 1 else 0
    for unit in _by_length(packet, length_bytes) if length_bytes else _by_start_code(packet):
        kind = unit[0] & 31
        if kind in _SLICES:
            return None  # SEI messages come before the slices
        if kind == _SEI and (count := _recovery_point(unit[1:_MAX_SEI_BYTES].replace(b"\0\0\3", b"\0\0"))) is not None:
            return count
    return None


def _by_length(packet: bytes, length_bytes: int) -> Iterator[bytes]:
    offset = 0
    while offset + length_bytes < len(packet):
        start = offset + length_bytes
        offset = start + int.from_bytes(packet[offset:start], "big")
        if start < offset:
            yield packet[start:offset]


def _by_start_code(packet: bytes) -> Iterator[bytes]:
    start = packet.find(b"\0\0\1")
    while start >= 0:
        end = packet.find(b"\0\0\1", start + 3)
        if unit := packet[start + 3 : end if end >= 0 else len(packet)]:
            yield unit
        start = end


def _recovery_point(message: bytes) -> int | None:
    """Frame count of the recovery point in an SEI unit. Type and size of a message end at the first byte below 255."""
    offset = 0
    while offset + 2 < len(message):
        kind = size = 0
        while offset < len(message) and message[offset] == 255:
            kind, offset = kind + 255, offset + 1
        kind, offset = kind + message[offset : offset + 1][0] if offset < len(message) else -1, offset + 1
        while offset < len(message) and message[offset] == 255:
            size, offset = size + 255, offset + 1
        if offset >= len(message):
            return None
        size, offset = size + message[offset], offset + 1
        if kind == _RECOVERY_POINT:
            return _exp_golomb(message[offset : offset + size])
        offset += size
    return None


def _exp_golomb(data: bytes) -> int | None:
    """The first unsigned Exp-Golomb number (H.264, 9.1)."""
    bits = "".join(f"{byte:08b}" for byte in data[:8])
    zeros = bits.find("1")
    return None if zeros < 0 or 2 * zeros + 1 > len(bits) else int(bits[zeros : 2 * zeros + 1], 2) - 1
