"""Pictures of planes: grey levels, outlines and heat. Arrays in, arrays out; nothing here knows what is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["HEAT_STEPS_RGB", "SideMarks", "blend_heat", "draw_outlines", "heat_rgb", "side_marks", "to_grey"]

UInt8Array = npt.NDArray[np.uint8]
Float64Array = npt.NDArray[np.float64]
Rgb = tuple[int, int, int]

HEAT_STEPS_RGB = np.ascontiguousarray(
    cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
)
"""uint8 (256, 3): the colour of each score."""

_HEAT_ALPHA = 0.75  # of a score of 1
_HEAT_FULL = 0.5  # score from which the colour covers as much as it ever does


@dataclass(frozen=True, slots=True)
class SideMarks:
    """Letters at the edges of a plane: the direction in the patient (L, R, A, P, H, F) towards each edge."""

    left: str
    right: str
    top: str
    bottom: str


def side_marks(affine_ijk_to_lps_mm: Float64Array) -> SideMarks:
    """The marks of the planes of a volume, by the axis of the patient that lies nearest to the plane's.

    Parameters
    ----------
    affine_ijk_to_lps_mm : of the volume
    """

    def towards(column: int) -> tuple[str, str]:
        direction = affine_ijk_to_lps_mm[:3, column]
        axis = int(np.abs(direction).argmax())
        plus, minus = (("L", "R"), ("P", "A"), ("H", "F"))[axis]
        return (plus, minus) if direction[axis] > 0 else (minus, plus)

    (right, left), (bottom, top) = towards(0), towards(1)
    return SideMarks(left=left, right=right, top=top, bottom=bottom)


def to_grey(
    plane: npt.NDArray[Any],
    centre: float,
    width: float,
    pixel_yx_mm: tuple[float, float] | None = None,
    scale: float = 1.0,
) -> UInt8Array:
    """A plane in grey.

    Parameters
    ----------
    plane : int16 or float32 (Y, X)
    centre, width : of the window: ``centre - width / 2`` becomes 0, ``centre + width / 2`` 255
    pixel_yx_mm : height and width of a pixel; where they differ, the picture is stretched until they do not
    scale : pixels of the picture per column of the plane

    Returns
    -------
    grey : uint8 (H, W)
    """
    values = (plane.astype(np.float32) - np.float32(centre - width / 2.0)) * np.float32(255.0 / width)
    grey = np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)
    return _resize(grey, pixel_yx_mm, scale, cv2.INTER_LINEAR)


def draw_outlines(
    picture: UInt8Array,
    labels: UInt8Array,
    colours: Mapping[int, Rgb],
    pixel_yx_mm: tuple[float, float] | None = None,
    scale: float = 1.0,
    thickness_px: int = 1,
) -> None:
    """Draw the outlines of labels into a picture.

    Parameters
    ----------
    picture : uint8 (H, W, 3) RGB, of :func:`to_grey` with the same stretch and scale; drawn into
    labels : uint8 (Y, X), of the labelmap: label id + 1
    colours : label id → RGB
    """
    for label, colour in colours.items():
        mask = (labels == label + 1).astype(np.uint8)
        if mask.any():
            large = _resize(mask * 255, pixel_yx_mm, scale, cv2.INTER_LINEAR)
            lines, _ = cv2.findContours((large >= 128).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(picture, lines, -1, colour, thickness_px, cv2.LINE_AA)


def heat_rgb(heat: UInt8Array) -> UInt8Array:
    """Scores 0 to 255, uint8 (…) → colours uint8 (…, 3) RGB."""
    return np.asarray(HEAT_STEPS_RGB[heat], np.uint8)


def blend_heat(
    grey: UInt8Array, heat: UInt8Array, pixel_yx_mm: tuple[float, float] | None = None, scale: float = 1.0
) -> UInt8Array:
    """A plane with its scores in colour above it; the higher a score, the less of the plane is seen.

    Parameters
    ----------
    grey : uint8 (H, W), of :func:`to_grey` with the same stretch and scale
    heat : uint8 (Y, X), 0 to 255 for a score of 0 to 1

    Returns
    -------
    picture : uint8 (H, W, 3) RGB
    """
    large = _resize(heat, pixel_yx_mm, scale, cv2.INTER_LINEAR)
    alpha = np.minimum(large.astype(np.float32) / (255.0 * _HEAT_FULL), 1.0)[..., None] * _HEAT_ALPHA
    mixed = grey[..., None] * (1.0 - alpha) + heat_rgb(large) * alpha
    return np.asarray(np.rint(mixed), np.uint8)


def _resize(array: UInt8Array, pixel_yx_mm: tuple[float, float] | None, scale: float, method: int) -> UInt8Array:
    height_mm, width_mm = pixel_yx_mm or (1.0, 1.0)
    rows = max(round(array.shape[0] * scale * height_mm / width_mm), 1)
    columns = max(round(array.shape[1] * scale), 1)
    if (rows, columns) == array.shape:
        return np.asarray(array, np.uint8)
    if rows < array.shape[0] and columns < array.shape[1]:
        method = cv2.INTER_AREA
    return np.asarray(cv2.resize(array, (columns, rows), interpolation=method), np.uint8)
