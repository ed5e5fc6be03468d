"""One simulated vertebra on a plane: body with end plates, disc, canal, pedicles, arch, joints and processes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from usassist.phantom.ct.bones import Capsule, Frame, Grid, blend, window

__all__ = ["VertebraShape", "paint_vertebra"]

FloatArray = npt.NDArray[np.float32]
_DISC_HU = 85.0
_CANAL_HU = 30.0
_END_PLATE_MM = 1.4
_CORTEX_MM = 1.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VertebraShape:
    """Frame and sizes, mm; `kind` is ``T``, ``L`` or ``S``; `disc` is the height of the disc above."""

    frame: Frame
    height: float
    disc: float
    half_width: float
    half_depth: float
    scale: float
    kind: str
    is_last_lumbar: bool
    is_fused: bool
    spongy_hu: float
    cortex_hu: float


def paint_vertebra(
    shape: VertebraShape, part: str, hu: FloatArray, grid: Grid, labels: npt.NDArray[np.uint8] | None, label: int
) -> None:
    """Paint ``soft`` (discs and canal) or ``bone`` of a vertebra.

    Parameters
    ----------
    shape, part : what
    hu, labels : float32 and uint8 (Y, X), changed in place
    grid : x, y, z of the plane
    label : of its bone
    """
    s, frame = shape.scale, shape.frame
    if abs(grid[2] - frame.centre[2]) > 45 * s:
        return
    centre = frame.centre
    box = window(grid, centre - np.array([48 * s, 42 * s, 0]), centre + np.array([48 * s, 85 * s, 0]))
    dx, dy = grid[0][box[1]][None, :] - centre[0], grid[1][box[0]][:, None] - centre[1]
    if not dx.size or not dy.size:
        return
    dz = grid[2] - float(centre[2])
    u, v, w = (
        np.asarray(dx * axis[0] + dy * axis[1] + dz * axis[2], np.float32)
        for axis in (frame.lateral, frame.anterior, frame.up)
    )
    pixel = float(grid[0][1] - grid[0][0])
    if part == "soft":
        _soft(shape, hu, box, (u, v, w), pixel)
        return
    _body(shape, hu, labels, box, (u, v, w), pixel, label)
    _arch(shape, hu, labels, box, (u, v, w), pixel, label)
    _processes(shape, hu, labels, grid, label)


_Local = tuple[FloatArray, FloatArray, FloatArray]


def _side_distance(shape: VertebraShape, local: _Local, waist: float) -> FloatArray:
    """Distance to the side of the body: an ellipse, flat at the back, narrower in the middle."""
    u, v, w = local
    narrow = 1 - waist * (1 - np.clip(2 * w / shape.height, -1, 1) ** 2)
    radius = np.hypot(
        u / (shape.half_width * narrow), (v + 0.1 * shape.half_depth) / (1.08 * shape.half_depth * narrow)
    )
    side = (radius - 1) * min(shape.half_width, shape.half_depth)
    return np.asarray(np.maximum(side, -v - 0.95 * shape.half_depth), np.float32)


def _soft(shape: VertebraShape, hu: FloatArray, box: tuple[slice, slice], local: _Local, pixel: float) -> None:
    u, v, w = local
    side = _side_distance(shape, local, 0.0)
    if shape.kind != "S":
        disc = np.maximum(side, np.abs(w) - shape.height / 2 - shape.disc / 2 - 3)
    else:
        disc = np.maximum(side, np.abs(w - shape.height / 2) - shape.disc / 2 - 3)
    blend(hu, None, box, np.asarray(disc, np.float32), _DISC_HU, pixel, 0)
    across, along = 11.5 * shape.scale, 8.5 * shape.scale
    centre = -shape.half_depth - along
    canal = (np.hypot(u / across, (v - centre) / along) - 1) * along
    inside = np.where(np.hypot(u, v - centre) < 7 * shape.scale, _CANAL_HU, -20.0).astype(np.float32)
    blend(hu, None, box, np.asarray(np.maximum(canal, np.abs(w) - 22 * shape.scale), np.float32), inside, pixel, 0)


def _body(
    shape: VertebraShape, hu: FloatArray, labels: npt.NDArray[np.uint8] | None, box: tuple[slice, slice],
    local: _Local, pixel: float, label: int,
) -> None:  # fmt: skip
    w = local[2]
    side = _side_distance(shape, local, 0.09)
    end = np.abs(w) - shape.height / 2
    shell = np.maximum(
        np.clip(0.5 + (side + _CORTEX_MM) / pixel, 0, 1), np.clip(0.5 + (end + _END_PLATE_MM) / max(pixel, 1.0), 0, 1)
    )
    inside = np.asarray(shape.spongy_hu + shell * (shape.cortex_hu - shape.spongy_hu), np.float32)
    blend(hu, labels, box, np.asarray(np.maximum(side, end), np.float32), inside, pixel, label)


def _arch(
    shape: VertebraShape, hu: FloatArray, labels: npt.NDArray[np.uint8] | None, box: tuple[slice, slice],
    local: _Local, pixel: float, label: int,
) -> None:  # fmt: skip
    """Pedicles in the upper half, laminae below them, joints beside the discs."""
    u, v, w = local
    s, h = shape.scale, shape.height
    beside, back = np.abs(u), -shape.half_depth
    pedicle = np.maximum.reduce(
        [np.abs(beside - 15 * s) - 4 * s, np.abs(w - 0.18 * h) - 0.26 * h, np.abs(v - back + 8 * s) - 10 * s]
    )
    roof = back - 19 * s + 0.35 * beside
    lamina = np.maximum.reduce([np.abs(v - roof + 2 * s) - 3 * s, beside - 17 * s, np.abs(w + 0.2 * h) - 0.38 * h])
    joint = (
        np.sqrt(((beside - 17 * s) / 6.5) ** 2 + ((v - back + 18 * s) / 7) ** 2 + (w / (0.72 * h) * s) ** 2) - s
    ) * 6.5
    spine_half = 2.8 * s if shape.kind != "S" else 2.0 * s
    length = (30 if shape.kind == "L" else 24 if shape.kind == "T" else 14) * s
    slope = (0.0 if shape.kind == "L" else 0.6) * (v - roof)
    spinous = np.maximum.reduce(
        [
            beside - spine_half,
            np.abs(v - back + 20 * s + length / 2) - length / 2,
            np.abs(w + 0.3 * h - slope) - 0.32 * h,
        ]
    )
    distance = np.minimum.reduce([pedicle, lamina, joint, spinous])
    shell = np.clip(0.5 + (distance + 1.6) / pixel, 0, 1)
    inside = np.asarray(0.6 * shape.spongy_hu + 120 + shell * (0.4 * shape.cortex_hu), np.float32)
    blend(hu, labels, box, np.asarray(distance, np.float32), inside, pixel, label)


def _processes(
    shape: VertebraShape, hu: FloatArray, labels: npt.NDArray[np.uint8] | None, grid: Grid, label: int
) -> None:
    """Transverse processes: thin in the lumbar spine, short in the thoracic, broad where the last one is fused."""
    s = shape.scale
    if shape.kind == "S":
        return
    reach, radius = (37.0, 3.8) if shape.kind == "L" else (26.0, 4.5)
    if shape.is_last_lumbar:
        reach, radius = 38.0, 6.0
    back = -shape.half_depth - 10 * s
    for side in (-1, 1):
        start = shape.frame.at(side * 16 * s, back, 0.15 * shape.height)
        end = shape.frame.at(side * reach * s, back - 5 * s, 0.2 * shape.height)
        Capsule(start, end, radius * s, 0.6 * shape.spongy_hu + 60, shape.cortex_hu, 1.2).paint(hu, grid, labels, label)
        if shape.is_fused:
            low = shape.frame.at(side * 40 * s, back + 4 * s, -0.6 * shape.height)
            for point in (start, end):
                Capsule(point, low, 9.0 * s, 0.6 * shape.spongy_hu + 40, shape.cortex_hu, 1.5).paint(
                    hu, grid, labels, label
                )
