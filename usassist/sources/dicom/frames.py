"""Find the frames of a DICOM file, so that they can be read one at a time.

Only their offsets are kept, a few numbers per frame; the pixels stay in the file.

The bytes decide how many frames there are, because headers are often wrong: NumberOfFrames is optional, programs that
compress a file leave a 1 or the old number in it, and offset tables are left empty or unchanged. A compressed frame
begins with the start marker of its code stream (JPEG: SOI, JPEG 2000: SOC, RLE: its segment table, PS3.5 annex G) and,
except for RLE, ends with FF D9, which never occurs in coded data. An offset table (PS3.5 A.4, basic or extended) or one
fragment per frame (A.4, without a table) decides where the bytes do not, and where it agrees with the header on more
frames than there are start markers: then the start of a frame is damaged.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, Literal

from usassist.sources.dicom.encoding import JPEG_2000_SYNTAXES, JPEG_LS_SYNTAXES, JPEG_SYNTAXES
from usassist.sources.dicom.header import DicomHeader

__all__ = ["FrameSpans", "Span", "find_frames", "read_span"]

Span = tuple[int, int]  # offset in the file, and length in bytes

_ITEM, _DELIMITER = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_JPEG_STARTS = (b"\xff\xd8\xff",)
_JPEG_2000_STARTS = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")  # the second of a whole JP2 file
_STARTS: dict[str, tuple[bytes, ...]] = {
    **dict.fromkeys(JPEG_SYNTAXES | JPEG_LS_SYNTAXES, _JPEG_STARTS),
    **dict.fromkeys(JPEG_2000_SYNTAXES, _JPEG_2000_STARTS),
}
_END = b"\xff\xd9"
_HEAD_BYTES, _TAIL_BYTES = 64, 16
_RLE_HEAD = struct.Struct("<16L")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameSpans:
    """The complete frames of a file, in order.

    Attributes
    ----------
    spans : the parts of each frame
    is_cut : True where the file breaks off inside its pixels
    left_over_bytes : uncompressed pixels after the last frame that are no complete frame
    """

    spans: list[tuple[Span, ...]]
    is_cut: bool
    left_over_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Items:
    """The items of encapsulated pixel data.

    Attributes
    ----------
    table : span of the basic offset table
    fragments : spans of the other items that are complete
    end : how the items end: with the delimiter, inside an item, or with something else
    cut : span of what is present of an incomplete item
    """

    table: Span
    fragments: list[Span]
    end: Literal["delimiter", "inside", "other"]
    cut: Span = (0, 0)


def find_frames(header: DicomHeader, file: BinaryIO) -> FrameSpans:
    """Find the spans of the frames.

    Parameters
    ----------
    header : of this file
    file : open for reading; its position changes
    """
    size = file.seek(0, os.SEEK_END)
    if header.pixel_length is not None:
        return _uncompressed(header, header.pixel_length, size)
    items = _items(header.pixel_start, file, size)
    claimed = header.claimed_frames
    if not items.fragments:
        return FrameSpans(spans=[], is_cut=True)
    begins = _begins(header, file, items.fragments)
    starts = _starts(header, file, items, begins)
    if items.end == "inside" and not (
        _is_start(header, read_span(file, (items.cut,)))
        or (_has_end(header) and _is_end(file, items.fragments[-1]))
        or all(begins)  # one fragment a frame
    ):
        items.fragments[starts.pop() :] = []  # the last frame continues in the missing part
    ends = [*starts[1:], len(items.fragments)]
    spans = [tuple(items.fragments[start:end]) for start, end in zip(starts, ends, strict=False)]
    is_short = claimed is not None and len(spans) < claimed
    return FrameSpans(spans=spans, is_cut=items.end == "inside" or (items.end == "other" and is_short))


def read_span(file: BinaryIO, parts: tuple[Span, ...]) -> bytes:
    """Read the bytes of one frame; fewer where the file has become shorter."""
    pieces = []
    for start, length in parts:
        file.seek(start)
        pieces.append(file.read(length))
    return b"".join(pieces)


def _uncompressed(header: DicomHeader, pixel_length: int, size: int) -> FrameSpans:
    """Consecutive frames; where the pixel data are no whole number of frames, the header's number is the limit."""
    length, claimed = header.frame_bytes, header.claimed_frames
    stated, rest = divmod(pixel_length, length)
    count = max(0, min(pixel_length, size - header.pixel_start)) // length
    is_cut = count < stated
    if rest > 1 and claimed is not None:  # one byte makes the length even
        is_cut |= count < claimed
        count = min(count, claimed)
    spans: list[tuple[Span, ...]] = [((header.pixel_start + index * length, length),) for index in range(count)]
    left_over_bytes = pixel_length - count * length
    return FrameSpans(
        spans=spans, is_cut=is_cut, left_over_bytes=0 if is_cut or left_over_bytes <= 1 else left_over_bytes
    )


def _items(position: int, file: BinaryIO, size: int) -> _Items:
    """Walk over the items, of which the first is the offset table."""
    items: list[Span] = []
    end: Literal["delimiter", "inside", "other"] = "other"
    cut = (0, 0)
    while position + 8 <= size:
        file.seek(position)
        start = file.read(9)
        group, element, length = struct.unpack("<HHL", start[:8])
        if (group, element) != _ITEM and items and items[-1][1] % 2:
            # A fragment of odd length with a padding byte that its length does not include.
            group, element, length = struct.unpack("<HHL", start[1:] if len(start) == 9 else bytes(8))
            position += 1
        if (group, element) != _ITEM:
            end = "delimiter" if (group, element) == _DELIMITER else "other"
            break
        if position + 8 + length > size:
            end, cut = "inside", (position + 8, min(_HEAD_BYTES, size - position - 8))
            break
        items.append((position + 8, length))
        position += 8 + length
    if not items:
        return _Items(table=(position, 0), fragments=[], end=end)
    return _Items(table=items[0], fragments=items[1:], end=end, cut=cut)


def _begins(header: DicomHeader, file: BinaryIO, fragments: list[Span]) -> list[bool]:
    """For each fragment whether a frame begins with it, by its bytes and those before it."""
    begins = []
    after_end = False
    for start, length in fragments:
        head = read_span(file, ((start, min(length, _HEAD_BYTES)),))
        begins.append(length > 0 and (after_end or _is_start(header, head)))
        if length > 0:
            after_end = _has_end(header) and _is_end(file, (start, length))
    return begins


def _starts(header: DicomHeader, file: BinaryIO, items: _Items, begins: list[bool]) -> list[int]:
    """Indices of the fragments at which a frame begins."""
    claimed, count = header.claimed_frames, len(begins)
    by_bytes = [index for index, begin in enumerate(begins) if begin or index == 0]
    by_table = _by_table(header, file, items)
    each = list(range(count))
    without_bytes = by_table or ([0] if claimed == 1 or _has_end(header) else each)
    best = by_bytes if any(begins) else without_bytes
    # Where several are possible, the header decides, but never for fewer frames than the bytes show.
    gaps = [index for index in each if not begins[index] and items.fragments[index][1] > 0]
    others = [by_table, [] if _has_end(header) and gaps else each]
    return next((other for other in others if len(best) < len(other) == claimed), best)


def _by_table(header: DicomHeader, file: BinaryIO, items: _Items) -> list[int]:
    """Indices of the fragments at which a frame begins by an offset table; empty without a plausible one."""
    offsets = header.extended_offsets
    if not offsets and items.table[1] % 4 == 0:
        offsets = struct.unpack(f"<{items.table[1] // 4}L", read_span(file, (items.table,)))
    first = items.fragments[0][0]
    index_of = {start - first: index for index, (start, _) in enumerate(items.fragments)}
    end = sum(items.fragments[-1]) - first
    inside = [offset for offset in offsets if offset < end]
    if not inside or inside[0] != 0 or any(one >= other for one, other in pairwise(offsets)):
        return []
    return [index_of[offset] for offset in inside] if all(offset in index_of for offset in inside) else []


def _is_start(header: DicomHeader, head: bytes) -> bool:
    """True when these bytes can begin a frame."""
    marks = _STARTS.get(header.syntax)
    if marks is not None:
        return head.startswith(marks)
    if len(head) < _RLE_HEAD.size:
        return False
    count, *offsets = _RLE_HEAD.unpack(head[: _RLE_HEAD.size])
    used = offsets[: min(count, len(offsets))]
    return count == header.samples * header.bits_allocated // 8 and used[0] == 64 and used == sorted(set(used))


def _has_end(header: DicomHeader) -> bool:
    """True where frames have an end marker."""
    return header.syntax in _STARTS


def _is_end(file: BinaryIO, fragment: Span) -> bool:
    """True when the fragment ends with an end marker, perhaps padded."""
    start, length = fragment
    tail = read_span(file, ((start + max(0, length - _TAIL_BYTES), min(length, _TAIL_BYTES)),))
    return tail.rstrip(b"\0").endswith(_END)
