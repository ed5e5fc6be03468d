"""A region of an image, exactly to the pixel, and as outlines through the centres of its outermost pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from usassist.session.export.polygons import outline_window

__all__ = ["Region", "overlap"]

BoolArray = npt.NDArray[np.bool_]
UInt8Array = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """Some pixels of an image, in the smallest box around them.

    Attributes
    ----------
    x_px, y_px : where the first pixel of the box lies in the image
    pixels : bool (H, W), True = in the region; not empty
    """

    x_px: int
    y_px: int
    pixels: BoolArray

    @classmethod
    def of_mask(cls, mask: npt.NDArray[Any]) -> Region | None:
        """Of a mask of the whole image, (H, W), not 0 = in the region; None where it is empty."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return None
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return cls(x_px=int(columns[0]), y_px=int(rows[0]), pixels=mask[box] != 0)

    @classmethod
    def of_outline(cls, contour: npt.NDArray[np.float32], image_hw_px: tuple[int, int]) -> Region | None:
        """Of an outline of a result, float32 (K, 2); None where no pixel of it is inside the image."""
        window, (x_px, y_px) = outline_window(contour)
        mask = np.zeros(image_hw_px, np.bool_)
        height, width = image_hw_px
        left, top = max(0, -x_px), max(0, -y_px)
        part = window[top : max(top, height - y_px), left : max(left, width - x_px)]
        mask[y_px + top : y_px + top + part.shape[0], x_px + left : x_px + left + part.shape[1]] = part
        return cls.of_mask(mask)

    @classmethod
    def of_parts(cls, parts: list[dict[str, Any]], image_hw_px: tuple[int, int]) -> Region | None:
        """Of what :meth:`parts` returns; None where it is empty.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it has another form.
        """
        mask = np.zeros(image_hw_px, np.uint8)
        for part in parts:
            points = np.array(part["contour_xy_px"], np.float64)
            if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
                raise ValueError(f"contour_xy_px must be (K, 2) and finite, got {points.shape}")
            cv2.fillPoly(mask, [np.round(points - 0.5).astype(np.int32)], int(bool(part["fills"])))
        return cls.of_mask(mask)

    def parts(self) -> list[dict[str, Any]]:
        """Outlines that give the region back when they are filled in this order.

        Each has ``contour_xy_px``, in image coordinates, and ``fills``: False = a hole, which clears what is inside.
        """
        rest: UInt8Array = np.pad(np.ascontiguousarray(self.pixels, np.uint8), 1)
        fills, parts = True, []
        while rest.any():
            found, _ = cv2.findContours(rest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
            filled = np.zeros(rest.shape, np.uint8)
            for contour in found:
                cv2.fillPoly(filled, [contour], 1)
                points = contour[:, 0] + (self.x_px - 0.5, self.y_px - 0.5)  # the padding is one pixel
                parts.append({"contour_xy_px": points.tolist(), "fills": fills})
            rest, fills = np.asarray(filled & ~rest & 1, np.uint8), not fills
        return parts

    def paint(self, mask: UInt8Array, value: int = 1) -> None:
        """Set the pixels of the region in a mask of the whole image."""
        height, width = self.pixels.shape
        mask[self.y_px : self.y_px + height, self.x_px : self.x_px + width][self.pixels] = value

    @property
    def area_px2(self) -> int:
        """Number of its pixels."""
        return int(self.pixels.sum())


def overlap(one: Region, other: Region) -> float:
    """Intersection over union, 0 to 1."""
    x1, y1 = max(one.x_px, other.x_px), max(one.y_px, other.y_px)
    x2 = min(one.x_px + one.pixels.shape[1], other.x_px + other.pixels.shape[1])
    y2 = min(one.y_px + one.pixels.shape[0], other.y_px + other.pixels.shape[0])
    if x2 <= x1 or y2 <= y1:
        return 0.0
    shared = [item.pixels[y1 - item.y_px : y2 - item.y_px, x1 - item.x_px : x2 - item.x_px] for item in (one, other)]
    common = int((shared[0] & shared[1]).sum())
    return common / (one.area_px2 + other.area_px2 - common)
