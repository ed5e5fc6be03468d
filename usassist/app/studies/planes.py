"""Which planes of a study are shown, and where they lie."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from usassist.volumes import Volume

if TYPE_CHECKING:
    from usassist.app.studies.answer import StudyOutcome

__all__ = ["plane_centre_lps_mm", "top_planes"]

_APART_MM = 5.0
_APART_PLANES = 2  # where the distance of the planes is not known


def plane_centre_lps_mm(volume: Volume, z: int) -> tuple[float, float, float]:
    """Where the centre of a plane lies in the patient: mm to the left, the back and the head."""
    _, rows, columns = volume.shape_zyx
    x, y, up, _ = volume.affine_ijk_to_lps_mm @ ((columns - 1) / 2.0, (rows - 1) / 2.0, z, 1.0)
    return round(float(x), 3), round(float(y), 3), round(float(up), 3)


def top_planes(outcome: StudyOutcome, count: int = 3) -> tuple[int, ...]:
    """The planes with the highest scores of the first label, highest first; empty where planes are not scored.

    Planes that lie within 5 mm of one that was taken already show the same, and are only taken where there are no
    others.
    """
    answer = outcome.result.answer
    scored = next((item for item in answer.plane_scores if item.label_id == 0), None) if answer is not None else None
    if scored is None:
        return ()
    volume = outcome.input.volume
    distance_mm = volume.spacing_zyx_mm[0]
    apart = max(round(_APART_MM / distance_mm), 1) if volume.spacing_is_known else _APART_PLANES
    order = [int(z) for z in np.argsort(-scored.scores, kind="stable")]
    taken: list[int] = []
    for least in (apart, 1):
        for z in order:
            if len(taken) < count and all(abs(z - other) >= least for other in taken):
                taken.append(z)
    return tuple(sorted(taken, key=order.index))
