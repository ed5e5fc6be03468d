"""Tissues of body composition: a compartment that the engine finds, and a range of HU that was published for it.

HU alone do not tell muscle from liver or bowel, nor subcutaneous from visceral fat; compartments alone do not tell
muscle from the fat between its fibres.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["COMPARTMENT_OF", "RANGES", "Compartment", "HuRange", "Tissue", "label_tissues"]

UInt8Array = npt.NDArray[np.uint8]


class Compartment(IntEnum):
    """Channels of the engine's output."""

    OUTSIDE = 0
    SUBCUTANEOUS = 1
    MUSCLE = 2
    CAVITY = 3
    BONE = 4


class Tissue(IntEnum):
    """Label ids of the engine; in a labelmap one more."""

    SKELETAL_MUSCLE = 0
    SUBCUTANEOUS_FAT = 1
    VISCERAL_FAT = 2
    INTERMUSCULAR_FAT = 3
    BONE = 4
    ABDOMINAL_CONTENTS = 5
    SUBCUTANEOUS_OTHER = 6
    MUSCLE_OTHER = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class HuRange:
    """From `low_hu` to `high_hu`, both included.

    Attributes
    ----------
    low_hu, high_hu : HU
    source : who published it
    """

    low_hu: int
    high_hu: int
    source: str


RANGES: dict[Tissue, HuRange] = {
    Tissue.SKELETAL_MUSCLE: HuRange(
        low_hu=-29, high_hu=150, source="Hamaguchi Y et al. 2018, PMC5879966, figure 1; after Mitsiopoulos 1998"
    ),
    Tissue.SUBCUTANEOUS_FAT: HuRange(
        low_hu=-190, high_hu=-30, source="Hamaguchi Y et al. 2018, PMC5879966, figure 1; after Kvist 1988"
    ),
    Tissue.VISCERAL_FAT: HuRange(
        low_hu=-150, high_hu=-50, source="Hamaguchi Y et al. 2018, PMC5879966, figure 1; after Vehmas 1996"
    ),
    Tissue.INTERMUSCULAR_FAT: HuRange(
        low_hu=-190, high_hu=-30, source="Goodpaster BH et al. Am J Clin Nutr 2000;71:885-892"
    ),
}
"""Tissue → range; the sources of the first three were read, the papers that they follow were not."""

COMPARTMENT_OF: dict[Tissue, Compartment] = {
    Tissue.SKELETAL_MUSCLE: Compartment.MUSCLE,
    Tissue.INTERMUSCULAR_FAT: Compartment.MUSCLE,
    Tissue.MUSCLE_OTHER: Compartment.MUSCLE,
    Tissue.SUBCUTANEOUS_FAT: Compartment.SUBCUTANEOUS,
    Tissue.SUBCUTANEOUS_OTHER: Compartment.SUBCUTANEOUS,
    Tissue.VISCERAL_FAT: Compartment.CAVITY,
    Tissue.ABDOMINAL_CONTENTS: Compartment.CAVITY,
    Tissue.BONE: Compartment.BONE,
}
"""Every tissue lies in one compartment, so a labelmap has the compartments too."""

_OTHERS = {
    Compartment.SUBCUTANEOUS: Tissue.SUBCUTANEOUS_OTHER,
    Compartment.MUSCLE: Tissue.MUSCLE_OTHER,
    Compartment.CAVITY: Tissue.ABDOMINAL_CONTENTS,
    Compartment.BONE: Tissue.BONE,
}


def label_tissues(compartments: UInt8Array, plane_hu: npt.NDArray[Any]) -> UInt8Array:
    """Tissues of a plane, as in a labelmap: 0 outside the body, else tissue + 1.

    Parameters
    ----------
    compartments : uint8 (Y, X), values of :class:`Compartment`
    plane_hu : int16 or float32 (Y, X)
    """
    table = np.zeros(len(Compartment), np.uint8)
    for compartment, tissue in _OTHERS.items():
        table[compartment] = tissue + 1
    labels = table[compartments]
    for tissue, hu in RANGES.items():
        inside = (compartments == COMPARTMENT_OF[tissue]) & (plane_hu >= hu.low_hu) & (plane_hu <= hu.high_hu)
        labels[inside] = tissue + 1
    return labels
