"""Find the vertebral levels of a CT volume by geometry: no network, no learned weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.errors import VolumeError
from usassist.modalities.ct.spine.canal import find_canal
from usassist.modalities.ct.spine.discs import BODY_FRONT_MM, Discs, find_discs
from usassist.modalities.ct.spine.grid import WorkGrid, make_grid
from usassist.modalities.ct.spine.landmarks import find_landmarks
from usassist.modalities.ct.spine.naming import Naming, name_of, name_vertebrae
from usassist.modalities.ct.spine.straight import Curve, make_curve
from usassist.volumes import Volume

__all__ = ["SpineLevels", "VertebraLevel", "find_levels"]

Float64Array = npt.NDArray[np.float64]
Point = tuple[float, float, float]

_THICKEST_MM = 6.0
_LEAST_DISCS = 2
_UNSEEN_DISC = 0.45
_CLEAR_DISC = 0.6  # evidence below this lowers the confidence of what is counted across it


@dataclass(frozen=True, slots=True, kw_only=True)
class VertebraLevel:
    """One vertebra.

    Attributes
    ----------
    name : ``T11``, ``L3``, ``S1`` …; empty = not named
    centre_lps_mm : x, y, z of the middle of its body
    plane : index k of the plane through its middle; None where the planes of the volume are not transverse
    planes : first and last plane between the middles of its discs, within the volume; None likewise
    z_range_mm : z of the middles of its discs, on the axis of the bodies; estimated where a disc is not in the volume
    is_whole : both discs are in the volume
    confidence : 0 to 1, that the name is right; 0 = not named
    reason : why not higher; empty = nothing to say
    """

    name: str
    centre_lps_mm: Point
    plane: int | None
    planes: tuple[int, int] | None
    z_range_mm: tuple[float, float]
    is_whole: bool
    confidence: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpineLevels:
    """The vertebrae of a volume.

    Attributes
    ----------
    is_named : False = vertebrae may have been found, but not which ones they are
    vertebrae : from below upwards; S2 and what lies below it are left out once the levels are named
    confidence : 0 to 1, that the count is right; of the best count where `is_named` is False
    reason : what the names rest on, or what is missing
    landmarks : those seen
    lumbar : vertebrae counted between the sacrum and the last ribs; None unless both are seen. Other than 5,
        levels are not named: the anatomy may be transitional
    discs_lps_mm : middles of the discs, from below upwards
    canal_lps_mm : points along the middle of the canal, from below upwards
    """

    is_named: bool
    vertebrae: tuple[VertebraLevel, ...]
    confidence: float
    reason: str
    landmarks: tuple[str, ...] = ()
    lumbar: int | None = None
    discs_lps_mm: tuple[Point, ...] = ()
    canal_lps_mm: tuple[Point, ...] = ()

    def vertebra(self, level: str) -> VertebraLevel:
        """The vertebra of that name.

        Raises
        ------
        VolumeError : where levels are not named, or this one is not in the volume; the message has the reason
        """
        if not self.is_named:
            raise VolumeError(f"{level} was not found: {self.reason}; or give the plane yourself")
        for item in self.vertebrae:
            if item.name == level:
                return item
        there = ", ".join(item.name for item in reversed(self.vertebrae))
        raise VolumeError(f"{level} is not in the volume; it shows {there}")

    def plane_of(self, level: str) -> int:
        """Index k of the plane through the middle of a vertebra; raises as :meth:`vertebra` does."""
        plane = self.vertebra(level).plane
        if plane is None:
            raise VolumeError("the planes of this volume are not transverse; resample it to transverse planes")
        return plane


def find_levels(volume: Volume) -> SpineLevels:
    """Find and name the vertebrae of a CT volume.

    Parameters
    ----------
    volume : CT in HU, slices up to 6 mm apart, with at least three vertebrae

    Returns
    -------
    levels : with the reason where nothing was found or named

    Raises
    ------
    VolumeError : where the volume is no CT in HU or its extent makes no sense
    """
    spacing = volume.spacing_zyx_mm
    if max(spacing) > _THICKEST_MM:
        return _nothing(f"voxels are {max(spacing):.1f} mm apart, more than {_THICKEST_MM:.0f} mm; take thinner slices")
    grid = make_grid(volume)
    track = find_canal(grid)
    if track is None:
        return _nothing("no spinal canal was found over 60 mm; the volume needs at least three vertebrae")
    curve = make_curve(grid, track)
    discs = find_discs(curve)
    if len(discs.along) < _LEAST_DISCS:
        return _nothing(f"{len(discs.along)} disc was found; at least {_LEAST_DISCS} are needed to count vertebrae")
    bounds, is_whole = _bounds(discs)
    centres = (bounds[:-1] + bounds[1:]) / 2
    naming = name_vertebrae(find_landmarks(curve, centres, np.diff(bounds)), centres)
    vertebrae = []
    for index in range(len(centres)):
        vertebra = _vertebra(curve, volume, bounds, index, is_whole[index], discs, naming)
        if vertebra is not None:
            vertebrae.append(vertebra)
    axis = range(0, len(curve.xyz), 4)
    return SpineLevels(
        is_named=naming.lowest is not None,
        vertebrae=tuple(vertebrae),
        confidence=naming.confidence,
        reason=naming.reason,
        landmarks=naming.landmarks,
        lumbar=naming.lumbar,
        discs_lps_mm=tuple(curve.to_lps_mm(float(along), BODY_FRONT_MM) for along in discs.along),
        canal_lps_mm=tuple(curve.to_lps_mm(float(along), 0.0) for along in axis),
    )


def _nothing(reason: str) -> SpineLevels:
    return SpineLevels(is_named=False, vertebrae=(), confidence=0.0, reason=reason)


def _bounds(discs: Discs) -> tuple[Float64Array, list[bool]]:
    """Middles of the discs, with guesses beyond them where a vertebra lies half in the volume.

    Two below: the lumbosacral disc is the steepest and may not be seen. One above.
    """
    bounds = [float(value) for value in discs.along]
    whole = [True] * (len(bounds) - 1)
    inside = np.flatnonzero(discs.has_body)
    below, above = bounds[1] - bounds[0], bounds[-1] - bounds[-2]
    while inside[0] <= bounds[0] - 0.5 * below and len(whole) < len(discs.along) + 1:
        bounds, whole = [bounds[0] - below, *bounds], [False, *whole]
    if inside[-1] >= bounds[-1] + 0.5 * above:
        bounds, whole = [*bounds, bounds[-1] + above], [*whole, False]
    return np.array(bounds), whole


def _vertebra(
    curve: Curve, volume: Volume, bounds: Float64Array, index: int, is_whole: bool, discs: Discs, naming: Naming
) -> VertebraLevel | None:
    number = None if naming.lowest is None else naming.lowest + index
    if number is not None and number < 0:
        return None
    low, high = float(bounds[index]), float(bounds[index + 1])
    z_low, z_high = (curve.to_lps_mm(along, BODY_FRONT_MM)[2] for along in (low, high))
    planes, plane = None, None
    if _is_transverse(curve.grid):
        k = sorted(_plane(curve, along) for along in (low, high))
        last = volume.shape_zyx[0] - 1
        planes = (int(np.clip(np.ceil(k[0]), 0, last)), int(np.clip(np.floor(k[1]), 0, last)))
        plane = int(np.clip(round(_plane(curve, (low + high) / 2)), 0, last))
    confidence, reason = 0.0, ""
    if number is not None:
        near = [float(e) for e, along in zip(discs.evidence, discs.along, strict=True) if low - 1 <= along <= high + 1]
        clear = min(1.0, min(near, default=_UNSEEN_DISC) / _CLEAR_DISC)
        confidence = naming.confidence * clear
        if not near:
            reason = "neither of its discs was found; its place is a guess from the vertebra above"
        elif clear < 1.0:
            reason = "a disc beside it is hard to see"
        elif not is_whole:
            reason = "one of its discs is not in the volume"
    return VertebraLevel(
        name="" if number is None else name_of(number),
        centre_lps_mm=curve.to_lps_mm((low + high) / 2, BODY_FRONT_MM),
        plane=plane,
        planes=planes,
        z_range_mm=(z_low, z_high),
        is_whole=is_whole,
        confidence=round(confidence, 3),
        reason=reason,
    )


def _is_transverse(grid: WorkGrid) -> bool:
    """Whether z of the patient runs along k of the volume."""
    return bool(abs(grid.to_voxel[2, 2]) > 0)


def _plane(curve: Curve, along: float) -> float:
    cell = curve.points(np.array(along), np.array(BODY_FRONT_MM), np.array(0.0))
    return float((curve.grid.to_voxel @ np.append(cell, 1.0))[2])
