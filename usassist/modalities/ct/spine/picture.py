"""A picture of the spine from the side and from the front, with the names of the levels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.spine.grid import STEP_MM, WorkGrid, make_grid
from usassist.modalities.ct.spine.levels import SpineLevels
from usassist.volumes import Volume

__all__ = ["draw_levels"]

UInt8Array = npt.NDArray[np.uint8]

_SCALE = 3  # px a cell
_LINE_BGR, _TEXT_BGR = (0, 215, 255), (255, 255, 255)
_SIDE_HU, _FRONT_HU = (-150.0, 450.0), (0.0, 700.0)
_HALF_MM = 5.0


def draw_levels(volume: Volume, levels: SpineLevels) -> UInt8Array:
    """Sagittal slab that follows the canal, and frontal maximum projection; a line and the name at each vertebra.

    Parameters
    ----------
    volume : that was searched
    levels : of :func:`usassist.modalities.ct.spine.find_levels`; unnamed vertebrae have a line and a question mark

    Returns
    -------
    picture : uint8 (rows, columns, 3), BGR; the head is up, the front of the body left in the sagittal half, the
        patient's right at the left in the frontal half
    """
    grid = make_grid(volume)
    side, front = _sagittal(grid, levels), _windowed(grid.hu.max(axis=1), *_FRONT_HU)
    halves = [cv2.cvtColor(_enlarged(half), cv2.COLOR_GRAY2BGR) for half in (side, front)]
    to_cell = np.linalg.inv(grid.to_lps_mm)
    height = halves[0].shape[0]
    for vertebra in levels.vertebrae:
        x, y, z = (to_cell @ np.append(vertebra.centre_lps_mm, 1.0))[:3].tolist()
        row = int(height - (z + 0.5) * _SCALE)
        for half, column in zip(halves, (y, x), strict=True):
            at = int((column + 0.5) * _SCALE)
            reach = int(24 / STEP_MM * _SCALE)
            cv2.line(half, (at - reach, row), (at + reach, row), _LINE_BGR, 1, cv2.LINE_AA)
            name = vertebra.name or "?"
            where = (max(at - reach - 14 * len(name) - 6, 2), row + 5)
            cv2.putText(half, name, where, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
            cv2.putText(half, name, where, cv2.FONT_HERSHEY_SIMPLEX, 0.5, _TEXT_BGR, 1, cv2.LINE_AA)
    return np.asarray(np.hstack(halves), np.uint8)


def _sagittal(grid: WorkGrid, levels: SpineLevels) -> UInt8Array:
    """Mean over 1 cm around the canal, whose x may change from plane to plane."""
    depth, _, columns = grid.hu.shape
    x = np.full(depth, columns / 2)
    if levels.canal_lps_mm:
        points = np.column_stack([np.array(levels.canal_lps_mm), np.ones(len(levels.canal_lps_mm))])
        cells = points @ np.linalg.inv(grid.to_lps_mm).T
        order = np.argsort(cells[:, 2])
        x = np.interp(np.arange(depth), cells[order, 2], cells[order, 0])
    reach = int(_HALF_MM / STEP_MM)
    rows = []
    for z in range(depth):
        middle = int(np.clip(round(x[z]), reach, max(columns - reach - 1, reach)))
        rows.append(grid.hu[z, :, max(middle - reach, 0) : middle + reach + 1].mean(axis=1))
    return _windowed(np.array(rows), *_SIDE_HU)


def _windowed(hu: npt.NDArray[np.generic], low: float, high: float) -> UInt8Array:
    return np.asarray(np.rint(np.clip((np.asarray(hu, np.float32) - low) / (high - low), 0, 1) * 255), np.uint8)


def _enlarged(half: UInt8Array) -> UInt8Array:
    size = (half.shape[1] * _SCALE, half.shape[0] * _SCALE)
    return np.asarray(cv2.resize(half[::-1], size, interpolation=cv2.INTER_LINEAR), np.uint8)
