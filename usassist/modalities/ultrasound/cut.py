"""An outlined nodule with its surroundings, cut out of a frame and scaled to one size."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["BLACK_LEVEL", "DISC_PX", "GAP_PX", "Cut", "calmed", "signed_area"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

DISC_PX = 64.0
"""Diameter that the nodule is scaled to: that of a disc of its area."""

GAP_PX = 2.0
"""Left out on either side of the outline, in px of the copy."""

BLACK_LEVEL = 2
"""Pixels up to this level are outside the fan, or show nothing."""

_RIM = 0.2  # width of the rim around the nodule, of the diameter
_AROUND = 0.25  # width of the surroundings that are cut out, of the diameter: the rim and a little more
_CROSS = np.asarray(cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)), np.uint8)
_POINTS = 64
_NEXT, _TWO_ON, _TWO_BACK = ((np.arange(_POINTS) + step) % _POINTS for step in (1, 2, -2))
_EDGE_OFFSETS_PX = (2.0, 4.0)
_MIN_POINTS = 16
_MARK_LEVEL, _MARK_STEP = 245, 80  # a pixel this bright, and this far above its surroundings, was drawn by the scanner
_FRAME_SAMPLES = 8192  # about this many pixels represent the whole frame


@dataclass(frozen=True, kw_only=True, eq=False)
class Cut:
    """The nodule with its surroundings, scaled to one size. What only some features need is computed when it is read.

    Attributes
    ----------
    grey : the whole frame
    corners_px : float32 (2, 2), least and greatest coordinates of the outline in the frame
    every : step in rows and columns of the frame; above 1 for a large nodule, to save time
    scale : from frame to copy
    window, calm_window : the nodule and its surroundings, as captured, and without marks and speckle
    calm : ``calm_window`` scaled to one size: the copy
    mask : of the nodule, 0 or 1, as large as the copy
    outline : float32 (K, 2) in px of the copy, pixel centres at whole numbers
    corners : float32 (2, 2), its least and greatest coordinates
    """

    grey: UInt8Array
    corners_px: Float32Array
    every: int
    scale: float
    window: UInt8Array
    calm_window: UInt8Array
    calm: UInt8Array
    mask: UInt8Array
    outline: Float32Array
    corners: Float32Array

    @classmethod
    def of(cls, grey: UInt8Array, contour: Float32Array, corners: Float32Array, scale: float) -> Cut:
        """Cut out of a frame what lies in `contour`, float32 (K, 2) in image coordinates, and around it."""
        margin_px = _AROUND * DISC_PX / scale
        height_px, width_px = grey.shape
        x1, y1 = (max(math.floor(least), 0) for least in (corners[0] - margin_px).tolist())
        x2, y2 = (corners[1] + margin_px).tolist()
        every = math.ceil(0.5 / scale)
        window = np.ascontiguousarray(
            grey[y1 : min(math.ceil(y2), height_px) : every, x1 : min(math.ceil(x2), width_px) : every]
        )
        calm_window, calm = calmed(window, scale * every)
        low = np.array([x1, y1])
        step = np.array([calm.shape[1] / window.shape[1], calm.shape[0] / window.shape[0]])
        outline, own_corners = (
            (((points - low - 0.5) / every + 0.5) * step - 0.5).astype(np.float32) for points in (contour, corners)
        )
        mask = np.zeros(calm.shape, np.uint8)
        cv2.fillPoly(mask, [np.round(outline).astype(np.int32)], 1)
        return cls(
            grey=grey,
            corners_px=corners,
            every=every,
            scale=scale,
            window=window,
            calm_window=calm_window,
            calm=calm,
            mask=mask,
            outline=outline,
            corners=own_corners,
        )

    @cached_property
    def box(self) -> tuple[slice, slice]:
        """Where the nodule lies on the copy, with a margin of one pixel."""
        (x1, y1), (x2, y2) = ((round(x), round(y)) for x, y in self.corners.tolist())
        return np.s_[max(y1 - 1, 0) : y2 + 2, max(x1 - 1, 0) : x2 + 2]

    @cached_property
    def inside(self) -> BoolArray:
        """Of ``box``: the nodule without its outermost pixels."""
        return np.asarray(cv2.erode(self.mask[self.box], _CROSS)) > 0

    @cached_property
    def in_levels(self) -> Int64Array:
        """Histogram (256,) of the nodule."""
        return _histogram(self.calm[self.box], self.inside)

    @cached_property
    def rim_levels(self) -> Int64Array:
        """Histogram (256,) of the rim around the nodule."""
        away_px = np.asarray(cv2.distanceTransform(1 - self.mask, cv2.DIST_L2, 3), np.float32)
        return _without_black(self.calm, (away_px > GAP_PX) & (away_px < _RIM * DISC_PX))

    @cached_property
    def frame_levels(self) -> Int64Array:
        """Histogram (256,) of the whole frame, of evenly spaced pixels."""
        every = max(1, math.isqrt(self.grey.size // _FRAME_SAMPLES))
        return _without_black(self.grey[::every, ::every])

    @cached_property
    def sharp(self) -> UInt8Array:
        """The copy without marks, but with its fine structure."""
        window = self.window
        marks = ((window >= _MARK_LEVEL) & (cv2.subtract(window, self.calm_window) >= _MARK_STEP)).astype(np.uint8)
        if marks.any():
            marks = np.asarray(cv2.dilate(marks, np.ones((3, 3), np.uint8)), np.uint8)
            window = np.where(marks > 0, self.calm_window, window)
        return np.asarray(cv2.GaussianBlur(_resized(window, self.scale * self.every), (3, 3), 0), np.uint8)

    @cached_property
    def points(self) -> Float64Array:
        """64 points at equal distances along the outline, float64 (64, 2), clockwise on the screen."""
        return _resample(self.outline)

    @cached_property
    def across(self) -> Float32Array:
        """Where the step across the outline is read: two places outside, two inside each point, float32 (4, P, 2).

        P counts those of ``points`` whose four places are all in the image.
        """
        along = self.points[_TWO_ON] - self.points[_TWO_BACK]
        outwards = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.maximum(np.hypot(*along.T), 1e-6)[:, None]
        offsets = np.array([*_EDGE_OFFSETS_PX, *(-offset for offset in _EDGE_OFFSETS_PX)])
        at = (self.points + offsets[:, None, None] * outwards).astype(np.float32)
        limit = np.array(self.calm.shape[::-1]) - 1
        return np.asarray(at[:, ((at >= 0) & (at <= limit)).all(axis=(0, 2))])

    @property
    def has_edge(self) -> bool:
        """True when the step across the outline can be read at enough points."""
        reach_px = max(_EDGE_OFFSETS_PX) + 1.0
        (x1, y1), (x2, y2) = self.corners.tolist()
        height_px, width_px = self.calm.shape
        if min(x1, y1, width_px - 1 - x2, height_px - 1 - y2) >= reach_px:
            return True  # all of them are in the image; faster than testing each
        return int(self.across.shape[1]) >= _MIN_POINTS


def calmed(window: UInt8Array, scale: float) -> tuple[UInt8Array, UInt8Array]:
    """Part of a frame without marks and speckle, uint8 (H, W), at its own size and scaled."""
    calm = np.asarray(cv2.medianBlur(window, 5), np.uint8)
    return calm, np.asarray(cv2.medianBlur(_resized(calm, scale), 3), np.uint8)


def signed_area(points: Float64Array) -> float:
    """Area of a polygon of 64 points, float64 (64, 2), in its px^2; positive when it runs clockwise on the screen."""
    x, y = points.T
    return 0.5 * float(x @ y[_NEXT] - y @ x[_NEXT])


def _resized(image: UInt8Array, scale: float) -> UInt8Array:
    size_wh = [max(1, round(side * scale)) for side in image.shape[::-1]]
    return np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_LINEAR), np.uint8)


def _histogram(image: UInt8Array, there: BoolArray | None = None) -> Int64Array:
    """Histogram (256,) of an image, or of some of its pixels."""
    mask = None if there is None else there.view(np.uint8)
    return cv2.calcHist([image], [0], mask, [256], [0.0, 256.0]).ravel().astype(np.int64)


def _without_black(image: UInt8Array, there: BoolArray | None = None) -> Int64Array:
    """The same without the pixels outside the fan."""
    levels = _histogram(image, there)
    levels[: BLACK_LEVEL + 1] = 0
    return levels


def _resample(outline: Float32Array) -> Float64Array:
    closed = np.concatenate([outline, outline[:1]]).astype(np.float64)
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.arange(_POINTS) * (along[-1] / _POINTS)
    points = np.stack([np.interp(at, along, closed[:, 0]), np.interp(at, along, closed[:, 1])], axis=1)
    return points if signed_area(points) > 0 else points[::-1].copy()
