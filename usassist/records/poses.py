"""Where a probe or another tool was when a frame was taken, as a tracker states it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from usassist.common.wire_fields import Int64
from usassist.errors import RecordError

__all__ = ["Matrix3x4", "Pose", "PoseStatus"]

Matrix3x4 = tuple[float, float, float, float, float, float, float, float, float, float, float, float]
"""The first three rows of a 4 x 4 matrix, row by row, whose last row is 0, 0, 0, 1."""


class PoseStatus(StrEnum):
    """Whether there is a pose for a frame."""

    VALID = "valid"
    INVALID = "invalid"  # the tracker says that it did not see the tool
    STALE = "stale"  # it was stated last for another time than that of the frame
    MISSING = "missing"  # it was never stated, or the frame has no time to match it by


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """One pose of one frame.

    Attributes
    ----------
    name : as the sender names it, for example ``ProbeToReference``
    status : see :class:`PoseStatus`
    matrix_mm : maps a point of the first system to the second; its translation in mm. None exactly where the
        status is not ``valid``
    sender_stamp_ns : when it was stated, ns since 1970 on the sender's clock; of a stale one, the nearest that there is
    """

    name: str
    status: PoseStatus
    matrix_mm: Matrix3x4 | None = None
    sender_stamp_ns: Int64 | None = None

    def __post_init__(self) -> None:
        """Check that a pose that is not valid has no matrix, so that none is taken for it."""
        if not self.name:
            raise RecordError("a pose needs a name")
        if (self.matrix_mm is not None) != (self.status is PoseStatus.VALID):
            raise RecordError(f"pose {self.name} is {self.status}: it has a matrix exactly when it is valid")
        if self.matrix_mm is not None and not all(map(math.isfinite, self.matrix_mm)):
            raise RecordError(f"the matrix of pose {self.name} must be finite")
