"""Find out by its bytes whether a video file was cut off; the frame count in a header is not reliable."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from usassist.sources.matroska import CLUSTER, SEGMENT, elements

__all__ = ["find_truncation"]

_TAIL_BYTES = 1 << 18  # of a program stream, searched for its last packet
_HEAD_BYTES = 1 << 16  # of a transport stream, to find its packets
_TS_PACKETS = (188, 192, 204)
_SYNC = 0x47

_CUES, _TAGS = 0x1C53BB6B, 0x1254C367


def find_truncation(path: Path, formats: set[str]) -> str | None:
    """Evidence that the end of a file is missing; None without any, or where the format offers none.

    Parameters
    ----------
    path : of the file
    formats : FFmpeg's names of its format. Supported: avi (sizes of its RIFF chunks), matroska and webm (sizes of
        segment and clusters), mpegts (whole packets), mpeg (size of the last packet)

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if "avi" in formats:
            return _shortfall(_needed_by_riff(file, size), size)
        if formats & {"matroska", "webm"}:
            return _shortfall(_needed_by_segment(file, size), size)
        if "mpegts" in formats:
            return _broken_packet(file, size)
        if "mpeg" in formats:
            return _shortfall(_needed_by_last_packet(file, size), size)
    return None


def _shortfall(needed: int, size: int) -> str | None:
    return f"its parts need {needed} bytes and it has {size}" if needed > size else None


def _needed_by_riff(file: BinaryIO, size: int) -> int:
    """End of the last list of frames. Only the index follows, and a missing index loses no frame."""
    needed, offset = 0, 0
    while (head := _read(file, offset, 12)) and head[:4] == b"RIFF":
        end = offset + 8 + int.from_bytes(head[4:8], "little")
        offset += 12
        while offset < end and len(chunk := _read(file, offset, 12)) >= 8:
            length = int.from_bytes(chunk[4:8], "little")
            if chunk[:4] == b"LIST" and chunk[8:12] == b"movi":
                needed = max(needed, offset + 8 + length)
            offset += 8 + length + length % 2
        offset = max(offset, end + end % 2)
    return needed


def _needed_by_segment(file: BinaryIO, size: int) -> int:
    """End of the last cluster, or of the segment where more clusters may follow; 0 where sizes are not written."""
    end = needed = 0
    for element in elements(file, size):
        if element.kind == SEGMENT:
            end = element.end or 0
        elif element.end is None:
            break
        elif element.kind == CLUSTER:
            needed = element.end
        elif element.kind in (_CUES, _TAGS) and needed:
            return needed  # an index or tags after the clusters: no frame follows
    return max(needed, end)


def _broken_packet(file: BinaryIO, size: int) -> str | None:
    head = _read(file, 0, _HEAD_BYTES)
    for length in _TS_PACKETS:
        for start in range(min(length, len(head))):
            marks = head[start::length]
            if len(marks) > 1 and all(mark == _SYNC for mark in marks[:20]):
                left = (size - start) % length
                # The extra bytes of 192 come before the sync byte, those of 204 after it.
                left = (left + 4) % length if length == 192 else left
                return f"its last packet has {left} of {length} bytes" if left else None
    return None


def _needed_by_last_packet(file: BinaryIO, size: int) -> int:
    """End of the last packet of a program stream. No video data imitates its start codes (ISO 13818-1, 2.5.4)."""
    start = max(0, size - _TAIL_BYTES)
    tail = _read(file, start, _TAIL_BYTES)
    offset, needed = tail.find(b"\0\0\1"), 0
    while offset >= 0:
        kind = tail[offset + 3] if offset + 3 < len(tail) else 0
        skip = 1
        if 0xBB <= kind <= 0xFF and offset + 6 <= len(tail):
            skip = 6 + int.from_bytes(tail[offset + 4 : offset + 6], "big")
            needed = start + offset + skip
        offset = tail.find(b"\0\0\1", offset + skip)
    return needed


def _read(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(offset)
    return file.read(count)
