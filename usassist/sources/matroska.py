"""The outer elements of a Matroska file (RFC 9559, RFC 8794): where they lie, and whether check sums are right."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from usassist.common.closeable import Closeable

__all__ = ["CLUSTER", "SEGMENT", "ClusterCheck", "Element", "elements"]

SEGMENT, CLUSTER = 0x18538067, 0x1F43B675
_CHECK_SUM = b"\xbf\x84"  # the element CRC-32 and its size, where there is one the first in its parent
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Element:
    """One element: its kind, where its content begins, and where it ends; None where its size is not written."""

    kind: int
    start: int
    end: int | None


def elements(file: BinaryIO, size: int) -> Iterator[Element]:
    """The outer elements of a file of so many bytes, and those in its segment, until one has no size.

    An element may end behind the end of the file; one whose head is cut off is left out.
    """
    place = 0
    while place < size:
        kind, start = _number(file, place, keep_length=True)
        if kind is None:
            return
        length, start = _number(file, start)
        element = Element(kind=kind, start=start, end=None if length is None else start + length)
        yield element
        if kind != SEGMENT and element.end is None:
            return
        place = start if kind == SEGMENT or element.end is None else element.end


class ClusterCheck(Closeable):
    """Tells of the places in a file whether the cluster around them has the right check sum.

    A cluster is read once, when a place in it is first asked for. Places rise. Clusters without a check sum pass.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._elements = elements(self._file, path.stat().st_size)
        self._cluster: Element | None = None
        self._passes = True

    def close(self) -> None:
        """Release the file."""
        self._file.close()

    def passes(self, place: int | None) -> bool:
        """False when the cluster that holds this byte is known to be damaged."""
        while place is not None and (self._cluster is None or place >= (self._cluster.end or place + 1)):
            self._cluster = next((element for element in self._elements if element.kind == CLUSTER), None)
            if self._cluster is None:
                return True
            self._passes = self._is_right(self._cluster)
        return self._passes

    def _is_right(self, cluster: Element) -> bool:
        self._file.seek(cluster.start)
        head = self._file.read(6)
        if cluster.end is None or len(head) < 6 or head[:2] != _CHECK_SUM:
            return True
        left, found = cluster.end - cluster.start - 6, 0
        while left > 0 and (block := self._file.read(min(left, _BLOCK))):
            found, left = zlib.crc32(block, found), left - len(block)
        return left > 0 or found == int.from_bytes(head[2:], "little")  # one that is cut off has no sum


def _number(file: BinaryIO, place: int, *, keep_length: bool = False) -> tuple[int | None, int]:
    """A number whose length stands in its first bits, and where the next begins; None where it is not known."""
    file.seek(place)
    raw = file.read(8)
    length = 9 - raw[0].bit_length() if raw and raw[0] else 9
    if len(raw) < length:
        return None, place
    value = int.from_bytes(raw[:length], "big")
    if keep_length:
        return value, place + length
    mask = (1 << 7 * length) - 1
    return None if value & mask == mask else value & mask, place + length
