"""Where the visible scan ends on an image, and which outlines touch that border, so that more may lie beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames.scan_background import LIT_LEVELS
from usassist.records import Segmentation

__all__ = ["ScanBorder", "find_cut", "find_scan_border"]

UInt8Array = npt.NDArray[np.uint8]
Float64Array = npt.NDArray[np.float64]

_STEP = 8  # every eighth row and column is looked at
_MEDIAN = 5  # of these: a speck or a thin mark beside a sector is passed over
_REACH_PX = 2.0
_REACH_SHARE = 0.015  # of the image's shorter side: outlines of an engine end a little before the border
_DENSE_SHARE = 0.07  # of the width: of so many pixels after the beginning of the scan half are lit
_MARGIN_PX = 1.0  # pixels this far beyond the border still count as inside
_FLAT_ROW = 0.02  # share of the height; where most of this row is lit, the face of the probe is flat
_FACE_DEPTH = (0.02, 0.3)  # of a curved face, between its ends and its middle; share of the height
_FACE_SPAN = 0.8  # share of the face, around its middle, that its depth is measured on
_FACE_QUANTILE = 0.2  # dark tissue and shadows make it look deeper, nothing makes it look shallower
_FACE_FIT_SHARE, _FACE_FIT = 0.5, 0.01  # this share of the columns must fit to this share of the height


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScanBorder:
    """Border of the visible scan on one image, px; see :func:`find_scan_border`.

    Attributes
    ----------
    left, right : float64 (H,), x where the scan begins and ends in each row
    top : float64 (W,), y where it begins in each column; 0 but under the curved face of a convex probe
    is_convex : such a face was found
    """

    left: Float64Array
    right: Float64Array
    top: Float64Array
    is_convex: bool

    def clear_outside(self, region: UInt8Array, x: int, y: int) -> None:
        """Set the pixels of a region to 0 that lie outside the scan.

        A dark corner at the bottom of an image is taken for the end of the scan only where a curved face shows that it
        is a sector; elsewhere it may be tissue.

        Parameters
        ----------
        region : uint8 (h, w), changed in place
        x, y : where its first pixel lies on the image
        """
        height, width = region.shape
        left, right = self.left[: y + height], self.right[: y + height]
        if (
            left.max() - _MARGIN_PX <= x + 0.5
            and right.min() + _MARGIN_PX >= x + width - 0.5
            and self.top[x : x + width].max() - _MARGIN_PX <= y + 0.5
        ):
            return  # nowhere near
        left, right = self._limits(y, y + height)
        top = self.top[x : x + width] - _MARGIN_PX
        column, row = np.arange(x, x + width) + 0.5, np.arange(y, y + height) + 0.5
        if left.max() > column[0]:
            region[column < left[:, None]] = 0
        if right.min() < column[-1]:
            region[column > right[:, None]] = 0
        if top.max() > row[0]:
            region[row[:, None] < top] = 0

    def _limits(self, first: int, last: int) -> tuple[Float64Array, Float64Array]:
        """x of the outermost pixels that count as inside, of some rows."""
        left, right = self.left[:last], self.right[:last]
        if not self.is_convex:
            left, right = np.minimum.accumulate(left), np.maximum.accumulate(right)
        left, right = left[first:] - _MARGIN_PX, right[first:] + _MARGIN_PX
        seen = left < right  # a row, or a frame, without anything lit ends nowhere
        return np.where(seen, left, -np.inf), np.where(seen, right, np.inf)


def find_scan_border(image: UInt8Array) -> ScanBorder:
    """Find the border of the visible scan on an image that is cropped to it.

    A trapezoid or a sector leaves black corners in the image. In each row the visible scan begins at the first pixel
    that is not black and ends at the last; a narrow grey bar beside it is passed over. Its left and right side are
    taken as the convex curve around these, because black tissue, a shadow or a vessel at a side would otherwise count
    as the border. Where a corner is not black but noisy, or has marks in it, the border of the image counts.

    The curved face of a convex probe leaves black pixels above its middle. It is taken as a parabola between the two
    upper corners of the scan, as deep as a fifth of the columns are black at most; no face is found where fewer than
    half of the columns fit to that, as in a dual view.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3)
    """
    grey = image if image.ndim == 2 else image[..., 1]
    left, right = _sides(grey)
    top = _face(grey)
    return ScanBorder(
        left=left, right=right, top=np.zeros(grey.shape[1]) if top is None else top, is_convex=top is not None
    )


def find_cut(
    segmentation: Segmentation, image: UInt8Array, reach_share: float = _REACH_SHARE, border: ScanBorder | None = None
) -> UInt8Array:
    """Find the outlines that touch the border of the image, or of the visible scan.

    Below, only the border of the image counts: a black depth may be tissue.

    Parameters
    ----------
    segmentation : outlines in image coordinates, px
    image : uint8 (H, W) or (H, W, 3), to which they belong
    reach_share : how near to the border counts, share of the image's shorter side, and at least 2 px
    border : of the scan on the image; None = it is found here

    Returns
    -------
    cut : uint8 (N,), 1 where a point of the outline lies that near to the border
    """
    count = len(segmentation)
    if not count:
        return np.empty(0, np.uint8)
    border = find_scan_border(image) if border is None else border
    height_px, width_px = image.shape[:2]
    reach_px = max(_REACH_PX, reach_share * min(height_px, width_px))
    x, y = segmentation.contour_xy_px.astype(np.float64).T  # of pixel centres
    row = np.clip(y.astype(np.intp), 0, height_px - 1)
    column = np.clip(x.astype(np.intp), 0, width_px - 1)
    sides = [x - border.left[row], border.right[row] - x, y - border.top[column], height_px - y]
    nearest = np.minimum.reduceat(np.minimum.reduce(sides) - 0.5, segmentation.contour_start[:-1].astype(np.intp))
    return np.asarray(nearest <= reach_px, np.uint8)


def _sides(grey: UInt8Array) -> tuple[Float64Array, Float64Array]:
    """x of the left and of the right side of the visible scan, px, for every row of the image: float64 (H,) each."""
    lit = grey[::_STEP] > LIT_LEVELS
    height_px, width_px = grey.shape
    left, right = (_side(first, height_px, width_px) for first in _first_dense(lit))
    return left, width_px - right


def _side(first: npt.NDArray[np.intp], height_px: int, width_px: int) -> Float64Array:
    """The convex curve around the places where the scan begins in every eighth row, in every row: float64 (H,)."""
    if not first.any():
        return np.zeros(height_px)
    every, values = _rows(height_px), _median(first)
    rows = every[::_STEP]
    if not (known := values < width_px).all():
        if not known.any():
            return np.full(height_px, float(width_px))
        rows, values = rows[known], values[known]
    at, value = _lower_hull(rows, values)
    side = np.interp(every, at, value)
    if len(at) > 1:  # the narrow beginning of a sector, in which no row is lit enough
        side[: int(at[0])] += (value[1] - value[0]) / (at[1] - at[0]) * (every[: int(at[0])] - at[0])
    return np.asarray(side)


@lru_cache(maxsize=4)
def _rows(height_px: int) -> Float64Array:
    """0, 1, 2, …: float64 (H,), not to be changed."""
    return np.arange(height_px, dtype=np.float64)


def _first_dense(lit: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.intp]]:
    """Place of the pixel of each row (R, W) with which the scan begins, to two pixels; W in a row without any.

    From the left, and from the right counted from there.

    It is lit, and so are half of those that follow it: a grey bar beside the scan is passed over.
    """
    row_count, width_px = lit.shape
    halves = [half[:, : width_px // 2 + int(_DENSE_SHARE * width_px) + 4 : 2] for half in (lit, lit[:, ::-1])]
    some = np.concatenate(halves)
    reach = max(4, int(0.5 * _DENSE_SHARE * width_px))
    lit_of_reach = cv2.boxFilter(
        some.view(np.uint8), cv2.CV_16S, (reach, 1), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    count = max(some.shape[1] - reach + 1, 0)  # places that so many follow
    begins = some[:, :count] & (lit_of_reach[:, :count] >= (reach + 1) // 2)
    first = begins.argmax(axis=1) if count else np.zeros(2 * row_count, np.intp)
    known = begins[np.arange(2 * row_count), first] if count else np.zeros(2 * row_count, np.bool_)
    places: npt.NDArray[np.intp] = np.where(known, 2 * first, width_px)
    both = [places[:row_count], places[row_count:]]
    for side, half in enumerate((lit, lit[:, ::-1])):
        if not known[side * row_count : (side + 1) * row_count].any():
            first = half.argmax(axis=1)
            both[side] = np.where(half[np.arange(row_count), first], first, width_px)
    return both


def _face(grey: UInt8Array) -> Float64Array | None:
    """y of the curved face of a convex probe, px, for every column of the image: float64 (W,); None = there is none."""
    height_px, width_px = grey.shape
    if np.count_nonzero(grey[int(_FLAT_ROW * height_px), ::_STEP] > LIT_LEVELS) > 0.5 * width_px / _STEP:
        return None
    lit = grey[: height_px // 2, ::_STEP] > LIT_LEVELS
    first = _median(np.where(lit.any(axis=0), lit.argmax(axis=0), height_px))
    middle = len(first) // 2
    start = middle - 1 - int(first[:middle][::-1].argmin()) if middle else 0
    end = middle + int(first[middle:].argmin())
    if end - start < 0.2 * len(first) or end - start < 8:
        return None
    at = np.arange(start, end + 1)
    along = 2.0 * (at - start) / (end - start) - 1.0  # -1 to 1
    ends = np.interp(at, (start, end), (first[start], first[end]))
    inner = np.abs(along) < _FACE_SPAN
    depth = np.quantile(((first[at] - ends) / np.maximum(1.0 - along**2, 1e-9))[inner], _FACE_QUANTILE)
    fits = np.abs(first[at] - ends - depth * (1.0 - along**2)) <= max(2.0, _FACE_FIT * height_px)
    if not _FACE_DEPTH[0] <= depth / height_px <= _FACE_DEPTH[1] or fits[inner].mean() < _FACE_FIT_SHARE:
        return None
    every = np.arange(width_px)
    place = 2.0 * (every - _STEP * start) / (_STEP * (end - start)) - 1.0
    above = np.interp(every, (_STEP * start, _STEP * end), (first[start], first[end]))
    return np.where(np.abs(place) < 1.0, above + depth * (1.0 - place**2), 0.0)


def _median(values: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Running median; the first and the last value go on beyond the ends."""
    if len(values) < _MEDIAN:
        return values
    return np.asarray(cv2.medianBlur(values.astype(np.float32)[None], _MEDIAN)[0], np.intp)


def _lower_hull(rows: Float64Array, values: npt.NDArray[np.intp]) -> tuple[Float64Array, Float64Array]:
    """Rows and values at the corners of the greatest convex function that lies nowhere above `values`."""
    above = float(values.max() + 1)
    points = np.empty((len(rows) + 2, 2), np.float32)
    points[:-2, 0], points[:-2, 1] = rows, values
    points[-2:] = (rows[0], above), (rows[-1], above)  # a lid
    hull = cv2.convexHull(points)[:, 0].astype(np.float64)
    lower = hull[hull[:, 1] < above]
    lower = lower[lower[:, 0].argsort()]
    return lower[:, 0], lower[:, 1]
