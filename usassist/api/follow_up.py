"""Lengths of a nodule from a result, for the volume and growth of :mod:`usassist.clinical`.

Which plane a frame shows is known to whoever holds the probe, not to the engine, so frames are chosen by the caller.
"""

from __future__ import annotations

from typing import Literal

from usassist.api.result import FrameResult
from usassist.clinical import Growth, GrowthState, Quantity, judge_growth, volume_ml
from usassist.errors import UsageError

__all__ = ["Growth", "GrowthState", "Quantity", "diameter_mm", "judge_growth", "volume_ml"]

Length = Literal["major", "minor", "ap", "transverse", "equivalent"]


def diameter_mm(result: FrameResult, name: Length, row: int = 0) -> Quantity:
    """A length of one nodule of a result, mm.

    Parameters
    ----------
    result : of a frame with a scale
    name : which length, see ``docs/measurement.md``
    row : number of the nodule in the result

    Raises
    ------
    UsageError
        If there is no such nodule, it has no size in mm, or the border of the scan cuts it, so that there is only a
        lower bound.
    """
    sizes = result.sizes
    if not 0 <= row < len(sizes):
        raise UsageError(f"frame {result.frame_id} has {len(sizes)} nodules, there is no number {row}; choose another")
    values = sizes.row(row)
    value, u95 = values.get(f"{name}_mm"), values.get(f"{name}_u95_mm")
    if sizes.is_cut(row):
        raise UsageError(f"the border of the scan cuts nodule {row} of frame {result.frame_id}; choose another frame")
    if not isinstance(value, float) or not isinstance(u95, float):
        raise UsageError(f"nodule {row} of frame {result.frame_id} has no {name}_mm; give the Engine a scale")
    return Quantity(value=value, u95=u95)
