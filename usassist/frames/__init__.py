"""Pure functions on pixels and coordinates: no state, no runtime, no modality."""

from usassist.frames.geometry import fill_labelmap, letterbox, letterbox_affine, to_grey
from usassist.frames.measure import measure
from usassist.frames.scan_area import ScanArea, find_scan_area

__all__ = ["ScanArea", "fill_labelmap", "find_scan_area", "letterbox", "letterbox_affine", "measure", "to_grey"]
