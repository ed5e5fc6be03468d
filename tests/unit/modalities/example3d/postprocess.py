"""From scores to labels, and from labels to a volume in mL."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.records import LabelSpec
from usassist.volumes import Measurement, Volume


def label_slab(scores: npt.NDArray[Any], labels: tuple[LabelSpec, ...]) -> npt.NDArray[np.uint8]:
    """Scores (K, z, Y, X) → uint8 (z, Y, X): label id + 1 where that label's score is the highest and above its
    threshold, else 0."""
    best = scores.argmax(axis=0)
    thresholds = np.array([label.score_threshold for label in labels], np.float32)
    return np.where(scores.max(axis=0) >= thresholds[best], best + 1, 0).astype(np.uint8)


def measure_volume(voxels: int, label: LabelSpec, volume: Volume, diameter_rel_sd: float | None) -> Measurement:
    """Volume of a label in mL.

    A wrong spacing, and outlines that are drawn too wide, act on all three lengths alike, so their relative
    uncertainties count three times. The expanded uncertainty has coverage factor 2 (JCGM 100:2008, 5.1.2 and 6.2).

    Parameters
    ----------
    voxels : of that label
    diameter_rel_sd : relative standard uncertainty of a diameter of the engine's outlines; None = not measured
    """
    value_ml = voxels * volume.voxel_volume_mm3 / 1000.0
    if volume.spacing_rel_sd is None or diameter_rel_sd is None:
        which = "spacing" if volume.spacing_rel_sd is None else "engine's outlines"
        reason, u95_ml = f"the uncertainty of the {which} was not measured", None
    else:
        reason, u95_ml = "", 2.0 * 3.0 * math.hypot(volume.spacing_rel_sd, diameter_rel_sd) * value_ml
    return Measurement(
        name=f"{label.name}_volume", value=value_ml, unit="mL", u95=u95_ml, reason=reason, label_id=label.id
    )
