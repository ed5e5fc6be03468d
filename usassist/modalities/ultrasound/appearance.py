"""Features of an outlined nodule: a few plain numbers that are computed from its pixels.

They are computed from a copy of the nodule and its surroundings in which the nodule always has the same size, so that
they depend little on the resolution of the grabber and on the zoom of the scanner. Everything here is
deterministic and uses no model.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Collection

import cv2
import numpy as np
import numpy.typing as npt

from usassist.modalities.ultrasound.cut import BLACK_LEVEL, DISC_PX, GAP_PX, Cut, calmed, signed_area

__all__ = ["FEATURES", "nodule_features"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]

FEATURES: dict[str, str] = {
    # echogenicity; a contrast of a and b is (a - b) / (a + b + 1), -1 to 1, negative = the nodule is darker
    "rim_contrast": "median inside against the median of the rim around it",
    "dark_contrast": "10th percentile inside against that of the rim",
    "bright_contrast": "90th percentile inside against that of the rim",
    "frame_contrast": "median inside against the median of the whole frame",
    # composition
    "spread": "contrast of the 90th and the 10th percentile inside, 0 to 1",
    "dark_share": "share of the inside darker than 0.4 times its 75th percentile, 0 to 1",
    "dark_clump": "share of the inside that lies in the largest connected dark part, 0 to 1",
    "coarse_texture": "standard deviation of the inside, averaged over a tenth of the diameter, to its mean; 0 up",
    "fine_texture": "mean distance of the inside from that average, to its mean; 0 up",
    # echogenic foci
    "spot_share": "share of the inside more than two interquartile ranges above the 75th percentile, 0 to 1",
    "spot_count": "logarithm of 1 + the number of such spots, 0 up",
    "spot_peak": "contrast of the 99.5th percentile and the median inside, 0 to 1",
    "shadow": "logarithm of grey below the nodule to grey beside that; negative = shadow; 0 with no image below",
    "shadow_deepest": "logarithm of the darkest column below the nodule to their median, 0 or less; 0 likewise",
    # margins; the step is (outside - inside) / (outside + inside + 10), taken across the outline at 64 points
    "edge_step": "mean step across the outline, -1 to 1",
    "edge_strength": "mean size of the step, 0 to 1",
    "edge_spread": "standard deviation of the step along the outline, 0 up",
    "edge_weak": "share of the outline where the step is smaller than 0.1, 0 to 1",
    "solidity": "area to that of the convex hull, 0 to 1",
    "compactness": "4 pi area / perimeter^2, 0 to 1 (disc)",
    "wobble_slow": "root mean square of 2 to 4 waves per turn of the outline, to its mean radius; 0 up",
    "wobble_fast": "root mean square of 5 to 12 waves per turn, likewise",
}
"""Name and meaning of every number of :func:`nodule_features`, in their order."""

_BELOW, _BESIDE = (
    0.4,
    0.5,
)  # of the diameter: depth of the strip that is searched for a shadow, and its reach to either side
_WAVES = (np.arange(2, 5), np.arange(5, 13))  # per turn of the outline: slow, fast
_MIN_PX = 50  # fewer pixels than this, in the frame or on the working copy, are not described
_LONGEST = 5.0  # a region longer than this many times the diameter of a disc of its area is a line
_MIN_SPOT_PX = 2  # on the working copy


def nodule_features(grey: UInt8Array, contour: Float32Array, names: Collection[str] = FEATURES) -> Float64Array | None:
    """Describe an outlined region by plain numbers.

    Marks that the scanner draws (calipers, dotted lines, text) are removed first: pixels that are nearly white and
    stand far above their surroundings. All but the fine texture and the spots are computed from a copy in
    which a median filter has removed what is thinner than three pixels.

    Parameters
    ----------
    grey : uint8 (H, W), the frame cropped to the scan area
    contour : float32 (K, 2), outline through the centres of the region's outermost pixels, image coordinates, px
    names : which of :data:`FEATURES` to compute

    Returns
    -------
    float64 (len(FEATURES),): those of `names` are finite and do not depend on which others are computed; the rest is
    nan. None, whatever `names` is, where the region has fewer than 50 px or is little more than a line, or where too
    little of its surroundings is in the image to compare it with
    """
    area_px2 = abs(float(cv2.contourArea(contour)))
    diameter_px = 2.0 * math.sqrt(area_px2 / math.pi)
    x, y = contour.T
    corners = np.array([[x.min(), y.min()], [x.max(), y.max()]], np.float32)
    if area_px2 < _MIN_PX or float((corners[1] - corners[0]).max()) > _LONGEST * diameter_px:
        return None
    cut = Cut.of(grey, contour, corners, DISC_PX / diameter_px)
    if min(int(levels.sum()) for levels in (cut.in_levels, cut.rim_levels, cut.frame_levels)) < _MIN_PX:
        return None
    if not cut.has_edge:
        return None
    values: dict[str, float] = {}
    for compute, given in _GROUPS.items():
        if not given.isdisjoint(names):
            values |= compute(cut)
    return np.array([values.get(name, math.nan) for name in FEATURES], np.float64)


def _part_sizes(mask: UInt8Array) -> npt.NDArray[np.int32]:
    """Pixels of every connected part (8 neighbours) of a mask."""
    if not mask.any():
        return np.empty(0, np.int32)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    return np.asarray(stats[1:, cv2.CC_STAT_AREA], np.int32)


def _percentiles(levels: Int64Array, *percents: float) -> list[float]:
    """The grey levels, 0 or more, below which shares of a histogram (256,) lie; in proportion within a level."""
    total = [0, *np.cumsum(levels).tolist()]  # a list: a few look-ups are faster than in an array
    values = []
    for percent in percents:
        wanted = percent * (total[-1] / 100.0)
        level = min(bisect_left(total, wanted, 1) - 1, 255)
        part = (wanted - total[level]) / max(total[level + 1] - total[level], 1)
        values.append(max(level - 0.5 + part, 0.0))
    return values


def _contrast(first: float, second: float) -> float:
    return (first - second) / (first + second + 1.0)


def _echogenicity(cut: Cut) -> dict[str, float]:
    dark, middle, bright = _percentiles(cut.in_levels, 10.0, 50.0, 90.0)
    rim_dark, rim_middle, rim_bright = _percentiles(cut.rim_levels, 10.0, 50.0, 90.0)
    return {
        "rim_contrast": _contrast(middle, rim_middle),
        "dark_contrast": _contrast(dark, rim_dark),
        "bright_contrast": _contrast(bright, rim_bright),
        "frame_contrast": _contrast(middle, _percentiles(cut.frame_levels, 50.0)[0]),
        "spread": _contrast(bright, dark),
    }


def _composition(cut: Cut) -> dict[str, float]:
    inside, count = cut.inside, float(cut.in_levels.sum())
    dark = ((cut.calm[cut.box] < 0.4 * _percentiles(cut.in_levels, 75.0)[0]) & inside).astype(np.uint8)
    clump = float(_part_sizes(dark).max(initial=0))
    average = cv2.blur(cut.calm, (7, 7))[cut.box][inside].astype(np.float32)
    mean = float(average.mean()) + 1.0
    return {
        "dark_share": float(cv2.countNonZero(dark)) / count,
        "dark_clump": clump / count,
        "coarse_texture": float(average.std()) / mean,
        "fine_texture": float(np.abs(cut.sharp[cut.box][inside] - average).mean()) / mean,
    }


def _foci(cut: Cut) -> dict[str, float]:
    sharp, inside = cut.sharp[cut.box], cut.inside
    levels = np.bincount(sharp[inside], minlength=256)
    low, middle, high, peak = _percentiles(levels, 25.0, 50.0, 75.0, 99.5)
    spots = ((sharp > high + 2.0 * max(high - low, 4.0)) & inside).astype(np.uint8)
    count = int((_part_sizes(spots) >= _MIN_SPOT_PX).sum())
    shadow, deepest = _shadow(cut)
    return {
        "spot_share": float(cv2.countNonZero(spots)) / float(levels.sum()),
        "spot_count": math.log1p(count),
        "spot_peak": _contrast(peak, middle),
        "shadow": shadow,
        "shadow_deepest": deepest,
    }


def _shadow(cut: Cut) -> tuple[float, float]:
    """Grey below the nodule to grey beside that, and its darkest column to the others; 0 with no image below."""
    (x1_px, _), (x2_px, y2_px) = cut.corners_px.tolist()
    diameter_px = DISC_PX / cut.scale
    left, top = max(round(x1_px - _BESIDE * diameter_px), 0), round(y2_px + GAP_PX / cut.scale)
    right, bottom = round(x2_px + _BESIDE * diameter_px), top + round(_BELOW * diameter_px)
    window = np.ascontiguousarray(cut.grey[top : bottom : cut.every, left : right : cut.every])
    if not window.size:
        return 0.0, 0.0
    _, strip = calmed(window, cut.scale * cut.every)
    x1, x2 = (round((x_px - left) * cut.scale - 0.5) for x_px in (x1_px, x2_px))
    fifth = (x2 - x1) // 5
    under = strip[:, max(x1 + fifth, 0) : x2 - fifth]
    if strip.shape[0] < 8 or under.shape[1] < 8:
        return 0.0, 0.0
    columns = cv2.blur(under.mean(axis=0, dtype=np.float32)[None], (7, 1))[0] + 5.0
    deepest = math.log(float(columns.min()) / float(np.median(columns)))
    beside = np.concatenate([strip[:, : max(x1, 0)].ravel(), strip[:, x2 + 1 :].ravel()])
    beside = beside[beside > BLACK_LEVEL]
    if len(beside) < _MIN_PX:
        return 0.0, deepest
    return math.log((float(under.mean()) + 5.0) / (float(beside.mean()) + 5.0)), deepest


def _edge(cut: Cut) -> dict[str, float]:
    at = cut.across
    grey = cv2.remap(cut.calm.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR)
    outer, inner = grey[:2].mean(axis=0), grey[2:].mean(axis=0)
    steps = np.asarray((outer - inner) / (outer + inner + 10.0), np.float64)
    return {
        "edge_step": float(steps.mean()),
        "edge_strength": float(np.abs(steps).mean()),
        "edge_spread": float(steps.std()),
        "edge_weak": float(np.count_nonzero(np.abs(steps) < 0.1)) / len(steps),
    }


def _shape(cut: Cut) -> dict[str, float]:
    points = cut.points
    x, y = points.T
    area = signed_area(points)
    perimeter = float(np.hypot(np.roll(x, -1) - x, np.roll(y, -1) - y).sum())
    polygon = points.astype(np.float32)
    waves = np.abs(np.fft.fft(x + 1j * y)) / len(points)
    # On a circle that is traversed once, a wave of k periods per turn appears in the orders 1 + k and 1 - k.
    slow, fast = (float(np.linalg.norm([waves[1 + k], waves[1 - k]])) for k in _WAVES)
    return {
        "solidity": area / max(float(cv2.contourArea(cv2.convexHull(polygon))), 1e-6),
        "compactness": 4.0 * math.pi * area / max(perimeter, 1e-6) ** 2,
        "wobble_slow": slow / max(float(waves[1]), 1e-6),
        "wobble_fast": fast / max(float(waves[1]), 1e-6),
    }


# function → the features that it computes together
_GROUPS: dict[Callable[[Cut], dict[str, float]], frozenset[str]] = {
    _echogenicity: frozenset({"rim_contrast", "dark_contrast", "bright_contrast", "frame_contrast", "spread"}),
    _composition: frozenset({"dark_share", "dark_clump", "coarse_texture", "fine_texture"}),
    _foci: frozenset({"spot_share", "spot_count", "spot_peak", "shadow", "shadow_deepest"}),
    _edge: frozenset({"edge_step", "edge_strength", "edge_spread", "edge_weak"}),
    _shape: frozenset({"solidity", "compactness", "wobble_slow", "wobble_fast"}),
}
