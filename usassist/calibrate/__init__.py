"""Load and validate calibration files; the files themselves are in ``calibration/``."""

from usassist.calibrate.association import AssociationRule
from usassist.calibrate.geometry import Geometry, load_geometry
from usassist.calibrate.score import (
    DEFAULT_POINT,
    LabelScale,
    OperatingPoint,
    ScoreCalibration,
    load_score_calibration,
)

__all__ = [
    "DEFAULT_POINT",
    "AssociationRule",
    "Geometry",
    "LabelScale",
    "OperatingPoint",
    "ScoreCalibration",
    "load_geometry",
    "load_score_calibration",
]
