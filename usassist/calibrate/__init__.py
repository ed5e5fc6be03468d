"""Load and check calibration files; the files themselves lie in ``calibration/``."""

from usassist.calibrate.geometry import Geometry, load_geometry

__all__ = ["Geometry", "load_geometry"]
