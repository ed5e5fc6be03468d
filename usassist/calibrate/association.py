"""The rule by which findings are associated over the frames of a stream; part of an operating point.

In a score file it is a table of the point, and is absent where every frame is answered alone::

    [points.association]
    alone = 0.9         # shown at once, whatever was there before
    rise = 0.75         # shown where the frames before have a candidate in the same place
    release = 0.4       # shown where the frames before show a nodule in the same place
    frames = 3          # how many answered frames before count
    iou = 0.3           # of two boxes, from which they are in the same place

The three scores are calibrated ones. ``usassist.modalities.ultrasound.association`` applies the rule.
"""

from __future__ import annotations

from dataclasses import dataclass

from usassist.errors import CalibrationError

__all__ = ["MAX_FRAMES", "AssociationRule"]

MAX_FRAMES = 30
"""A rule looks back no further: an outline of a second ago says little about a probe that is moved by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationRule:
    """Which candidates of a frame are shown, by what the frames before it had in the same place.

    Attributes
    ----------
    alone : calibrated score from which a candidate is shown at once; 1 = practically never
    rise : from which it is shown when a candidate was there before
    release : from which it is shown when a nodule was shown there before; lower candidates are ignored
    frames : how many answered frames before count, 1 to 30
    iou : least IoU of two boxes in the same place, above 0 and below 1

    Raises
    ------
    CalibrationError
        If a value is out of range, or the scores are not in the order 0 < release <= rise <= alone <= 1.
    """

    alone: float
    rise: float
    release: float
    frames: int
    iou: float

    def __post_init__(self) -> None:
        """Check ranges and order."""
        if not 0.0 < self.release <= self.rise <= self.alone <= 1.0:
            raise CalibrationError(
                "the scores of an association must be in the order 0 < release <= rise <= alone <= 1, got "
                f"{self.release:g}, {self.rise:g} and {self.alone:g}; fit it again"
            )
        if not 1 <= self.frames <= MAX_FRAMES:
            raise CalibrationError(
                f"frames of an association must lie in 1 to {MAX_FRAMES}, got {self.frames}; fit it again"
            )
        if not 0.0 < self.iou < 1.0:
            raise CalibrationError(f"iou of an association must lie between 0 and 1, got {self.iou:g}; fit it again")
