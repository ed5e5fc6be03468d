"""Which outlines touch the border of the scan, so that more of the region may lie beyond it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames.scan_background import LIT_LEVELS
from usassist.records import Segmentation

__all__ = ["find_cut"]

UInt8Array = npt.NDArray[np.uint8]
Float64Array = npt.NDArray[np.float64]

_ROW_STEP = 8  # every eighth row is looked at
_MEDIAN_ROWS = 5  # of these: a speck or a thin mark beside a sector is passed over
_REACH_PX = 2.0
_REACH_SHARE = 0.015  # of the image's shorter side: outlines of an engine end a little before the border


def find_cut(segmentation: Segmentation, image: UInt8Array, reach_share: float = _REACH_SHARE) -> UInt8Array:
    """Find the outlines that touch the border of the image, or a side of the visible scan.

    A trapezoid or a sector leaves black corners in the image. In each row the visible scan begins at the first pixel
    that is not black and ends at the last. Its left and right side are taken as the convex curve around these, because
    black tissue, a shadow or a vessel at a side would otherwise count as the border. Where a corner is not black but
    noisy, or has marks in it, only the border of the image counts. So it does above and below: the curved face of a
    convex probe, and a black depth, are not looked for.

    Parameters
    ----------
    segmentation : outlines in image coordinates, px
    image : uint8 (H, W) or (H, W, 3), to which they belong
    reach_share : how near to the border counts, share of the image's shorter side, and at least 2 px

    Returns
    -------
    cut : uint8 (N,), 1 where a point of the outline lies that near to the border
    """
    count = len(segmentation)
    if not count:
        return np.empty(0, np.uint8)
    height_px, width_px = image.shape[:2]
    reach_px = max(_REACH_PX, reach_share * min(height_px, width_px))
    x, y = segmentation.contour_xy_px.astype(np.float64).T  # of pixel centres
    left, right = _sides(image)
    row = np.clip(y.astype(np.intp), 0, height_px - 1)
    distance = np.minimum.reduce([x - left[row], right[row] - x, y, height_px - y]) - 0.5
    nearest = np.minimum.reduceat(distance, segmentation.contour_start[:-1].astype(np.intp))
    return np.asarray(nearest <= reach_px, np.uint8)


def _sides(image: UInt8Array) -> tuple[Float64Array, Float64Array]:
    """x of the left and of the right side of the visible scan, px, for every row of the image: float64 (H,) each."""
    height_px, width_px = image.shape[:2]
    rows = np.arange(0, height_px, _ROW_STEP)
    lit = (image if image.ndim == 2 else image[..., 1])[::_ROW_STEP] > LIT_LEVELS
    first, last = lit.argmax(axis=1), lit[:, ::-1].argmax(axis=1)
    first[first == 0] = np.where(lit[first == 0, 0], 0, width_px)
    last[last == 0] = np.where(lit[last == 0, -1], 0, width_px)
    every = np.arange(height_px)
    return (
        np.interp(every, *_lower_hull(rows, _median(first))),
        width_px - np.interp(every, *_lower_hull(rows, _median(last))),
    )


def _median(values: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Running median."""
    if len(values) < _MEDIAN_ROWS:
        return values
    half, count = _MEDIAN_ROWS // 2, len(values)
    padded = values[np.clip(np.arange(-half, count + half), 0, count - 1)]
    windows = np.stack([padded[shift : shift + count] for shift in range(_MEDIAN_ROWS)])
    windows.partition(half, axis=0)
    middle: npt.NDArray[np.intp] = windows[half]
    return middle


def _lower_hull(rows: npt.NDArray[np.intp], values: npt.NDArray[np.intp]) -> tuple[Float64Array, Float64Array]:
    """Rows and values at the corners of the greatest convex function that lies nowhere above `values`."""
    points = np.column_stack([rows, values]).astype(np.float32)
    above = np.float32(values.max() + 1)
    lids = np.array([[rows[0], above], [rows[-1], above]], np.float32)
    hull = cv2.convexHull(np.concatenate([points, lids])).reshape(-1, 2)
    lower = np.asarray(hull[hull[:, 1] < above], np.float64)
    lower = lower[np.argsort(lower[:, 0])]
    return lower[:, 0], lower[:, 1]
