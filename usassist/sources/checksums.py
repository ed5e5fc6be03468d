"""Checksums of FFV1 packets.

FFmpeg notices a wrong checksum, conceals the damaged slice with the previous frame, and reports nothing to the program.
Recordings are FFV1, so the checksums are verified here before a packet is decoded.
"""

from __future__ import annotations

import zlib

__all__ = ["SliceCheck"]

_FOOTER = 8  # three bytes of size, one of status, four of checksum
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


class SliceCheck:
    """Finds damaged FFV1 packets of one stream.

    A stream may have been written without checksums; then every packet passes. Whether it has them is learnt from its
    packets: after one packet with only valid checksums, all packets must have them.
    """

    def __init__(self) -> None:
        self._has_checksums = False

    def passes(self, packet: bytes) -> bool:
        """False when the packet is known to be damaged."""
        valid = _all_valid(packet)
        self._has_checksums |= valid
        return valid or not self._has_checksums


def _all_valid(packet: bytes) -> bool:
    """True when the packet splits into slices from its end to its start, each with a valid checksum."""
    # The CRC runs over the most significant bit first, starting from 0; zlib takes the bits the other way round.
    mirrored = packet.translate(_REVERSED)
    end = len(packet)
    while end > 0:
        size = int.from_bytes(packet[end - _FOOTER : end - _FOOTER + 3], "big") + _FOOTER if end >= _FOOTER else 0
        if not _FOOTER < size <= end or zlib.crc32(mirrored[end - size : end], 0xFFFFFFFF) != 0xFFFFFFFF:
            return False
        end -= size
    return len(packet) > 0
