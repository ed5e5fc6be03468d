"""A line beside an outline: the border of a nodule is what is judged, so nothing is painted over it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.sinks.overlay.text import HALO, Color

__all__ = ["SUBPIXEL_BITS", "draw_outside"]

UInt8Array = npt.NDArray[np.uint8]

SUBPIXEL_BITS = 4
_GAP_PX = 1.0  # of the image, between an outline and its line


def draw_outside(area: UInt8Array, points: npt.NDArray[np.int32], color: Color, line_px: float) -> None:
    """Draw a closed line outside an outline: a gap of 1 px, a dark edge, the line, a dark edge.

    Parameters
    ----------
    area : uint8 (H, W, 3), RGB; what is beyond it is cut off
    points : int32 (K, 2), the outline in px of `area`, in fixed point of :data:`SUBPIXEL_BITS`
    color : RGB
    line_px : thickness of the line without its edges
    """
    edge_px = max(1.0, 0.5 * line_px)
    # A stroke of 2n + 1 px reaches n + 1/2 px to either side.
    inner, middle = _GAP_PX + 0.5 * edge_px, _GAP_PX + 0.5 * edge_px + line_px
    reach = int(np.ceil(middle + edge_px)) + 2
    low = np.maximum((points.min(axis=0) >> SUBPIXEL_BITS) - reach, 0)
    high = np.minimum((points.max(axis=0) >> SUBPIXEL_BITS) + reach + 1, area.shape[1::-1])
    window = area[low[1] : high[1], low[0] : high[0]]
    if not window.size:
        return
    inside = points - (low.astype(np.int32) << SUBPIXEL_BITS)
    drawn = np.ascontiguousarray(window)
    for shade, reach_px in ((HALO, middle + edge_px), (color, middle), (HALO, inner)):
        cv2.polylines(drawn, [inside], True, shade, _thickness(reach_px), cv2.LINE_AA, SUBPIXEL_BITS)
    mask = np.full(drawn.shape[:2], 255, np.uint8)
    cv2.fillPoly(mask, [inside], 0, cv2.LINE_8, SUBPIXEL_BITS)
    cv2.polylines(mask, [inside], True, 0, _thickness(_GAP_PX), cv2.LINE_8, SUBPIXEL_BITS)
    cv2.copyTo(drawn, mask, dst=window)


def _thickness(reach_px: float) -> int:
    return max(1, round(2.0 * reach_px))
