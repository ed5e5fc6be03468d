"""One transverse plane of a simulated abdomen: compartments and HU, without noise and blur.

The muscular ring is a polar function; its depth (distance inwards from its outer surface) decides what a point is: skin
and subcutaneous fat outside, then the layers of the wall with its ribs, then the cavity. The muscles behind and beside
the spine, the pelvis and the spine are painted into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.phantom.ct.abdomen_ring import Ring
from usassist.phantom.ct.abdomen_shapes import ANGLES, AbdomenPlan, Blob
from usassist.phantom.ct.abdomen_spine import Canvas, paint_spine

__all__ = ["AIR_HU", "BONE", "CAVITY", "MUSCLE", "OUTSIDE", "SUBCUTANEOUS", "Textures", "draw_plane"]

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

OUTSIDE, SUBCUTANEOUS, MUSCLE, CAVITY, BONE = range(5)
AIR_HU = -1000.0


@dataclass(frozen=True, slots=True, eq=False)
class Textures:
    """Smooth random fields with mean 0 and standard deviation 1 on the grid of the plane.

    Attributes
    ----------
    fine, coarse, streaks : float32 (Y, X); grains of about 2 mm, 12 mm, and drawn out across the body
    """

    fine: FloatArray
    coarse: FloatArray
    streaks: FloatArray


def draw_plane(
    plan: AbdomenPlan, z_mm: float, y_mm: FloatArray, x_mm: FloatArray, textures: Textures
) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """HU and compartments of a plane.

    Parameters
    ----------
    plan : of the abdomen
    z_mm : of the plane
    y_mm, x_mm : of rows and columns, ascending
    textures : on this grid

    Returns
    -------
    hu, labels : float32 and uint8 (Y, X); labels are OUTSIDE, SUBCUTANEOUS, MUSCLE, CAVITY or BONE
    """
    x, y = np.meshgrid(x_mm.astype(np.float32), y_mm.astype(np.float32))
    ring = Ring(plan, z_mm)
    index, depth = ring.depth(x, y)
    labels = np.zeros(x.shape, np.uint8)
    hu = np.full(x.shape, AIR_HU, np.float32)
    canvas = Canvas(x, y, hu, labels)
    _paint_surroundings(plan, ring, canvas, textures)
    below_skin = depth + plan.fat_mm[index]
    labels[below_skin > 0] = SUBCUTANEOUS
    fat = plan.fat_hu + 5 * textures.fine + 4 * textures.coarse
    fat += plan.oedema * np.clip(textures.streaks, 0, 2.5)
    fascia = np.abs(below_skin / plan.fat_mm[index] - plan.fascia_share - 0.04 * textures.coarse)
    fat += 45 * (fascia * plan.fat_mm[index] < 0.6) * (plan.fat_mm[index] > 14)
    np.copyto(hu, np.where(below_skin < plan.skin_mm, plan.skin_hu, fat), where=below_skin > 0)
    in_ring = depth > 0
    wall = ring.wall[index]
    muscle = _muscle_hu(plan, textures)
    labels[in_ring] = MUSCLE
    np.copyto(hu, fat, where=in_ring)
    part = depth / np.maximum(wall, 0.1)
    sheet = muscle.copy()
    if plan.layer_gap > 0:
        lateral = ~ring.is_rectus[index]
        for share in (0.42, 0.74):
            gap = np.abs(part - share) * wall < plan.layer_gap / 2
            np.copyto(sheet, fat, where=gap & lateral)
    np.copyto(hu, sheet, where=in_ring & (depth < wall))
    behind = _behind(plan, z_mm, ring, canvas)
    cavity = in_ring & (depth >= wall) & ~behind
    np.copyto(hu, muscle, where=behind & (depth > 1.5))
    septum = behind & (np.abs(np.abs(x) - (0.42 + 0.1 * textures.coarse) * plan.erector_end) < 0.4 + plan.muscle_fat)
    np.copyto(hu, 0.6 * fat + 0.4 * muscle, where=septum & (y > plan.erector_start_y + 8))
    cavity |= _sacs(ring, canvas, below_skin)
    labels[cavity] = CAVITY
    visceral = plan.visceral_hu + 7 * textures.fine + 6 * textures.coarse
    np.copyto(hu, 5 + 4 * textures.fine if plan.ascites else visceral, where=cavity)
    for blob in plan.blobs:
        if abs(z_mm - blob.centre[2]) < blob.radii[2]:
            _paint_blob(blob, z_mm, canvas, cavity, textures)
    _paint_lung(plan, z_mm, ring, canvas, cavity, index, depth, textures, muscle)
    _paint_deep_muscles(plan, z_mm, canvas, muscle)
    _paint_ribs(plan, z_mm, ring, canvas, index, depth)
    paint_spine(plan, z_mm, canvas, textures.fine)
    return hu, labels


def _muscle_hu(plan: AbdomenPlan, textures: Textures) -> FloatArray:
    """HU of muscle with the fat between its fibres."""
    share = np.clip(plan.muscle_fat * (0.25 + textures.streaks) + 0.15 * plan.muscle_fat * textures.coarse, 0, 1)
    lean = plan.muscle_hu + 5 * textures.fine + 3 * textures.coarse
    return np.asarray(lean * (1 - share) + plan.fat_hu * share, np.float32)


def _behind(plan: AbdomenPlan, z_mm: float, ring: Ring, canvas: Canvas) -> BoolArray:
    """The compartment of the muscles behind the transverse processes, and from L4 down of those of the pelvis."""
    up = max(z_mm / 100.0, -0.3)
    end = plan.erector_end * (1 - plan.erector_taper * up)
    start = plan.erector_start_y
    curve = start + (0.8 * ring.posterior - start) * np.minimum(np.abs(canvas.x) / end, 1.6) ** plan.erector_power
    behind = canvas.y > curve
    pelvis_mm = -1.0 * plan.spacing_vertebra - z_mm
    if pelvis_mm > 0:
        angle, radius, wing, (_, stop) = _wing(plan, ring, canvas, pelvis_mm)
        behind |= (angle < stop) & (angle > 0.5) & (radius > wing - min(0.3 * pelvis_mm, 8.0))
    return behind & (ring.depth(canvas.x, canvas.y)[1] > 0)


def _wing(
    plan: AbdomenPlan, ring: Ring, canvas: Canvas, pelvis_mm: float
) -> tuple[FloatArray, FloatArray, FloatArray, tuple[float, float]]:
    """Angle from the back and radius of each point, radius of the wing of the ilium, and the angles of its ends."""
    below = canvas.y - np.float32(5.0)
    angle = np.arctan2(np.abs(canvas.x), below)
    share = np.clip((angle - 0.6) / 1.0, 0, 1)
    wing = 52 * plan.scale + (ring.half_width - 16 - 0.25 * pelvis_mm - 52 * plan.scale) * share
    return angle, np.hypot(canvas.x, below), wing, (max(1.2 - pelvis_mm / 35, 0.58), min(1.25 + pelvis_mm / 50, 2.0))


def _sacs(ring: Ring, canvas: Canvas, below_skin: FloatArray) -> BoolArray:
    """What comes through openings of the wall and lies in the subcutaneous fat: it belongs to the cavity."""
    inside = np.zeros(canvas.x.shape, np.bool_)
    for at, half, depth, _ in ring.openings:
        out = np.hypot(ring.x[at], ring.y[at] - ring.centre_y)
        ux, uy = ring.x[at] / out, (ring.y[at] - ring.centre_y) / out
        along = (canvas.x - ring.x[at]) * ux + (canvas.y - ring.y[at]) * uy
        across = -(canvas.x - ring.x[at]) * uy + (canvas.y - ring.y[at]) * ux
        inside |= (across / max(half, 4.0) / 1.15) ** 2 + (along / depth) ** 2 < 1
    return inside & (below_skin > 5.0) & (ring.depth(canvas.x, canvas.y)[1] < 12.0)


def _paint_blob(blob: Blob, z_mm: float, canvas: Canvas, cavity: BoolArray, textures: Textures) -> None:
    (cx, cy, cz), (a, b, c) = blob.centre, blob.radii
    cut = np.sqrt(1 - ((z_mm - cz) / c) ** 2)
    rows, columns = canvas.window(cx, cy, max(a, b) * cut * 1.25)
    if rows.stop <= rows.start or columns.stop <= columns.start:
        return
    part = rows, columns
    x, y = canvas.x[part] - cx, canvas.y[part] - cy
    cos, sin = np.cos(blob.turn), np.sin(blob.turn)
    u, v = (x * cos + y * sin) / a, (y * cos - x * sin) / b
    radius = np.hypot(u, v)
    if blob.waves[0][0]:
        angle = np.arctan2(v, u)
        wave = sum(size * np.cos(order * angle + phase) for order, (size, phase) in enumerate(blob.waves, start=2))
        radius = radius / np.maximum(1 + wave, 0.5)
    inside = (radius < cut) & cavity[part]
    fine, coarse = textures.fine[part], textures.coarse[part]
    content: Any = blob.hu + 4 * fine + 3 * coarse
    if blob.kind == "gas":
        content = -990.0 + 10 * fine
    elif blob.kind == "gas_fluid":
        content = np.where(y < 0.15 * b, -990.0, content)
    elif blob.kind == "stool":
        content = np.where(fine + 0.7 * coarse > 0.8, -650.0, blob.hu - 60 + 90 * coarse)
    elif blob.kind == "collapsed":
        content = blob.shell_hu + 5 * fine
    target = canvas.hu[part]
    np.copyto(target, content, where=inside, casting="same_kind")
    if blob.shell_mm > 0:
        shell = inside & (cut - radius < blob.shell_mm / min(a, b))
        np.copyto(target, blob.shell_hu + 4 * fine, where=shell)


def _paint_lung(
    plan: AbdomenPlan, z_mm: float, ring: Ring, canvas: Canvas, cavity: BoolArray,
    index: npt.NDArray[np.int32], depth: FloatArray, textures: Textures, muscle: FloatArray,
) -> None:  # fmt: skip
    """The recess of the lung between wall and diaphragm; it belongs to the cavity."""
    above = z_mm - plan.lung_base_z
    if above <= 0:
        return
    back = ring.back[index]
    thick = (above * (0.25 + 0.55 * np.exp(-(((back - 0.9) / 0.6) ** 2))) * (back < 2.4)).astype(np.float32)
    inner = depth - ring.wall[index]
    lung = cavity & (inner < thick) & (back > 0.25)
    diaphragm = cavity & (inner >= thick) & (inner < thick + 3.0) & (thick > 0)
    np.copyto(canvas.hu, muscle, where=diaphragm)
    np.copyto(canvas.hu, -850 + 25 * textures.fine + 300 * (textures.fine > 2.0), where=lung)


def _paint_deep_muscles(plan: AbdomenPlan, z_mm: float, canvas: Canvas, muscle: FloatArray) -> None:
    """Psoas and quadratus lumborum; the crura of the diaphragm, which belong to the cavity."""
    step, scale = plan.spacing_vertebra, plan.scale
    grown = np.clip((1.9 * step - z_mm) / (3.0 * step), 0.0, 1.25)
    for side in (-1.0, 1.0):
        if z_mm > 0.9 * step:
            canvas.paint(canvas.ellipse(side * 15 * scale, -27 * scale, 3.5, 13 * scale), muscle, CAVITY)
        if -1.7 * step < z_mm < 2.2 * step:
            size = plan.quadratus_mm * (1.1 - 0.1 * z_mm / step)
            canvas.paint(
                canvas.ellipse(side * 52 * scale, (12 + 0.05 * z_mm) * scale, 1.9 * size, size, side * 0.35),
                muscle,
                MUSCLE,
            )
        if grown > 0.05:
            a, b = plan.psoas_mm[0] * grown, plan.psoas_mm[1] * grown
            x, y = side * (23 * scale + 0.75 * a), -2.0 - 8.0 * grown
            canvas.paint(canvas.ellipse(x, y, a, b, side * 0.2), muscle, MUSCLE)


def _paint_ribs(
    plan: AbdomenPlan, z_mm: float, ring: Ring, canvas: Canvas, index: npt.NDArray[np.int32], depth: FloatArray
) -> None:
    """Ribs and costal cartilage in the inner part of the wall, and the wings of the ilium."""
    first = plan.level_centres_z_mm()["T12"] + 8
    ends = np.minimum(np.deg2rad(np.array([70, 98, 150, 156, 160, 163, 166, 168])), 3.0)
    half = np.zeros(ANGLES, np.float32)
    is_cartilage = np.zeros(ANGLES, np.bool_)
    for number in range(plan.rib_count):
        rise = np.where(ring.back > 2.2, (ring.back - 2.2) * 55.0 * (number > 1), 0.0)
        centre = first + 25.0 * number - plan.rib_drop * (1 - np.cos(0.72 * ring.back)) + rise
        for side in (-1.0, 1.0):
            here = (ring.back < ends[number]) & (ring.back > 0.3) & (side * ring.x > 0)
            stiff = ring.back > (2.0 if number > 1 else 4.0)
            height = np.where(stiff, 9.0, 7.0)
            size = np.sqrt(np.clip(1 - ((centre - z_mm) / height) ** 2, 0, 1)) * np.where(stiff, 6.0, 4.2)
            size = np.where(here, size, 0)
            is_cartilage |= (size > half) & stiff
            half = np.maximum(half, size).astype(np.float32)
    if half.any():
        middle = np.maximum(ring.wall - 3.5, np.minimum(half + 2.0, ring.wall + 2.0))
        off = np.abs(depth - middle[index].astype(np.float32))
        limit = half[index]
        rib = (off < limit) & (limit > 1.0) & (depth > 0)
        shell = rib & ((limit - off < 1.4) | (limit < 2.2))
        canvas.paint(rib, plan.bone_hu * 0.8, BONE)
        canvas.paint(shell, plan.bone_hu + 450, BONE)
        canvas.paint(rib & is_cartilage[index], plan.cartilage_hu, BONE)
    pelvis_mm = -1.0 * plan.spacing_vertebra - z_mm
    if pelvis_mm > 0:
        angle, radius, wing, (start, stop) = _wing(plan, ring, canvas, pelvis_mm)
        off = np.abs(radius - wing)
        bone = (off < 4.5) & (angle > start) & (angle < stop) & (depth > 3)
        canvas.paint(bone, plan.bone_hu, BONE)
        canvas.paint(bone & (off > 3.0), plan.bone_hu + 450, BONE)


def _paint_surroundings(plan: AbdomenPlan, ring: Ring, canvas: Canvas, textures: Textures) -> None:
    """Table with its mattress, and arms beside the body; all of it is OUTSIDE."""
    for side, dy, _, a, b in plan.arms:
        x = side * (ring.half_width + plan.fat_mm[0] + a - 2)
        arm = canvas.ellipse(x, dy - 15, a, b, 0.3 * side)
        canvas.paint(arm, plan.fat_hu + 5 * textures.fine, OUTSIDE)
        canvas.paint(canvas.ellipse(x, dy - 15, 0.72 * a, 0.7 * b, 0.3 * side), plan.muscle_hu + 6 * textures.fine, 0)
        canvas.paint(canvas.ellipse(x, dy - 15, 0.2 * a, 0.2 * a), plan.bone_hu + 350, OUTSIDE)
    table = plan.table
    if table:
        at = ANGLES // 4
        back = float((ring.y + plan.fat_mm * np.sin(ring.angle)).max()) if at else 0.0
        top = back + table["gap"] - table["bend"] * (canvas.x - table["x"]) ** 2
        canvas.paint((canvas.y > top) & (canvas.y < top + table["pad"]), table["foam"] + 8 * textures.fine, OUTSIDE)
        under = canvas.y - top - table["pad"]
        canvas.paint((under > 0) & (under < table["thick"]), table["hu"], OUTSIDE)
        canvas.paint((under > 45) & (under < 45 + table["thick"]), table["hu"], OUTSIDE)
