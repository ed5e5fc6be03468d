"""Load and validate calibration files; the files themselves are in ``calibration/``."""

from usassist.calibrate.association import AssociationRule
from usassist.calibrate.geometry import Geometry, load_geometry
from usassist.calibrate.score import (
    DEFAULT_POINT,
    CalibrationSet,
    LabelScale,
    OperatingPoint,
    PointFigures,
    ScoreCalibration,
    load_score_calibration,
)

__all__ = [
    "DEFAULT_POINT",
    "AssociationRule",
    "CalibrationSet",
    "Geometry",
    "LabelScale",
    "OperatingPoint",
    "PointFigures",
    "ScoreCalibration",
    "load_geometry",
    "load_score_calibration",
]
