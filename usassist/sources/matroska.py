"""The outer elements of a Matroska file (RFC 9559, RFC 8794): where they are, and whether checksums match."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from usassist.common.closeable import Closeable

__all__ = ["CLUSTER", "SEGMENT", "ClusterCheck", "Element", "elements"]

SEGMENT, CLUSTER = 0x18538067, 0x1F43B675
_CRC_HEAD = b"\xbf\x84"  # id and size of the element CRC-32, which comes first in its parent
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element: its id, and start and end of its content in the file; end None where no size is written."""

    kind: int
    start: int
    end: int | None


def elements(file: BinaryIO, size: int) -> Iterator[Element]:
    """The top-level elements of a file of `size` bytes, and those in its segment, up to the first without a size.

    An element may end beyond the end of the file; one whose head is cut off is left out.
    """
    offset = 0
    while offset < size:
        kind, start = _number(file, offset, keep_length=True)
        if kind is None:
            return
        length, start = _number(file, start)
        element = Element(kind=kind, start=start, end=None if length is None else start + length)
        yield element
        if kind != SEGMENT and element.end is None:
            return
        offset = start if kind == SEGMENT or element.end is None else element.end


class ClusterCheck(Closeable):
    """Verifies the checksum of the cluster that holds a given byte of a file.

    Each cluster is read once; offsets must not fall from call to call. Clusters without a checksum pass.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._elements = elements(self._file, path.stat().st_size)
        self._cluster: Element | None = None
        self._passes = True

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def passes(self, offset: int | None) -> bool:
        """False when the cluster that holds this byte is known to be damaged."""
        while offset is not None and (self._cluster is None or offset >= (self._cluster.end or offset + 1)):
            self._cluster = next((element for element in self._elements if element.kind == CLUSTER), None)
            if self._cluster is None:
                return True
            self._passes = self._is_valid(self._cluster)
        return self._passes

    def _is_valid(self, cluster: Element) -> bool:
        self._file.seek(cluster.start)
        head = self._file.read(6)
        if cluster.end is None or len(head) < 6 or head[:2] != _CRC_HEAD:
            return True
        left, found = cluster.end - cluster.start - 6, 0
        while left > 0 and (block := self._file.read(min(left, _BLOCK_BYTES))):
            found, left = zlib.crc32(block, found), left - len(block)
        return left > 0 or found == int.from_bytes(head[2:], "little")  # one that is cut off cannot be verified


def _number(file: BinaryIO, offset: int, *, keep_length: bool = False) -> tuple[int | None, int]:
    """A variable-length integer (RFC 8794, 4), and the offset after it; None where it is cut off or means unknown."""
    file.seek(offset)
    raw = file.read(8)
    length = 9 - raw[0].bit_length() if raw and raw[0] else 9
    if len(raw) < length:
        return None, offset
    value = int.from_bytes(raw[:length], "big")
    if keep_length:
        return value, offset + length
    mask = (1 << 7 * length) - 1
    return None if value & mask == mask else value & mask, offset + length
