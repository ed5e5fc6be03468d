"""Connected parts of a mask that is read plane by plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Component", "Components", "label_plane"]

UInt8Array = npt.NDArray[np.uint8]
Int32Array = npt.NDArray[np.int32]


@dataclass(slots=True)
class Component:
    """One connected part.

    Attributes
    ----------
    voxels : how many
    z_start, z_stop, top, bottom, left, right : box around it: first plane, row and column, and those after the last
    area_px : voxels of its largest piece in one plane
    """

    voxels: int
    z_start: int
    z_stop: int
    top: int
    bottom: int
    left: int
    right: int
    area_px: int

    def absorb(self, other: Component) -> None:
        """Become what both are together."""
        self.voxels += other.voxels
        self.z_start, self.z_stop = min(self.z_start, other.z_start), max(self.z_stop, other.z_stop)
        self.top, self.bottom = min(self.top, other.top), max(self.bottom, other.bottom)
        self.left, self.right = min(self.left, other.left), max(self.right, other.right)
        self.area_px = max(self.area_px, other.area_px)


def label_plane(mask: npt.NDArray[Any]) -> tuple[int, Int32Array, npt.NDArray[Any]]:
    """Pieces of one plane; voxels that touch at an edge or a corner are one piece.

    Returns
    -------
    count : of labels, with the background, which is 0
    labels : int32 (Y, X)
    stats : int32 (count, 5): left, top, width, height, area
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8), connectivity=8)
    return count, np.asarray(labels, np.int32), stats


class Components:
    """Parts of a volume, given plane by plane. Pieces of neighbouring planes are one part where they overlap.

    What is kept is the labels of the last plane and a number for each piece, so after the last plane a second pass with
    :func:`label_plane` finds the part of every voxel again: :meth:`of_plane`.
    """

    def __init__(self) -> None:
        self._labels: Int32Array | None = None
        self._first: list[int] = []  # plane → number of its first piece
        self._parent: list[int] = []  # piece → piece of the same part that was seen earlier, or itself
        self._parts: list[Component] = []

    def add(self, mask: npt.NDArray[Any]) -> None:
        """Take the next plane, (Y, X) bool or uint8 of 0 and 1."""
        count, labels, stats = label_plane(mask)
        z, first = len(self._first), len(self._parts)
        self._first.append(first)
        for left, top, width, height, area in stats[1:count].tolist():
            self._parent.append(len(self._parts))
            self._parts.append(Component(area, z, z + 1, top, top + height, left, left + width, area))
        if self._labels is not None and count > 1:
            before, width = self._first[z - 1] - 1, count
            both = (labels > 0) & (self._labels > 0)
            pairs = np.flatnonzero(np.bincount(self._labels[both].astype(np.int64) * width + labels[both]))
            for pair in pairs.tolist():
                self._join(before + pair // width, first - 1 + pair % width)
        self._labels = labels

    def of_plane(self, z: int) -> list[Component]:
        """The part of each piece of a plane, in the order of its labels from 1."""
        stop = self._first[z + 1] if z + 1 < len(self._first) else len(self._parts)
        return [self._parts[self._root(piece)] for piece in range(self._first[z], stop)]

    def parts(self) -> list[Component]:
        """All parts, the one with the most voxels first."""
        roots = [part for piece, part in enumerate(self._parts) if self._parent[piece] == piece]
        return sorted(roots, key=lambda part: -part.voxels)

    def _join(self, one: int, other: int) -> None:
        one, other = sorted((self._root(one), self._root(other)))
        if one != other:
            self._parent[other] = one
            self._parts[one].absorb(self._parts[other])

    def _root(self, piece: int) -> int:
        while self._parent[piece] != piece:
            self._parent[piece] = self._parent[self._parent[piece]]
            piece = self._parent[piece]
        return piece
