"""Pure functions on pixels, voxels and coordinates, without state and independent of runtime and modality."""

from usassist.frames.continuity import compute_thumbnail, goes_on, may_go_on
from usassist.frames.geometry import fill_labelmap, letterbox, letterbox_affine, to_grey
from usassist.frames.measure import measure
from usassist.frames.scan_area import ScanArea, find_scan_area
from usassist.frames.scan_border import ScanBorder, find_cut, find_scan_border
from usassist.frames.slabs import Slab, fill_volumes, infer_slices
from usassist.frames.windows import blend_windows, window_starts

__all__ = [
    "ScanArea",
    "ScanBorder",
    "Slab",
    "blend_windows",
    "compute_thumbnail",
    "fill_labelmap",
    "fill_volumes",
    "find_cut",
    "find_scan_area",
    "find_scan_border",
    "goes_on",
    "infer_slices",
    "letterbox",
    "letterbox_affine",
    "may_go_on",
    "measure",
    "to_grey",
    "window_starts",
]
