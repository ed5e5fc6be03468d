"""Outlines of recorded nodules as regions, and as polygons along the edges of their pixels.

An outline of ours runs through the centres of the outermost pixels, in image coordinates: the corner of the first pixel
is (0, 0), its centre (0.5, 0.5). Programs that fill a polygon as it stands (COCO, YOLO) would lose half a pixel all
around, so they get the edges of the pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.frames import fill_labelmap
from usassist.records import Segmentation

__all__ = ["edge_polygon", "outline_window"]

UInt8Array = npt.NDArray[np.uint8]


def outline_window(contour: npt.NDArray[np.float32]) -> tuple[UInt8Array, tuple[int, int]]:
    """The filled outline, with at least one pixel of background around it.

    Parameters
    ----------
    contour : float32 (K, 2), through the centres of the outermost pixels

    Returns
    -------
    region : uint8 (H, W), 1 = inside
    origin_xy_px : where its first pixel lies in the image; may be negative
    """
    origin = np.floor(contour.min(axis=0)) - 1
    width, height = (np.ceil(contour.max(axis=0)) - origin).astype(int) + 1
    region = fill_labelmap(Segmentation.of([contour - origin.astype(np.float32)]), (int(height), int(width)))
    return region, (int(origin[0]), int(origin[1]))


def edge_polygon(contour: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.intp], int]:
    """The filled outline as a polygon along the edges of its pixels.

    Parameters
    ----------
    contour : float32 (K, 2), through the centres of the outermost pixels

    Returns
    -------
    corners_xy_px : int (N, 2), in image coordinates
    area_px2 : number of pixels inside, which is the area of the polygon
    """
    region, origin_xy_px = outline_window(contour)
    # Each pixel becomes 2 x 2: of the outermost of these, the outer corner is a corner of the pixel.
    found, _ = cv2.findContours(np.kron(region, np.ones((2, 2), np.uint8)), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    corners = (max(found, key=len)[:, 0].astype(np.intp) + 1) // 2
    corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
    before, after = corners - np.roll(corners, 1, axis=0), np.roll(corners, -1, axis=0) - corners
    turns = corners[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    return turns + np.array(origin_xy_px), int(region.sum())
