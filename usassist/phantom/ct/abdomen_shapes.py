"""The records of a simulated abdomen: sizes and contents; coordinates as in ``abdomen_plan``."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["ANGLES", "LEVELS", "AbdomenPlan", "Blob"]

FloatArray = npt.NDArray[np.float32]

ANGLES = 1440
"""Samples of a polar function, from 0 (the patient's left) over a quarter (the back)."""

LEVELS = ("L5", "L4", "L3", "L2", "L1", "T12", "T11")


@dataclass(frozen=True, slots=True)
class Blob:
    """A rounded body in the cavity: an ellipsoid whose outline in the plane is wavy.

    Attributes
    ----------
    centre, radii : x, y, z, mm
    turn : of the first axis from x, rad
    waves : amplitude and phase of the second to fifth wave along the outline
    kind : decides how it is filled
    hu : of its inside
    shell_hu, shell_mm : of its wall; 0 mm = none
    """

    centre: tuple[float, float, float]
    radii: tuple[float, float, float]
    turn: float
    waves: tuple[tuple[float, float], ...]
    kind: str
    hu: float
    shell_hu: float = 0.0
    shell_mm: float = 0.0


@dataclass(slots=True)
class AbdomenPlan:
    """One drawn abdomen; see the fields' names. Lengths in mm, values in HU. Polar functions have 1440 samples."""

    seed: int
    body_type: str
    scale: float
    half_width: float
    anterior: float
    posterior: float
    power_anterior: float
    power_posterior: float
    waist: float
    groove: float
    outline_waves: FloatArray
    fat_mm: FloatArray
    skin_mm: float
    wall_mm: float
    wall_waves: FloatArray
    back_thinning: float
    chest_mm: float
    oedema: float
    fascia_share: float
    rectus_mm: float
    rectus_half_width: float
    linea_alba_mm: float
    semilunar_mm: float
    layer_gap: float
    openings: tuple[tuple[float, float, float, float, float], ...]
    erector_end: float
    erector_start_y: float
    erector_power: float
    erector_taper: float
    psoas_mm: tuple[float, float]
    quadratus_mm: float
    muscle_hu: float
    muscle_fat: float
    fat_hu: float
    visceral_hu: float
    skin_hu: float
    bone_hu: float
    rib_drop: float
    rib_count: int
    cartilage_hu: float
    spacing_vertebra: float
    lung_base_z: float
    ascites: bool
    blobs: tuple[Blob, ...] = ()
    table: dict[str, float] = field(default_factory=dict)
    arms: tuple[tuple[float, float, float, float, float], ...] = ()

    def level_centres_z_mm(self) -> dict[str, float]:
        """z of the centre of each vertebral body, mm."""
        steps = {"L5": -2.0, "L4": -1.0, "L3": 0.0, "L2": 1.0, "L1": 1.98, "T12": 2.88, "T11": 3.72}
        return {name: step * self.spacing_vertebra for name, step in steps.items()}
