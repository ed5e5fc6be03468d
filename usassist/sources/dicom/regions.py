"""The ultrasound regions of a DICOM header: how the scanner describes the parts of its screen.

A region is a limit for the crop, not the crop itself: scanners include texts beside the image, and some give the whole
screen with the banner. The scan area is searched inside the region.

The pixel deltas are stated by the scanner without an uncertainty; the source adds one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom import Dataset

from usassist.sources.dicom.timing import number_of

__all__ = ["Regions", "read_regions"]

Rectangle = tuple[int, int, int, int]

_FORMAT_2D, _FORMAT_M_MODE, _FORMAT_SPECTRAL = 1, 2, 3
_TYPE_TISSUE, _TYPE_COLOUR = 1, 2
_TYPES_SPECTRAL = frozenset({3, 4})  # pulsed and continuous wave
_UNIT_CM = 3
_MIN_SIDE_PX = 16
_MIN_SHARE = 0.02  # of the screen; a smaller region is no image
_BESIDE_SHARE = 0.5  # two views are side by side when they share this much of the lower one's height


@dataclass(frozen=True, slots=True, kw_only=True)
class Regions:
    """The regions of one file.

    Attributes
    ----------
    tissue_xyxy_px : rectangle around the B-mode image, or both halves of a dual view, px of the screen; None without
        a plausible region
    spacing_rc_mm : mm per px inside, row step first, by the header and without an uncertainty; None where it is not
        given, or differs between two views
    others : other content of the screen: ``colour Doppler``, ``spectral Doppler``, ``M-mode``
    """

    tissue_xyxy_px: Rectangle | None = None
    spacing_rc_mm: tuple[float, float] | None = None
    others: tuple[str, ...] = ()


def read_regions(sequence: Iterable[Dataset], grab_hw_px: tuple[int, int]) -> Regions:
    """Read the sequence of ultrasound regions.

    Parameters
    ----------
    sequence : its items; may be empty
    grab_hw_px : rows and columns of the screen, px
    """
    tissue: list[tuple[Rectangle, tuple[float, float] | None]] = []
    others: set[str] = set()
    for item in sequence:
        spatial, data = number_of(item, "RegionSpatialFormat"), number_of(item, "RegionDataType")
        if spatial == _FORMAT_SPECTRAL or data in _TYPES_SPECTRAL:
            others.add("spectral Doppler")
        elif spatial == _FORMAT_M_MODE:
            others.add("M-mode")
        elif spatial == _FORMAT_2D and data == _TYPE_COLOUR:
            others.add("colour Doppler")
        elif spatial == _FORMAT_2D and data == _TYPE_TISSUE:
            rectangle = _rectangle(item, grab_hw_px)
            if rectangle is not None:
                tissue.append((rectangle, _spacing_rc_mm(item)))
    if not tissue:
        return Regions(others=tuple(sorted(others)))
    largest = max(tissue, key=lambda entry: _area(entry[0]))
    views = [entry for entry in tissue if entry is largest or _beside(largest[0], entry[0])]
    edges = list(zip(*(rectangle for rectangle, _ in views), strict=True))
    spacings = {spacing for _, spacing in views}
    return Regions(
        tissue_xyxy_px=(min(edges[0]), min(edges[1]), max(edges[2]), max(edges[3])),
        spacing_rc_mm=largest[1] if len(spacings) == 1 else None,
        others=tuple(sorted(others)),
    )


def _rectangle(item: Dataset, grab_hw_px: tuple[int, int]) -> Rectangle | None:
    """Rectangle of the region, or None where it is not plausible.

    The last column and row count as outside: some scanners state the last pixel of the region, others the first one
    beyond it, and it is better to lose a row of the image than to include a row of the banner. At the edge of the image
    there is no banner beyond them, and they count as inside.
    """
    found = [number_of(item, f"RegionLocation{edge}") for edge in ("MinX0", "MinY0", "MaxX1", "MaxY1")]
    values = [int(value) for value in found if value is not None]
    if len(values) < 4:
        return None
    x1, y1, x2, y2 = values
    height_px, width_px = grab_hw_px
    if min(x1, y1) < 0 or x2 > width_px or y2 > height_px:
        return None
    x2, y2 = x2 + (x2 == width_px - 1), y2 + (y2 == height_px - 1)
    if min(x2 - x1, y2 - y1) < _MIN_SIDE_PX or (x2 - x1) * (y2 - y1) < _MIN_SHARE * height_px * width_px:
        return None
    return x1, y1, x2, y2


def _spacing_rc_mm(item: Dataset) -> tuple[float, float] | None:
    """Row step and column step in mm, where both deltas are in cm, the only unit of length of the tag."""
    steps_mm: list[float] = []
    for axis in ("Y", "X"):
        delta = number_of(item, f"PhysicalDelta{axis}")
        if number_of(item, f"PhysicalUnits{axis}Direction") != _UNIT_CM or not delta:
            return None
        steps_mm.append(10.0 * abs(delta))  # negative where the axis runs the other way
    row_mm, column_mm = steps_mm
    return (row_mm, column_mm) if math.isfinite(row_mm * column_mm) else None


def _area(rectangle: Rectangle) -> int:
    return (rectangle[2] - rectangle[0]) * (rectangle[3] - rectangle[1])


def _beside(main: Rectangle, other: Rectangle) -> bool:
    """True when the other is the second half of a dual view."""
    common_px = min(main[3], other[3]) - max(main[1], other[1])
    apart = other[0] >= main[2] or other[2] <= main[0]
    return apart and common_px >= _BESIDE_SHARE * min(main[3] - main[1], other[3] - other[1])
