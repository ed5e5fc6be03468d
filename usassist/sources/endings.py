"""Whether the end of a video file is missing, told by its bytes: a header's count of frames is not their number."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from usassist.sources.matroska import CLUSTER, SEGMENT, elements

__all__ = ["find_truncation"]

_TAIL = 1 << 18  # bytes of a program stream that are looked through
_FIRST_BYTES = 1 << 16  # of a transport stream, to find its packets
_TS_PACKETS = (188, 192, 204)
_SYNC = 0x47

_CUES, _TAGS = 0x1C53BB6B, 0x1254C367


def find_truncation(path: Path, formats: set[str]) -> str | None:
    """What shows that the end of a file is missing; None where nothing does, or its format lets nobody tell.

    Parameters
    ----------
    path : of the file
    formats : names that FFmpeg gives its format. Known here: avi (sizes of its RIFF chunks), matroska and webm (sizes
        of segment and clusters), mpegts (whole packets), mpeg (size of the last packet)

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if "avi" in formats:
            return _told(_needed_by_riff(file, size), size)
        if formats & {"matroska", "webm"}:
            return _told(_needed_by_segment(file, size), size)
        if "mpegts" in formats:
            return _broken_packet(file, size)
        if "mpeg" in formats:
            return _told(_needed_by_last_packet(file, size), size)
    return None


def _told(needed: int, size: int) -> str | None:
    return f"its parts need {needed} bytes and it has {size}" if needed > size else None


def _needed_by_riff(file: BinaryIO, size: int) -> int:
    """Where the last list of pictures ends. What follows it is the index, without which nothing is lost."""
    needed, place = 0, 0
    while (head := _read(file, place, 12)) and head[:4] == b"RIFF":
        end = place + 8 + int.from_bytes(head[4:8], "little")
        place += 12
        while place < end and len(chunk := _read(file, place, 12)) >= 8:
            length = int.from_bytes(chunk[4:8], "little")
            if chunk[:4] == b"LIST" and chunk[8:12] == b"movi":
                needed = max(needed, place + 8 + length)
            place += 8 + length + length % 2
        place = max(place, end + end % 2)
    return needed


def _needed_by_segment(file: BinaryIO, size: int) -> int:
    """Where the last cluster ends, or the segment where clusters may follow; 0 where sizes are not written."""
    end = needed = 0
    for element in elements(file, size):
        if element.kind == SEGMENT:
            end = element.end or 0
        elif element.end is None:
            break
        elif element.kind == CLUSTER:
            needed = element.end
        elif element.kind in (_CUES, _TAGS) and needed:
            return needed  # an index or tags behind the clusters: no picture follows
    return max(needed, end)


def _broken_packet(file: BinaryIO, size: int) -> str | None:
    head = _read(file, 0, _FIRST_BYTES)
    for length in _TS_PACKETS:
        for start in range(min(length, len(head))):
            marks = head[start::length]
            if len(marks) > 1 and all(mark == _SYNC for mark in marks[:20]):
                left = (size - start) % length
                # The extra bytes of 192 stand before the mark, those of 204 behind it.
                left = (left + 4) % length if length == 192 else left
                return f"its last packet has {left} of {length} bytes" if left else None
    return None


def _needed_by_last_packet(file: BinaryIO, size: int) -> int:
    """Where the last packet of a program stream ends. Its start codes are none of any picture (ISO 13818-1, 2.5.4)."""
    start = max(0, size - _TAIL)
    tail = _read(file, start, _TAIL)
    place, needed = tail.find(b"\0\0\1"), 0
    while place >= 0:
        kind = tail[place + 3] if place + 3 < len(tail) else 0
        skip = 1
        if 0xBB <= kind <= 0xFF and place + 6 <= len(tail):
            skip = 6 + int.from_bytes(tail[place + 4 : place + 6], "big")
            needed = start + place + skip
        place = tail.find(b"\0\0\1", place + skip)
    return needed


def _read(file: BinaryIO, place: int, count: int) -> bytes:
    file.seek(place)
    return file.read(count)
