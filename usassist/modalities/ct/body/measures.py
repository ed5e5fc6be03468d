"""Areas, mean HU and volumes of tissues, counted on a labelmap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.body.tissues import COMPARTMENT_OF, Compartment, Tissue
from usassist.volumes import Measurement, Volume

__all__ = ["MEASURED", "PlaneMeasures", "area_reason", "measure_plane", "pixel_area_mm2", "to_measurements"]

MEASURED = (Tissue.SKELETAL_MUSCLE, Tissue.SUBCUTANEOUS_FAT, Tissue.VISCERAL_FAT, Tissue.INTERMUSCULAR_FAT)
"""The tissues that are reported."""

_COVERAGE = 2.0  # JCGM 100:2008, 6.2: about 95 %


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneMeasures:
    """What was counted in one plane.

    Attributes
    ----------
    plane : index z
    area_cm2 : of the tissues of ``MEASURED``
    mean_hu, sd_hu : of the same; None where there is no voxel
    body_cm2 : of everything inside the skin
    wall_cm2 : of the muscular compartment: muscle, the fat in it, fascia; with the muscles of the back and psoas
    """

    plane: int
    area_cm2: Mapping[Tissue, float]
    mean_hu: Mapping[Tissue, float | None]
    sd_hu: Mapping[Tissue, float | None]
    body_cm2: float
    wall_cm2: float


def pixel_area_mm2(volume: Volume) -> float:
    """Area of a pixel of a plane, mm², also where rows and columns are not at right angles."""
    axes: Any = volume.affine_ijk_to_lps_mm[:3, :3]
    return float(np.linalg.norm(np.cross(axes[:, 0], axes[:, 1])))


def measure_plane(
    labels: npt.NDArray[np.uint8], plane_hu: npt.NDArray[np.generic], pixel_mm2: float, plane: int
) -> PlaneMeasures:
    """Count one plane.

    Parameters
    ----------
    labels : uint8 (Y, X), 0 or tissue + 1
    plane_hu : int16 or float32 (Y, X)
    pixel_mm2 : area of a pixel
    plane : its index, for the record
    """
    flat = labels.ravel()
    values = np.asarray(plane_hu, np.float64).ravel()
    size = len(Tissue) + 1
    counts = np.bincount(flat, minlength=size)
    sums = np.bincount(flat, weights=values, minlength=size)
    squares = np.bincount(flat, weights=values * values, minlength=size)
    area: dict[Tissue, float] = {}
    mean: dict[Tissue, float | None] = {}
    spread: dict[Tissue, float | None] = {}
    for tissue in MEASURED:
        count = int(counts[tissue + 1])
        area[tissue] = count * pixel_mm2 / 100.0
        mean[tissue] = float(sums[tissue + 1] / count) if count else None
        variance = squares[tissue + 1] / count - (sums[tissue + 1] / count) ** 2 if count else 0.0
        spread[tissue] = math.sqrt(max(float(variance), 0.0)) if count else None
    wall = sum(int(counts[tissue + 1]) for tissue, where in COMPARTMENT_OF.items() if where is Compartment.MUSCLE)
    return PlaneMeasures(
        plane=plane, area_cm2=area, mean_hu=mean, sd_hu=spread,
        body_cm2=int(counts[1:].sum()) * pixel_mm2 / 100.0, wall_cm2=wall * pixel_mm2 / 100.0,
    )  # fmt: skip


def area_reason(volume: Volume, outline_rel_sd: float | None, bound: str) -> str:
    """Why an area or a volume has no uncertainty; empty where it has one.

    Parameters
    ----------
    volume : with ``spacing_rel_sd`` where it was measured
    outline_rel_sd : relative standard uncertainty of a length of the engine's outlines; None = not measured
    bound : why the value is only a bound; empty = it is not
    """
    if bound:
        return bound
    if volume.spacing_rel_sd is None:
        return "the uncertainty of the spacing of this scanner was not measured with a phantom"
    if outline_rel_sd is None:
        return "the error of the engine's outlines was not measured against outlines drawn by people"
    return ""


def to_measurements(
    measures: PlaneMeasures,
    suffix: str,
    volume: Volume,
    outline_rel_sd: float | None,
    *,
    bound: str = "",
    height_m: float | None = None,
) -> list[Measurement]:
    """Records of one plane.

    Parameters
    ----------
    measures : of the plane
    suffix : of the names, for example ``l3``
    volume : for the uncertainty of lengths
    outline_rel_sd, bound : see :func:`area_reason`
    height_m : of the patient; None = no index
    """
    reason = area_reason(volume, outline_rel_sd, bound)
    rel_sd = 0.0 if reason else math.hypot(volume.spacing_rel_sd or 0.0, outline_rel_sd or 0.0)

    def of_lengths(name: str, value: float, unit: str, tissue: Tissue | None) -> Measurement:
        u95 = None if reason else _COVERAGE * 2.0 * rel_sd * value  # an area is a length squared
        label = None if tissue is None else int(tissue)
        return Measurement(name=f"{name}_{suffix}", value=value, unit=unit, u95=u95, reason=reason, label_id=label)

    records = [
        of_lengths(f"{tissue.name.lower()}_area", measures.area_cm2[tissue], "cm2", tissue) for tissue in MEASURED
    ]
    records.append(of_lengths("body_area", measures.body_cm2, "cm2", None))
    records.append(of_lengths("muscle_wall_area", measures.wall_cm2, "cm2", None))
    for tissue in MEASURED:
        value = measures.mean_hu[tissue]
        why = "the HU of this scanner were not calibrated" if value is not None else "there is no such tissue"
        name = f"{tissue.name.lower()}_mean_{suffix}"
        records.append(Measurement(name=name, value=value, unit="[hnsf'U]", reason=why, label_id=int(tissue)))
    if height_m is not None:
        index = measures.area_cm2[Tissue.SKELETAL_MUSCLE] / height_m**2
        why = bound or "the uncertainty of the height is not known"
        name = f"skeletal_muscle_index_{suffix}"
        records.append(
            Measurement(name=name, value=index, unit="cm2/m2", reason=why, label_id=int(Tissue.SKELETAL_MUSCLE))
        )
    return records
