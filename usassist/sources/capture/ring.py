"""Shared memory into which the capture process writes screens and from which its parent reads them: a few slots.

It is an anonymous file (``memfd``), so nothing is left behind however either side ends, and it cannot shrink under a
reader. The first page holds a byte for each slot: 1 from when the writer takes the slot until the reader releases it.
Messages state what a slot holds; they also order memory access between the two sides.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import weakref
from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Self

import numpy as np
import numpy.typing as npt

from usassist.errors import SourceError
from usassist.sources.screen import Layout

__all__ = ["SLOTS", "RingReader", "RingWriter", "size_of"]

UInt8Array = npt.NDArray[np.uint8]

SLOTS = 6
_RESERVE = 2  # slots kept for the writer; where fewer would be left, a screen is copied
_PAGE_BYTES = mmap.PAGESIZE
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def size_of(layout: Layout) -> int:
    """Bytes that a screen of this layout takes."""
    return sum(prod(shape) for shape in layout.shapes)


def _total_bytes(slots: int, slot_bytes: int) -> int:
    return _PAGE_BYTES + slots * slot_bytes


def _split(flat: UInt8Array, layout: Layout) -> list[UInt8Array]:
    """The planes in a slot, views."""
    planes, at = [], 0
    for shape in layout.shapes:
        size = prod(shape)
        planes.append(flat[at : at + size].reshape(shape))
        at += size
    return planes


class RingWriter:
    """The capture process's side.

    Parameters
    ----------
    fd : of the memory
    slots, slot_bytes : number and size of its slots
    """

    def __init__(self, fd: int, slots: int, slot_bytes: int) -> None:
        self.fd, self.slots, self.slot_bytes = fd, slots, slot_bytes
        self._memory = mmap.mmap(fd, _total_bytes(slots, slot_bytes))

    @classmethod
    def create(cls, min_bytes: int, slots: int = SLOTS) -> Self:
        """Allocate memory with slots of at least this size.

        Raises
        ------
        OSError
            If there is no memory.
        """
        slot_bytes = -(-min_bytes // _PAGE_BYTES) * _PAGE_BYTES
        fd = os.memfd_create("usassist-capture", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            os.ftruncate(fd, _total_bytes(slots, slot_bytes))
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
            return cls(fd, slots, slot_bytes)
        except BaseException:
            os.close(fd)
            raise

    def write(self, layout: Layout, planes: Sequence[UInt8Array]) -> int | None:
        """Copy a screen into a free slot; returns its number, None where no slot is free."""
        slot = self._memory.find(b"\0", 0, self.slots)
        if slot < 0:
            return None
        self._memory[slot] = 1
        flat = np.frombuffer(self._memory, np.uint8, size_of(layout), _PAGE_BYTES + slot * self.slot_bytes)
        for target, plane in zip(_split(flat, layout), planes, strict=True):
            np.copyto(target, plane)
        return slot

    def close(self) -> None:
        """Release the memory on this side."""
        os.close(self.fd)
        self._memory.close()


class RingReader:
    """The parent's side. A screen is read without a copy, and its slot is free again once no view of it is left.

    Where too few slots would be left for the writer, because many screens are held, the screen is copied instead.

    Parameters
    ----------
    fd : of the memory; not needed afterwards
    slots, slot_bytes : as reported by the writer

    Raises
    ------
    SourceError
        If the memory does not match the report.
    """

    def __init__(self, fd: int, slots: int, slot_bytes: int) -> None:
        total_bytes = _total_bytes(slots, slot_bytes)
        if os.fstat(fd).st_size != total_bytes or fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise SourceError("the capture process shares memory of a wrong size; report this as a fault of usassist")
        self._slots, self._slot_bytes = slots, slot_bytes
        self._memory = mmap.mmap(fd, total_bytes)
        self._in_use: dict[int, weakref.ref[UInt8Array]] = {}

    @property
    def in_use(self) -> int:
        """Number of slots in use on this side."""
        return len(self._in_use)

    def read(self, slot: int, layout: Layout) -> list[UInt8Array]:
        """The planes of a screen, read-only.

        Raises
        ------
        ValueError
            If the slot or the layout is invalid.
        """
        if not 0 <= slot < self._slots or slot in self._in_use or size_of(layout) > self._slot_bytes:
            raise ValueError(f"slot {slot} with {layout}")
        flat = np.frombuffer(self._memory, np.uint8, size_of(layout), _PAGE_BYTES + slot * self._slot_bytes)
        if len(self._in_use) >= self._slots - _RESERVE:
            flat = flat.copy()
            self._memory[slot] = 0
        else:
            # Every view keeps this array alive, also a view of a view.
            self._in_use[slot] = weakref.ref(flat, partial(self._release, slot))
        flat.flags.writeable = False
        return _split(flat, layout)

    def _release(self, slot: int, _: weakref.ref[UInt8Array]) -> None:
        self._in_use.pop(slot, None)
        self._memory[slot] = 0
