"""The spinal canal from plane to plane: soft tissue that bone surrounds, with a vertebral body in front of it.

An arch closes the canal only over a part of each vertebra, so bone is first spread along z over about half a vertebra.
One path through all planes is then chosen by dynamic programming.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.modalities.ct.spine.grid import STEP_MM, WorkGrid

__all__ = ["BONE_HU", "CanalTrack", "find_canal"]

FloatArray = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]

BONE_HU = 150
_SPREAD_MM = 12.0  # along z, up and down
_RAYS = 16
_NEAREST_MM, _FARTHEST_MM = 4.0, 20.0
_HALF_WIDTH_MM = 80.0
_EVERY = 2  # planes of the grid from one step of the path to the next
_MOVES = 2  # steps of 4 mm, in x and y, from one step along z to the next
_BEND_COST = 0.12
_MOST_LATERAL = 0.6  # mm to the side for each mm along z
_MIN_SCORE = 1.55


@dataclass(frozen=True, slots=True, eq=False)
class CanalTrack:
    """The middle of the canal in cells of the grid.

    Attributes
    ----------
    xyz : float64 (N, 3), z ascending by one cell
    score : float32 (N,), 0 to 2.5: how much each place looks like a canal
    """

    xyz: Float64Array
    score: FloatArray


def find_canal(grid: WorkGrid) -> CanalTrack | None:
    """The longest stretch of canal; None where nothing looks like one over 60 mm.

    Parameters
    ----------
    grid : of the volume
    """
    depth, _, columns = grid.hu.shape
    middle = _middle(grid)
    reach = int(_HALF_WIDTH_MM / STEP_MM)
    left, right = max(middle - reach, 0), min(middle + reach, columns)
    planes = list(range(0, depth, _EVERY))
    if len(planes) < 60 / (STEP_MM * _EVERY):
        return None
    scores = np.stack([_score(grid, z, left, right, middle) for z in planes])
    pooled = scores[:, : scores.shape[1] // 2 * 2, : scores.shape[2] // 2 * 2]
    pooled = pooled.reshape(len(planes), pooled.shape[1] // 2, 2, -1, 2).max(axis=(2, 4))
    path = _refine(scores, 2 * _best_path(pooled))
    along = scores[np.arange(len(planes)), path[:, 0], path[:, 1]]
    good = np.convolve(np.pad(along, 2, mode="edge"), np.full(5, 0.2), mode="valid") >= _MIN_SCORE
    start, stop = _longest(good & _is_upright(path))
    if (stop - start) * _EVERY * STEP_MM < 60:
        return None
    z = np.arange(planes[start], planes[stop - 1] + 1)
    known = np.array(planes[start:stop])
    xyz = np.column_stack(
        [
            _smooth(np.interp(z, known, path[start:stop, 1] + left)),
            _smooth(np.interp(z, known, path[start:stop, 0])),
            z.astype(np.float64),
        ]
    )
    return CanalTrack(xyz, np.interp(z, known, along[start:stop]).astype(np.float32))


def _middle(grid: WorkGrid) -> int:
    """Column of the middle of the body: table, air and what lies beside it do not count."""
    columns = []
    for z in range(0, grid.hu.shape[0], 8):
        body = cv2.morphologyEx((grid.hu[z] > -300).astype(np.uint8), cv2.MORPH_OPEN, np.ones((7, 7), np.uint8))
        count, _, stats, centres = cv2.connectedComponentsWithStats(body)
        if count > 1:
            columns.append(float(centres[1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()), 0]))
    return round(float(np.median(columns))) if columns else grid.hu.shape[2] // 2


def _ray_kernels() -> list[npt.NDArray[np.uint8]]:
    """One kernel a direction; dilating with it marks the places from which a ray meets bone."""
    reach = int(_FARTHEST_MM / STEP_MM)
    kernels = []
    for ray in range(_RAYS):
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
        for mm in np.arange(_NEAREST_MM, _FARTHEST_MM + 0.1, 1.0):
            x, y = (mm / STEP_MM * f(2 * math.pi * ray / _RAYS) for f in (math.cos, math.sin))
            kernel[reach + round(y), reach + round(x)] = 1
        kernels.append(kernel)
    return kernels


_KERNELS = _ray_kernels()


def _score(grid: WorkGrid, z: int, left: int, right: int, middle: int) -> FloatArray:
    """How much each cell of a plane looks like the middle of the canal, 0 to 2.5."""
    spread = int(_SPREAD_MM / STEP_MM)
    slab = grid.hu[max(z - spread, 0) : z + spread + 1, :, left:right]
    bone = (slab.max(axis=0) > BONE_HU).astype(np.uint8)
    enclosed = np.zeros(bone.shape, np.float32)
    for kernel in _KERNELS:
        enclosed += cv2.dilate(bone, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    filled = bone.astype(np.float32)
    body = _box(filled, rows_mm=(-36, -10), half_width_mm=14)
    arch = _box(filled, rows_mm=(6, 22), half_width_mm=10)
    soft = grid.hu[max(z - 1, 0) : z + 2, :, left:right].mean(axis=0)
    is_soft = cv2.blur(((soft > -60) & (soft < 130)).astype(np.float32), (5, 5))
    aside = (np.arange(left, right) - middle)[None, :] * (STEP_MM / 60.0)
    ring = np.clip((enclosed / _RAYS - 0.5) / 0.5, 0, 1)
    return np.asarray(ring + 0.7 * body + 0.3 * arch + 0.5 * is_soft - 0.5 * aside**2, np.float32)


def _box(image: FloatArray, *, rows_mm: tuple[int, int], half_width_mm: int) -> FloatArray:
    """Mean over a rectangle that lies `rows_mm` behind each cell."""
    rows = int((rows_mm[1] - rows_mm[0]) / STEP_MM)
    width = int(2 * half_width_mm / STEP_MM) + 1
    anchor_y = rows // 2 - round((rows_mm[0] + rows_mm[1]) / 2 / STEP_MM)
    kernel = np.full((rows, width), 1.0 / (rows * width), np.float32)
    pad = abs(anchor_y) + rows
    padded = cv2.copyMakeBorder(image, pad, pad, 0, 0, cv2.BORDER_CONSTANT, value=0)
    moved = cv2.filter2D(padded, -1, kernel, borderType=cv2.BORDER_CONSTANT)
    shift = rows // 2 - anchor_y
    return np.asarray(moved[pad + shift : pad + shift + image.shape[0]], np.float32)


def _best_path(scores: FloatArray) -> npt.NDArray[np.int64]:
    """Row and column in each plane of the path with the highest sum of scores, less what it costs to move."""
    count, rows, columns = scores.shape
    total = scores[0].copy()
    moves = [(y, x) for y in range(-_MOVES, _MOVES + 1) for x in range(-_MOVES, _MOVES + 1)]
    came = np.zeros((count, rows, columns), np.uint8)
    m = _MOVES
    for k in range(1, count):
        padded = np.pad(total, m, constant_values=-np.inf)
        best = np.full((rows, columns), -np.inf, np.float32)
        for index, (y, x) in enumerate(moves):
            value = padded[m + y : m + y + rows, m + x : m + x + columns] - _BEND_COST * (y * y + 4 * x * x)
            better = value > best
            best[better] = value[better]
            came[k][better] = index
        total = best + scores[k]
    path = np.zeros((count, 2), np.int64)
    path[-1] = np.unravel_index(int(total.argmax()), total.shape)
    for k in range(count - 1, 0, -1):
        y, x = moves[int(came[k, path[k, 0], path[k, 1]])]
        path[k - 1] = path[k, 0] + y, path[k, 1] + x
    return path


def _refine(scores: FloatArray, path: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The best cell within 4 mm of each place of a path that was found on every second cell."""
    result = path.copy()
    for k, (row, column) in enumerate(path):
        low_y, low_x = max(row - 1, 0), max(column - 1, 0)
        part = scores[k, low_y : row + 3, low_x : column + 3]
        y, x = np.unravel_index(int(part.argmax()), part.shape)
        result[k] = low_y + y, low_x + x
    return result


def _is_upright(path: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """False where the path runs to the side, as it does below the sacrum, towards a hip."""
    x = np.convolve(np.pad(path[:, 1].astype(float), 4, mode="edge"), np.full(5, 0.2), mode="valid")  # N + 4
    return np.asarray(np.abs(x[4:] - x[:-4]) / (4 * _EVERY) < _MOST_LATERAL)


def _longest(good: npt.NDArray[np.bool_]) -> tuple[int, int]:
    edges = np.flatnonzero(np.diff(np.concatenate([[0], good.astype(np.int8), [0]])))
    runs = list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
    return max(runs, key=lambda run: run[1] - run[0]) if runs else (0, 0)


def _smooth(values: Float64Array, sigma: float = 6.0) -> Float64Array:
    """Gaussian along the path; a straight line stays one up to its ends."""
    at = np.arange(len(values))
    weights = np.exp(-0.5 * ((at[:, None] - at[None, :]) / sigma) ** 2)
    result = np.empty(len(values))
    for k in range(len(values)):  # a weighted line through the neighbours
        w, x = weights[k], at - k
        s0, s1, s2 = w.sum(), (w * x).sum(), (w * x * x).sum()
        b0, b1 = (w * values).sum(), (w * x * values).sum()
        result[k] = (s2 * b0 - s1 * b1) / max(s0 * s2 - s1 * s1, 1e-9)
    return result
