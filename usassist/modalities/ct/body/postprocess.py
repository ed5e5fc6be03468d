"""From the engine's probabilities to the compartments of a plane at its own resolution."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.body.outline import largest_part
from usassist.modalities.ct.body.preprocess import Placement
from usassist.modalities.ct.body.tissues import Compartment

__all__ = ["find_compartments"]

Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]

_HU_EDGES = np.array([-400.0, -190.0, -29.5, 150.5], np.float32)
# How likely HU of each interval are in a compartment: outside, subcutaneous, muscle, cavity, bone. It is a factor on
# the engine's probabilities, so it only moves borders. Set by hand; that of fat in muscle by the area of intermuscular
# fat in simulated abdomens that are in no figure of the card.
_LIKELY = np.array(
    [
        [0.85, 0.02, 0.02, 0.45, 0.02],  # below -400 HU: air, gas, lung
        [0.10, 0.10, 0.05, 0.10, 0.03],  # to -190: partial volume with air
        [0.08, 0.85, 0.40, 0.50, 0.15],  # to -30: fat
        [0.05, 0.15, 0.85, 0.60, 0.35],  # to 150: soft tissue
        [0.04, 0.02, 0.04, 0.15, 0.90],  # above: bone, contrast medium
    ],
    np.float32,
)
_LEAST_ISLAND_MM2 = 60.0  # smaller parts of muscle that stand alone are not muscle


def find_compartments(
    probabilities: Float32Array, plane_hu: npt.NDArray[np.generic], placement: Placement, pixel_mm2: float
) -> UInt8Array:
    """Compartments of a plane; what is not connected with the body is outside, and holes in the body are cavity.

    Parameters
    ----------
    probabilities : float32 (5, h, w) of the engine for the picture
    plane_hu : int16 or float32 (Y, X), rows to the back
    placement : of the picture in the plane
    pixel_mm2 : area of a pixel of the plane

    Returns
    -------
    uint8 (Y, X), values of :class:`Compartment`
    """
    p = placement
    height, width = plane_hu.shape
    rows = slice(max(p.top_px, 0), max(min(p.top_px + p.height_px, height), 0))
    columns = slice(max(p.left_px, 0), max(min(p.left_px + p.width_px, width), 0))
    cut = (
        slice(rows.start - p.top_px, rows.stop - p.top_px),
        slice(columns.start - p.left_px, columns.stop - p.left_px),
    )
    hu = np.asarray(plane_hu[rows, columns])
    interval = np.digitize(hu, _HU_EDGES)
    best = np.zeros(hu.shape, np.uint8)
    most = np.full(hu.shape, -1.0, np.float32)
    for channel in range(len(Compartment)):
        fine = cv2.resize(probabilities[channel], (p.width_px, p.height_px), interpolation=cv2.INTER_LINEAR)
        score = fine[cut] * _LIKELY[interval, channel]
        better = score > most
        best[better] = channel
        most = np.maximum(most, score)
    found = np.zeros(plane_hu.shape, np.uint8)
    found[rows, columns] = best
    body = largest_part(found > 0)
    found[~body] = Compartment.OUTSIDE
    found[_holes(body)] = Compartment.CAVITY
    _drop_islands(found, pixel_mm2)
    return found


def _holes(body: BoolArray) -> BoolArray:
    """Points outside a body that cannot be reached from the border of the plane."""
    padded = np.pad(~body, 1, constant_values=True).astype(np.uint8)
    _, parts = cv2.connectedComponents(padded, connectivity=4)
    holes: BoolArray = (parts != parts[0, 0])[1:-1, 1:-1] & ~body
    return holes


def _drop_islands(found: UInt8Array, pixel_mm2: float) -> None:
    """Give small parts of muscle to the cavity or the subcutaneous compartment, whichever surrounds them."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((found == Compartment.MUSCLE).astype(np.uint8))
    for part in range(1, count):
        if stats[part, cv2.CC_STAT_AREA] * pixel_mm2 >= _LEAST_ISLAND_MM2:
            continue
        x, y, w, h = stats[part, :4]
        around = slice(max(y - 2, 0), y + h + 2), slice(max(x - 2, 0), x + w + 2)
        counts = np.bincount(found[around].ravel(), minlength=len(Compartment))
        into_cavity = counts[Compartment.CAVITY] >= counts[Compartment.SUBCUTANEOUS]
        island = parts[around] == part
        found[around][island] = Compartment.CAVITY if into_cavity else Compartment.SUBCUTANEOUS
