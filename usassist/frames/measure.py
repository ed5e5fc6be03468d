"""Sizes and shape of outlines, in pixels and, on a calibrated image, in millimetres with their uncertainty.

What each measure is, with its formula and source: ``docs/measurement.md``.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames.outlines import OutlineEdges
from usassist.records import Measurements, Segmentation

__all__ = ["measure"]

Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
UInt8Array = npt.NDArray[np.uint8]

# Standard uncertainty of a diameter from the pixel grid: at each of its two ends a rectangular distribution one pixel
# wide (JCGM 100:2008, 4.3.7).
_GRID_SD_PX = float(np.sqrt(2.0) * (1.0 / np.sqrt(12.0)))
# Of the perimeter, relative: that of ellipses is this right, also where the steps of the pixels differ by a fifth.
_PERIMETER_REL_SD = 0.01


def measure(
    segmentation: Segmentation,
    spacing_rc_mm: tuple[float, float] | None = None,
    spacing_rel_sd: float | None = None,
    diameter_rel_sd: float | None = None,
    cut: UInt8Array | None = None,
    ap_t_rel_sd: float | None = None,
) -> Measurements:
    """Measure every outline.

    The longest diameter is the greatest distance between two points of the outline's convex hull; the width is the
    extent at right angles to it, as a caliper is placed on the image. AP and transverse extent are those of the rows
    and of the columns. All include the half pixel on either side of the outermost pixel centres. The area is the pixel
    count of the filled outline. Perimeter and total curvature: :class:`usassist.frames.outlines.OutlineEdges`.

    The ends of longest diameter and width are as far apart as those are long. Where pixels are not square and there are
    millimetres, they are the ends of the millimetres, which stand at right angles on the image as it is shown.

    The standard uncertainty of a length is the root of the sum of squares of three components: the scale
    (`spacing_rel_sd`), the engine's outline (`diameter_rel_sd`, measured on labelled frames), and the pixel grid at
    both ends. The relative uncertainty of an area is the sum of those of the two diameters, as both derive from one
    outline and one scale. The expanded uncertainty has coverage factor 2 (JCGM 100:2008, 5.1.2 and 6.2).

    The AP/T ratio has its interval on a logarithmic scale, so that exchanging the axes inverts it. Its components are
    the engine's outline (`ap_t_rel_sd`; where it was not measured, the errors of the two extents count as independent)
    and the pixel grid. The scale cancels where pixels are square, because both steps are one figure then; otherwise the
    steps count as independent.

    Parameters
    ----------
    segmentation : outlines in image coordinates, px
    spacing_rc_mm : mm per px, row step first; None = not calibrated
    spacing_rel_sd : relative standard uncertainty of the spacing
    diameter_rel_sd : relative standard uncertainty of a diameter of the engine's outlines; None = not known
    cut : uint8 (N,), 1 where the border of the scan cuts it, from :func:`usassist.frames.find_cut`; None = not known
    ap_t_rel_sd : relative standard uncertainty of the AP/T ratio of the engine's outlines; None = not known

    Returns
    -------
    measurements : one row per outline; millimetres only if the spacing, its uncertainty and the engine's are all known
    """
    count = len(segmentation)
    if count == 0:
        return Measurements.empty()
    edges = OutlineEdges(segmentation, (1.0, 1.0) if spacing_rc_mm is None else spacing_rc_mm)
    hulls, hull_area_px2 = _hulls(segmentation)
    diameters_px, ends_px = _diameters(hulls, (1.0, 1.0))
    width_px, height_px = edges.extent_px.T
    # The hull of the pixels' squares, from that of their centres: the sum of a convex region and a unit square.
    solidity = edges.area_px2 / (hull_area_px2 + (width_px - 1.0) + (height_px - 1.0) + 1.0)
    perimeter_px = edges.perimeter((1.0, 1.0))
    in_px: dict[str, Any] = {
        "major_px": diameters_px[:, 0],
        "minor_px": diameters_px[:, 1],
        "area_px2": edges.area_px2,
        "ap_px": height_px,
        "transverse_px": width_px,
        "perimeter_px": perimeter_px,
        "solidity": np.minimum(solidity, 1.0),
        "total_curvature": edges.total_curvature(),
    }
    if spacing_rc_mm is None or spacing_rel_sd is None or diameter_rel_sd is None:
        return Measurements(**_float32(in_px | _ends(ends_px)), cut=cut)
    row_mm, column_mm = spacing_rc_mm
    is_square = row_mm == column_mm
    diameters_mm, ends_px = (diameters_px * row_mm, ends_px) if is_square else _diameters(hulls, spacing_rc_mm)
    lengths_mm = np.empty((count, 4), np.float32)
    lengths_mm[:, :2], lengths_mm[:, 2], lengths_mm[:, 3] = diameters_mm, height_px * row_mm, width_px * column_mm
    relative_sd, perimeter_rel_sd, grid_sd_mm = _uncertainties(spacing_rc_mm, spacing_rel_sd, diameter_rel_sd)
    u95_mm = 2.0 * np.hypot(lengths_mm * relative_sd, grid_sd_mm)
    relative_u95 = u95_mm[:, :2] / lengths_mm[:, :2]
    area_mm2 = edges.area_px2.astype(np.float32) * (row_mm * column_mm)
    perimeter_mm = perimeter_px * row_mm if is_square else edges.perimeter(spacing_rc_mm)
    ap_t = lengths_mm[:, 2] / lengths_mm[:, 3]
    ap_t_log_sd = np.sqrt(
        (2.0 * diameter_rel_sd**2 if ap_t_rel_sd is None else ap_t_rel_sd**2)
        + (0.0 if is_square else 2.0 * spacing_rel_sd**2)
        + (_GRID_SD_PX / height_px) ** 2
        + (_GRID_SD_PX / width_px) ** 2
    )
    in_mm: dict[str, Any] = {
        "major_mm": lengths_mm[:, 0],
        "minor_mm": lengths_mm[:, 1],
        "area_mm2": area_mm2,
        "major_u95_mm": u95_mm[:, 0],
        "minor_u95_mm": u95_mm[:, 1],
        "area_u95_mm2": area_mm2 * (relative_u95[:, 0] + relative_u95[:, 1]),
        "ap_mm": lengths_mm[:, 2],
        "transverse_mm": lengths_mm[:, 3],
        "perimeter_mm": perimeter_mm,
        "ap_u95_mm": u95_mm[:, 2],
        "transverse_u95_mm": u95_mm[:, 3],
        "perimeter_u95_mm": 2.0 * perimeter_mm * perimeter_rel_sd,
        "ap_t_low": ap_t * np.exp(-2.0 * ap_t_log_sd),
        "ap_t_high": ap_t * np.exp(2.0 * ap_t_log_sd),
    }
    return Measurements(**_float32(in_px | in_mm | _ends(ends_px)), cut=cut)


@lru_cache(maxsize=4)
def _uncertainties(
    spacing_rc_mm: tuple[float, float], spacing_rel_sd: float, diameter_rel_sd: float
) -> tuple[float, float, Float32Array]:
    """Relative standard uncertainty of a diameter and of a perimeter; and that of both diameters, AP and transverse
    extent from the pixel grid, mm, float32 (4,), not to be changed.
    """
    row_mm, column_mm = spacing_rc_mm
    relative_sd = float(np.hypot(spacing_rel_sd, diameter_rel_sd))
    steps_mm = np.array([max(spacing_rc_mm), max(spacing_rc_mm), row_mm, column_mm])
    perimeter_rel_sd = float(np.hypot(relative_sd, _PERIMETER_REL_SD))
    return relative_sd, perimeter_rel_sd, (_GRID_SD_PX * steps_mm).astype(np.float32)


def _ends(ends_px: Float64Array) -> dict[str, Any]:
    return {"major_ends_xy_px": ends_px[:, 0], "minor_ends_xy_px": ends_px[:, 1]}


def _float32(columns: dict[str, Any]) -> dict[str, Any]:
    return {name: column.astype(np.float32, copy=False) for name, column in columns.items()}


def _hulls(segmentation: Segmentation) -> tuple[npt.NDArray[np.complex128], Float64Array]:
    """Convex hull of every outline as x + iy, complex128 (N, M), filled up with its first point; and its area, px²."""
    hulls = [cv2.convexHull(contour) for contour in segmentation]
    points = np.empty((len(hulls), max(map(len, hulls))), np.complex128)
    for row, hull in zip(points, hulls, strict=True):
        row[: len(hull)] = hull[:, 0, 0] + 1j * hull[:, 0, 1]
        row[len(hull) :] = row[0]
    return points, np.array([cv2.contourArea(hull) for hull in hulls])


def _diameters(hulls: npt.NDArray[np.complex128], spacing_rc: tuple[float, float]) -> tuple[Float64Array, Float64Array]:
    """Longest diameter and the extent across it, in the unit of the spacing, float64 (N, 2); and their ends on the
    image, px, float64 (N, 2, 2, 2): outline, measure, end, x and y."""
    row_step, column_step = spacing_rc
    if (row_step, column_step) != (1.0, 1.0):
        hulls = hulls.real * column_step + 1j * (hulls.imag * row_step)
    longest = [_longest(hull) for hull in hulls]  # all at once would not fit into the cache
    direction = np.array([one.direction for one in longest])[:, None]
    # Of every point: how far it is along the diameter, and across it.
    place = hulls * np.conj(direction)
    lengths, turned = [], []
    # A few dozen points each: Python's own numbers are faster here than calls of numpy.
    for one, along, across in zip(longest, place.real.tolist(), place.imag.tolist(), strict=True):
        # A pixel adds its own extent in each direction.
        along_x, along_y = abs(one.direction.real), abs(one.direction.imag)
        pixel_along = along_x * column_step + along_y * row_step
        pixel_across = along_y * column_step + along_x * row_step
        low, high = min(across), max(across)
        # The caliper across stands in the middle between the two sides that it touches, each as long as it is flat.
        flat = 0.5 * pixel_across
        lower = [at for at, beside in zip(along, across, strict=True) if beside <= low + flat]
        upper = [at for at, beside in zip(along, across, strict=True) if beside >= high - flat]
        middle = 0.25 * min(lower) + 0.25 * max(lower) + 0.25 * min(upper) + 0.25 * max(upper)
        lengths.append((one.length + pixel_along, high - low + pixel_across))
        turned.append(
            (
                complex(along[one.second] - 0.5 * pixel_along, across[one.second]),
                complex(along[one.first] + 0.5 * pixel_along, across[one.first]),
                complex(middle, low - 0.5 * pixel_across),
                complex(middle, high + 0.5 * pixel_across),
            )
        )
    on_image = np.array(turned) * direction
    ends = [
        (
            _in_order(major_x[0], major_y[0], major_x[1], major_y[1], is_across=False),
            _in_order(major_x[2], major_y[2], major_x[3], major_y[3], is_across=True),
        )
        for major_x, major_y in zip(
            (on_image.real / column_step).tolist(), (on_image.imag / row_step).tolist(), strict=True
        )
    ]
    return np.array(lengths), np.array(ends)


class _Longest(NamedTuple):
    """The longest diameter of a hull: its length and its direction as x + iy, and which points are its ends."""

    length: float
    direction: complex
    first: int
    second: int


def _longest(hull: npt.NDArray[np.complex128]) -> _Longest:
    """Of the corners of one hull, complex128 (M,), those two that are furthest apart."""
    x, y = hull.real, hull.imag
    offset_x, offset_y = x[:, None] - x, y[:, None] - y
    squared = offset_x * offset_x + offset_y * offset_y
    first, second = divmod(int(squared.argmax()), len(x))
    most = float(squared[first, second])
    if most <= 0.0:
        return _Longest(0.0, 1.0 + 0.0j, first, second)
    length = math.sqrt(most)
    return _Longest(
        length,
        complex(float(offset_x[first, second]) / length + 0.0, float(offset_y[first, second]) / length),
        first,
        second,
    )


def _in_order(x1: float, y1: float, x2: float, y2: float, *, is_across: bool) -> tuple[tuple[float, float], ...]:
    """Two ends, that first which is less in x, or across in y; where both are equal, in the other one."""
    step_x, step_y = round((x2 - x1) * 1e6), round((y2 - y1) * 1e6)
    steps = (step_y, step_x) if is_across else (step_x, step_y)
    return ((x2, y2), (x1, y1)) if steps < (0, 0) else ((x1, y1), (x2, y2))
