"""The scale of a frame: what each origin states, and which one holds.

The order is the DICOM header or the OpenIGTLink sender, a geometry calibration, the ruler on the screen, two points set
by hand. The first one counts, and all that are known have to agree: two that differ beyond their uncertainties leave
the frame without a scale, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from usassist.calibrate import Geometry
from usassist.sources.ruler import PLAUSIBLE_DEPTH_MM, RulerReading

__all__ = ["Claim", "ScaleMode", "combine", "depth_is_plausible", "profile_claim", "ruler_claim"]

ScaleMode = Literal["auto", "profile", "none"]

_COVERAGE = 3.0  # standard uncertainties of a difference, beyond which two scales disagree
_ORIGINS = {
    "scale_by_dicom": "the DICOM header",
    "scale_by_ruler": "the ruler on the screen",
    "scale_by_hand": "two points set by hand",
    "scale_by_openigtlink": "the OpenIGTLink sender",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A scale by one origin.

    Attributes
    ----------
    spacing_rc_mm : mm per px, row step first
    spacing_rel_sd : its relative standard uncertainty
    calibration_id : of the geometry file; ``scale_by_dicom``, ``scale_by_openigtlink``, ``scale_by_ruler``,
        ``scale_by_hand``; None where a source knows it itself
    """

    spacing_rc_mm: tuple[float, float]
    spacing_rel_sd: float
    calibration_id: str | None = None

    @property
    def origin(self) -> str:
        """The origin, for a message."""
        if self.calibration_id is None:
            return "the source"
        return _ORIGINS.get(self.calibration_id, f"calibration {self.calibration_id}")


def combine(claims: Sequence[Claim]) -> tuple[Claim | None, str]:
    """The scale that holds, and why there is none.

    Parameters
    ----------
    claims : in their order of rank

    Returns
    -------
    claim : the first; None without claims, or where two disagree
    reason : why there is none; empty where there is one, and without claims
    """
    for at, one in enumerate(claims):
        for other in claims[at + 1 :]:
            limit = _COVERAGE * float(np.hypot(one.spacing_rel_sd, other.spacing_rel_sd))
            if np.abs(np.log(np.divide(one.spacing_rc_mm, other.spacing_rc_mm))).max() > limit:
                return None, f"{one.origin} and {other.origin} state different scales"
    return (claims[0], "") if claims else (None, "")


def depth_is_plausible(spacing_rc_mm: tuple[float, float], rows_px: int) -> bool:
    """True when an image of so many rows has a depth between 20 and 300 mm at this scale."""
    return PLAUSIBLE_DEPTH_MM[0] <= rows_px * spacing_rc_mm[0] <= PLAUSIBLE_DEPTH_MM[1]


def profile_claim(geometry: Geometry | None) -> Claim | None:
    """What a geometry calibration states; None without one, and where it states only the scan area."""
    if geometry is None or geometry.spacing_rc_mm is None or geometry.spacing_rel_sd is None:
        return None
    return Claim(
        spacing_rc_mm=geometry.spacing_rc_mm,
        spacing_rel_sd=geometry.spacing_rel_sd,
        calibration_id=geometry.calibration_id,
    )


def ruler_claim(reading: RulerReading) -> Claim:
    """What the ruler on the screen states."""
    return Claim(
        spacing_rc_mm=reading.spacing_rc_mm, spacing_rel_sd=reading.spacing_rel_sd, calibration_id="scale_by_ruler"
    )
