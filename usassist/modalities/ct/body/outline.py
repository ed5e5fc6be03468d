"""The body in a plane by HU and shape alone: where it lies, without table and arms as far as they stand apart."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt

from usassist.errors import VolumeError

__all__ = ["body_box", "largest_part"]

UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]
_AIR_HU = -300.0
_GRID_MM = 3.0  # about the spacing at which the body is looked for
_LEAST_MM = 60.0  # a body in the plane is at least this wide
_PLANES = 40  # at most this many are looked at


def largest_part(mask: BoolArray) -> BoolArray:
    """The largest connected part of a mask (Y, X); an empty mask as it is."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return mask
    best = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    return np.asarray(parts == best)


def body_box(
    planes: Iterable[npt.NDArray[np.generic]], spacing_yx_mm: tuple[float, float]
) -> tuple[int, int, int, int]:
    """Box around the largest part above -300 HU, thin things removed: top, left, bottom, right, px, over all planes.

    Parameters
    ----------
    planes : int16 or float32 (Y, X), rows to the back
    spacing_yx_mm : of the planes

    Raises
    ------
    VolumeError
        If there is no body in any of them.
    """
    step = tuple(max(1, round(_GRID_MM / spacing)) for spacing in spacing_yx_mm)
    boxes = []
    for plane in planes:
        coarse = (np.asarray(plane[:: step[0], :: step[1]]) > _AIR_HU).astype(np.uint8)
        opened = cv2.morphologyEx(coarse, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        body = largest_part(opened > 0)
        rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
        if len(rows) and (columns[-1] - columns[0]) * step[1] * spacing_yx_mm[1] >= _LEAST_MM:
            boxes.append((rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))
    if not boxes:
        raise VolumeError(
            f"no body wider than {_LEAST_MM:.0f} mm is in these planes; give a CT of the abdomen in HU with its spacing"
        )
    top, left = np.min([box[:2] for box in boxes], axis=0)
    bottom, right = np.max([box[2:] for box in boxes], axis=0)
    return int(top) * step[0], int(left) * step[1], int(bottom) * step[0], int(right) * step[1]
