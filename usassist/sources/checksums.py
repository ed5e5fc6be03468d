"""Check sums of FFV1 packets.

FFmpeg notices a wrong check sum, paints over the damaged slice with the picture before, and reports nothing that a
program could see. Recordings are FFV1, so the check sums are looked at here before a packet is decoded.
"""

from __future__ import annotations

import zlib

__all__ = ["SliceCheck"]

_FOOTER = 8  # three bytes of size, one of status, four of check sum
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


class SliceCheck:
    """Tells damaged FFV1 packets from good ones, for one stream.

    A stream may have been written without check sums; then nothing can be told and every packet passes. Whether it
    has them is learnt from its packets: once one of them holds only right check sums, all have to.
    """

    def __init__(self) -> None:
        self._has_check_sums = False

    def passes(self, packet: bytes) -> bool:
        """False when the packet is known to be damaged."""
        right = _all_right(packet)
        self._has_check_sums |= right
        return right or not self._has_check_sums


def _all_right(packet: bytes) -> bool:
    """True when the packet parts into slices from its end to its start, and each has the right check sum."""
    # The sum is over the most significant bit first, starting from 0; zlib takes the bits the other way round.
    mirrored = packet.translate(_REVERSED)
    end = len(packet)
    while end > 0:
        size = int.from_bytes(packet[end - _FOOTER : end - _FOOTER + 3], "big") + _FOOTER if end >= _FOOTER else 0
        if not _FOOTER < size <= end or zlib.crc32(mirrored[end - size : end], 0xFFFFFFFF) != 0xFFFFFFFF:
            return False
        end -= size
    return len(packet) > 0
