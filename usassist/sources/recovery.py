"""Where an H.264 stream says that it is whole again without a key picture: intra refresh, a column at a time.

The message is the recovery point of ITU-T H.264, D.1.8 and D.2.8 (SEI payload 6): so many pictures after it the
picture is whole, whatever was there before.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["recovery_frames"]

_SEI, _RECOVERY_POINT = 6, 6
_SLICES = frozenset({1, 2, 3, 4, 5})
_LONGEST_SEI = 1024  # bytes; a longer one holds pictures' user data


def recovery_frames(packet: bytes, extradata: bytes | None) -> int | None:
    """After how many pictures the stream is whole.

    Parameters
    ----------
    packet : one H.264 picture, its units parted by start codes, or by lengths where `extradata` says so
    extradata : of the stream

    Returns
    -------
    count : 0 = with this picture; None where it says nothing
    """
    length_bytes = (extradata[4] & 3) + 1 if extradata and len(extradata) > 4 and extradata[0] == 1 else 0
    for unit in _by_length(packet, length_bytes) if length_bytes else _by_start_code(packet):
        kind = unit[0] & 31
        if kind in _SLICES:
            return None  # messages come before the picture
        if kind == _SEI and (count := _recovery_point(unit[1:_LONGEST_SEI].replace(b"\0\0\3", b"\0\0"))) is not None:
            return count
    return None


def _by_length(packet: bytes, length_bytes: int) -> Iterator[bytes]:
    place = 0
    while place + length_bytes < len(packet):
        start = place + length_bytes
        place = start + int.from_bytes(packet[place:start], "big")
        if start < place:
            yield packet[start:place]


def _by_start_code(packet: bytes) -> Iterator[bytes]:
    start = packet.find(b"\0\0\1")
    while start >= 0:
        end = packet.find(b"\0\0\1", start + 3)
        if unit := packet[start + 3 : end if end >= 0 else len(packet)]:
            yield unit
        start = end


def _recovery_point(message: bytes) -> int | None:
    """The count in a unit of messages: each is its kind and its size, both in bytes up to one that is not 255."""
    place = 0
    while place + 2 < len(message):
        kind = size = 0
        while place < len(message) and message[place] == 255:
            kind, place = kind + 255, place + 1
        kind, place = kind + message[place : place + 1][0] if place < len(message) else -1, place + 1
        while place < len(message) and message[place] == 255:
            size, place = size + 255, place + 1
        if place >= len(message):
            return None
        size, place = size + message[place], place + 1
        if kind == _RECOVERY_POINT:
            return _exp_golomb(message[place : place + size])
        place += size
    return None


def _exp_golomb(data: bytes) -> int | None:
    """The first unsigned number in Exp-Golomb code (9.1 of H.264)."""
    bits = "".join(f"{byte:08b}" for byte in data[:8])
    zeros = bits.find("1")
    return None if zeros < 0 or 2 * zeros + 1 > len(bits) else int(bits[zeros : 2 * zeros + 1], 2) - 1
