"""What makes a plane a good one to measure a nodule on; for the report, and for the page while the sweep runs."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["LEAST_FRAMES", "NEAR_S", "outline_sharpness"]

NEAR_S = 0.5
"""Frames up to this far from another count as near it."""

LEAST_FRAMES = 5
"""A nodule that was seen on fewer frames is not listed."""

_BAND_SHARE = 0.08
_LEAST_BAND_PX = 3
_SMOOTHING_SD_PX = 1.5


def outline_sharpness(image: npt.NDArray[np.uint8], contour_xy_px: npt.NDArray[np.float32]) -> float:
    """Mean magnitude of the gradient in a band along the outline, over the mean grey level there.

    The image is smoothed before with a Gaussian of 1.5 px, so that single speckles count less than borders; the
    gradient is Scharr's. The band reaches 8 % of the outline's shorter side to both sides of it, at least 3 px.
    Dividing by the grey level makes it independent of the gain. Only values of one nodule are compared.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3)
    contour_xy_px : float32 (K, 2), image coordinates

    Returns
    -------
    sharpness : 1 / px, 0 where the band is black
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image
    points = np.round(contour_xy_px - 0.5).astype(np.int32)
    low, high = points.min(axis=0), points.max(axis=0)
    reach = max(_LEAST_BAND_PX, round(_BAND_SHARE * float((high - low).min())))
    margin = reach + 8  # for the smoothing
    x1, y1 = np.maximum(low - margin, 0)
    x2, y2 = np.minimum(high + margin + 1, grey.shape[::-1])
    part = cv2.GaussianBlur(grey[y1:y2, x1:x2].astype(np.float32), (0, 0), _SMOOTHING_SD_PX)
    band = np.zeros(part.shape, np.uint8)
    cv2.polylines(band, [points - [x1, y1]], True, 1, 2 * reach + 1)
    across, along = (np.asarray(cv2.Scharr(part, cv2.CV_32F, *order)) / 32.0 for order in ((1, 0), (0, 1)))
    level = float(part[band > 0].mean()) if band.any() else 0.0
    return float(np.hypot(across, along)[band > 0].mean()) / level if level > 0.0 else 0.0
