"""The part of an ultrasound screen that is kept: the scan area, inside the region that the header states."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from usassist.dicom.deidentify.pictures import Pictures
from usassist.dicom.deidentify.refused import RefusedError
from usassist.errors import ScanAreaError
from usassist.frames import find_scan_area

__all__ = ["Area", "find_kept_area", "sampled_views"]

Area = tuple[int, int, int, int]

_SEARCHES = 3  # each on other frames
_FRAMES_PER_SEARCH = 8


def find_kept_area(pictures: Pictures, crop: Area | None) -> Area:
    """The rectangle that is kept, x1, y1, x2, y2 in px; x2 and y2 exclusive.

    Where the header states the region of the B-mode image, the scan area is searched inside it: what is kept lies in
    both. A scanner's region alone is not enough, because it may hold the banner.

    Parameters
    ----------
    crop : what the user says is the scan area; it is taken as it is

    Raises
    ------
    RefusedError
        If the scan area is not found, or `crop` does not lie on the screen.
    """
    height_px, width_px = pictures.header.hw_px
    if crop is not None:
        if not (0 <= crop[0] < crop[2] <= width_px and 0 <= crop[1] < crop[3] <= height_px):
            raise RefusedError(f"the rectangle of --crop does not lie on its screen of {width_px} x {height_px} px")
        return crop
    x1, y1, x2, y2 = pictures.header.regions.tissue_xyxy_px or (0, 0, width_px, height_px)
    for views in sampled_views(pictures):
        try:
            left, top, right, bottom = find_scan_area([view[y1:y2, x1:x2] for view in views]).xyxy_px
        except ScanAreaError:
            continue
        return x1 + left, y1 + top, x1 + right, y1 + bottom
    raise RefusedError("its scan area was not found; give it with --crop X1,Y1,X2,Y2")


def sampled_views(pictures: Pictures) -> Iterator[list[npt.NDArray[np.uint8]]]:
    """Images spread over the whole cine, other ones for each search; at most eight at a time, three times."""
    count = len(pictures.spans)
    for first in range(min(_SEARCHES, count)):
        spread = np.linspace(first, count - 1, min(_FRAMES_PER_SEARCH, count - first)).astype(int)
        yield [pictures.views(frame)[0] for frame in pictures.samples(sorted(set(spread.tolist())))]
