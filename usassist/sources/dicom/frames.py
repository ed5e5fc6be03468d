"""Where the frames of a DICOM file lie in it, so that they can be read one at a time.

Only the places are kept, a few numbers a frame; the pixels stay in the file.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from usassist.sources.dicom.header import DicomHeader
from usassist.sources.dicom.syntax import JPEG_2000_SYNTAXES, JPEG_SYNTAXES

__all__ = ["Span", "frame_spans", "read_span"]

Span = tuple[int, int]  # where it begins in the file and how many bytes it has

_ITEM = (0xFFFE, 0xE000)
_STARTS = {**dict.fromkeys(JPEG_SYNTAXES, b"\xff\xd8"), **dict.fromkeys(JPEG_2000_SYNTAXES, b"\xff\x4f\xff\x51")}


def frame_spans(header: DicomHeader, file: BinaryIO) -> list[tuple[Span, ...]]:
    """The places of the frames that the file holds whole, in order.

    Parameters
    ----------
    header : of this file
    file : open for reading; its position changes

    Returns
    -------
    frames : the parts of each frame; fewer than the header claims where the file breaks off, more where it holds more
    """
    size = file.seek(0, os.SEEK_END)
    if header.pixel_length is not None:
        length = header.frame_bytes
        held = max(0, min(header.pixel_length, size - header.pixel_start)) // length
        return [((header.pixel_start + index * length, length),) for index in range(held)]
    table, *fragments = _items(header, file, size) or [(header.pixel_start, 0)]
    if not fragments or len(fragments) == header.frame_count:
        return [(fragment,) for fragment in fragments]
    starts = _starts(header, file, table, fragments)
    ends = [*starts[1:], len(fragments)]
    return [tuple(fragments[start:end]) for start, end in zip(starts, ends, strict=True)]


def read_span(file: BinaryIO, parts: tuple[Span, ...]) -> bytes:
    """The bytes of one frame; fewer where the file has become shorter."""
    pieces = []
    for start, length in parts:
        file.seek(start)
        pieces.append(file.read(length))
    return b"".join(pieces)


def _items(header: DicomHeader, file: BinaryIO, size: int) -> list[Span]:
    """The items of encapsulated pixel data that are there whole, of which the first is the table of offsets."""
    items: list[Span] = []
    position = header.pixel_start
    while position + 8 <= size:
        file.seek(position)
        group, element, length = struct.unpack("<HHL", file.read(8))
        if (group, element) != _ITEM or position + 8 + length > size:
            break
        items.append((position + 8, length))
        position += 8 + length
    return items


def _starts(header: DicomHeader, file: BinaryIO, table: Span, fragments: list[Span]) -> list[int]:
    """At which fragments a frame begins, where frames may have several."""
    if header.frame_count == 1:
        return [0]
    if table[1] >= 8 and table[1] % 4 == 0:
        offsets = struct.unpack(f"<{table[1] // 4}L", read_span(file, (table,)))
        index_of = {start - fragments[0][0]: index for index, (start, _) in enumerate(fragments)}
        if offsets[0] == 0 and list(offsets) == sorted(set(offsets)):
            return [index_of[offset] for offset in offsets if offset in index_of]
    mark = _STARTS.get(header.syntax)
    if mark is None:  # run lengths: one fragment a frame
        return list(range(len(fragments)))
    return [
        index
        for index, (start, length) in enumerate(fragments)
        if index == 0 or read_span(file, ((start, min(length, len(mark))),)) == mark
    ]
