"""Sizes of what was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from usassist.errors import RecordError
from usassist.records.checks import checked_array

__all__ = ["ApTState", "Measurements"]

UInt8Array = npt.NDArray[np.uint8]
Float32Array = npt.NDArray[np.float32]


class ApTState(StrEnum):
    """Whether a section is taller than wide: where the 95 % interval of its AP/T ratio lies."""

    TALLER = "taller"  # all of it above 1
    WIDER = "wider"  # all of it below 1
    UNCERTAIN = "uncertain"  # it includes 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Measurements:
    """Sizes of the outlines, one row per detection. What each is: ``docs/measurement.md``.

    Pixels are always there. Millimetres are there only on a calibrated frame, and then each with its expanded
    uncertainty (coverage factor 2, about 95 %; JCGM 100:2008, 6.2). The columns after ``area_u95_mm2`` came with
    ``result`` 1.5, the ends with 1.6; they are None in what was recorded before.

    A section that the border of the scan cuts is at least as large as what is seen of it. Its longest diameter, AP and
    transverse extent, perimeter and area are lower bounds then; nothing else is said about it, see :meth:`row`.

    Attributes
    ----------
    major_px, minor_px : float32 (N,), longest diameter of the outline and the widest extent across it
    area_px2 : float32 (N,)
    major_mm, minor_mm, area_mm2 : float32 (N,), or None when the frame is not calibrated
    major_u95_mm, minor_u95_mm, area_u95_mm2 : float32 (N,), half-width of the 95 % interval, or None likewise
    ap_px, transverse_px : float32 (N,), extent along the beam (rows) and across it (columns)
    perimeter_px : float32 (N,)
    solidity : float32 (N,), area over that of the convex hull, 0 to 1
    total_curvature : float32 (N,), how far the smoothed outline turns, in full turns; 1 = convex
    ap_mm, transverse_mm, perimeter_mm : float32 (N,), or None when the frame is not calibrated
    ap_u95_mm, transverse_u95_mm, perimeter_u95_mm : float32 (N,), half-width of the 95 % interval, or None likewise
    ap_t_low, ap_t_high : float32 (N,), 95 % interval of the AP/T ratio, or None likewise: without a scale pixels
        need not be square
    cut : uint8 (N,), 1 where the outline touches the border of the scan
    major_ends_xy_px : float32 (N, 2, 2), where the longest diameter begins and ends on the image: detection, end, x and
        y; image coordinates, the left end first. As far apart as `major_px`; where there are mm of pixels that are not
        square, as `major_mm`.
    minor_ends_xy_px : float32 (N, 2, 2), likewise of the widest extent across it, the upper end first; at right angles
        to it and between the sides that it touches, so that an end may lie beside the outline
    """

    major_px: Float32Array
    minor_px: Float32Array
    area_px2: Float32Array
    major_mm: Float32Array | None = None
    minor_mm: Float32Array | None = None
    area_mm2: Float32Array | None = None
    major_u95_mm: Float32Array | None = None
    minor_u95_mm: Float32Array | None = None
    area_u95_mm2: Float32Array | None = None
    ap_px: Float32Array | None = None
    transverse_px: Float32Array | None = None
    perimeter_px: Float32Array | None = None
    solidity: Float32Array | None = None
    total_curvature: Float32Array | None = None
    ap_mm: Float32Array | None = None
    transverse_mm: Float32Array | None = None
    perimeter_mm: Float32Array | None = None
    ap_u95_mm: Float32Array | None = None
    transverse_u95_mm: Float32Array | None = None
    perimeter_u95_mm: Float32Array | None = None
    ap_t_low: Float32Array | None = None
    ap_t_high: Float32Array | None = None
    cut: UInt8Array | None = None
    major_ends_xy_px: Float32Array | None = None
    minor_ends_xy_px: Float32Array | None = None

    PIXEL_COLUMNS: ClassVar[tuple[str, ...]] = ("major_px", "minor_px", "area_px2")
    MILLIMETRE_COLUMNS: ClassVar[tuple[str, ...]] = (
        "major_mm",
        "minor_mm",
        "area_mm2",
        "major_u95_mm",
        "minor_u95_mm",
        "area_u95_mm2",
    )
    SHAPE_COLUMNS: ClassVar[tuple[str, ...]] = ("ap_px", "transverse_px", "perimeter_px", "solidity", "total_curvature")
    SHAPE_MILLIMETRE_COLUMNS: ClassVar[tuple[str, ...]] = (
        "ap_mm",
        "transverse_mm",
        "perimeter_mm",
        "ap_u95_mm",
        "transverse_u95_mm",
        "perimeter_u95_mm",
        "ap_t_low",
        "ap_t_high",
    )
    ENDS_COLUMNS: ClassVar[tuple[str, ...]] = ("major_ends_xy_px", "minor_ends_xy_px")
    COLUMNS: ClassVar[tuple[str, ...]] = (
        *PIXEL_COLUMNS,
        *MILLIMETRE_COLUMNS,
        *SHAPE_COLUMNS,
        *SHAPE_MILLIMETRE_COLUMNS,
        "cut",
        *ENDS_COLUMNS,
    )

    def __post_init__(self) -> None:
        """Check that all columns have one length, and that mm never come without their uncertainty."""
        count = len(self.major_px)
        for names in (self.MILLIMETRE_COLUMNS, self.SHAPE_COLUMNS, self.SHAPE_MILLIMETRE_COLUMNS, self.ENDS_COLUMNS):
            given = [name for name in names if getattr(self, name) is not None]
            if len(given) not in (0, len(names)):
                raise RecordError(
                    f"{', '.join(names)} come together, so that mm come with their uncertainty or not at all, got only "
                    f"{', '.join(given)}"
                )
        if self.ap_mm is not None and (self.major_mm is None or self.ap_px is None):
            raise RecordError("ap_mm comes with major_mm and ap_px, or not at all")
        arrays = {}
        for name in self.COLUMNS:
            if (column := getattr(self, name)) is None:
                continue
            array = checked_array(column, np.uint8 if name == "cut" else np.float32, name)
            shape = (count, 2, 2) if name in self.ENDS_COLUMNS else (count,)
            if array.shape != shape:
                raise RecordError(f"{name} must be {shape}, got {array.shape}")
            object.__setattr__(self, name, array)
            if name not in self.ENDS_COLUMNS:
                arrays[name] = array
            elif not np.isfinite(array).all():
                raise RecordError(f"{name} must be finite")
        together = np.concatenate(list(arrays.values()), dtype=np.float32)
        if not (np.isfinite(together).all() and (together >= 0).all()):
            wrong = [name for name, array in arrays.items() if not ((array >= 0) & np.isfinite(array)).all()]
            raise RecordError(f"{', '.join(wrong)} must be finite and not negative")

    def __len__(self) -> int:
        """How many detections are measured."""
        return len(self.major_px)

    @property
    def calibrated(self) -> bool:
        """True when the sizes are also given in mm."""
        return self.major_mm is not None

    @property
    def ap_t(self) -> Float32Array | None:
        """AP over transverse extent, float32 (N,): of mm where there are mm, else of px as if they were square."""
        ap, transverse = (self.ap_px, self.transverse_px) if self.ap_mm is None else (self.ap_mm, self.transverse_mm)
        return None if ap is None or transverse is None else ap / transverse

    @property
    def equivalent_px(self) -> Float32Array:
        """Diameter of the circle of the same area, float32 (N,)."""
        return _equivalent(self.area_px2)

    @property
    def equivalent_mm(self) -> Float32Array | None:
        """As `equivalent_px`, in mm; None when the frame is not calibrated."""
        return None if self.area_mm2 is None else _equivalent(self.area_mm2)

    @property
    def equivalent_u95_mm(self) -> Float32Array | None:
        """Half-width of the 95 % interval of `equivalent_mm`, which follows from that of the area."""
        if self.area_mm2 is None or self.area_u95_mm2 is None:
            return None
        return _equivalent(self.area_mm2) * self.area_u95_mm2 / (2.0 * self.area_mm2)

    def is_cut(self, row: int) -> bool:
        """True when the border of the scan cuts the section, so that its sizes are lower bounds."""
        return self.cut is not None and bool(self.cut[row])

    def ap_t_state(self, row: int) -> ApTState | None:
        """Whether one section is taller than wide; None where it is cut, or there is no scale."""
        if self.ap_t_low is None or self.ap_t_high is None or self.is_cut(row):
            return None
        if self.ap_t_low[row] > 1.0:
            return ApTState.TALLER
        return ApTState.WIDER if self.ap_t_high[row] < 1.0 else ApTState.UNCERTAIN

    def row(self, row: int) -> dict[str, float | bool | str | list[list[float]] | None]:
        """Everything about one section, by name; None where it is not known.

        Of a section that is cut, an interval, the extent across the longest diameter and its ends, the AP/T ratio and
        the shape of the outline are not known.
        """
        names = self.PIXEL_COLUMNS + self.MILLIMETRE_COLUMNS
        values: dict[str, float | bool | str | list[list[float]] | None] = {
            name: _at(getattr(self, name), row) for name in names
        }
        if self.ap_px is not None:
            shape = self.SHAPE_COLUMNS + (self.SHAPE_MILLIMETRE_COLUMNS if self.calibrated else ())
            values |= {name: _at(getattr(self, name), row) for name in (*shape, *_DERIVED, "ap_t")}
            values["ap_t_state"] = None if (state := self.ap_t_state(row)) is None else str(state)
        if self.cut is not None:
            values["cut"] = self.is_cut(row)
        for name in self.ENDS_COLUMNS if self.major_ends_xy_px is not None else ():
            values[name] = getattr(self, name)[row].tolist()
        if self.is_cut(row):
            values |= {name: None for name in values if name not in _LOWER_BOUNDS}
        return values

    @classmethod
    @cache
    def empty(cls) -> Measurements:
        """Nothing to measure."""
        nothing = np.empty(0, np.float32)
        return cls(major_px=nothing, minor_px=nothing, area_px2=nothing)


_DERIVED = ("equivalent_px", "equivalent_mm", "equivalent_u95_mm")
_LOWER_BOUNDS = frozenset(
    ["cut", "area_px2", "area_mm2", "major_ends_xy_px"]
    + [f"{name}_{unit}" for name in ("major", "ap", "transverse", "perimeter", "equivalent") for unit in ("px", "mm")]
)


def _equivalent(area: Float32Array) -> Float32Array:
    diameter: Float32Array = np.sqrt(area * np.float32(4.0 / np.pi))
    return diameter


def _at(column: Float32Array | None, row: int) -> float | None:
    return None if column is None else float(column[row])
