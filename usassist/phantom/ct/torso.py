"""A simple torso around a simulated spine: what a level finder meets, with the truth of the levels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from usassist.phantom.ct.spine import Spine, Vertebra

__all__ = ["TorsoPlan", "draw_torso_plan", "make_torso"]

FloatArray = npt.NDArray[np.float32]
_AIR_HU, _FAT_HU, _MUSCLE_HU = -1000.0, -100.0, 55.0
_STEP_MM = 1.5  # planes that are averaged in a thick slice


@dataclass(frozen=True, slots=True, kw_only=True)
class TorsoPlan:
    """What is drawn beside the bones.

    Attributes
    ----------
    fat_mm : thickness of the subcutaneous fat
    aorta_hu, kidney_hu, bowel_hu : contents; above 150 with contrast medium
    lung_base_mm : z of the lowest lung above the middle of T12
    noise_hu : standard deviation
    table : there is one
    """

    fat_mm: float = 20.0
    aorta_hu: float = 45.0
    kidney_hu: float = 35.0
    bowel_hu: float = 20.0
    lung_base_mm: float = 0.0
    noise_hu: float = 15.0
    table: bool = True


def draw_torso_plan(seed: int) -> TorsoPlan:
    """Random fat, contrast medium (in about half), lung and noise."""
    rng = np.random.default_rng([seed, 0x70])
    contrast = rng.random() < 0.5
    return TorsoPlan(
        fat_mm=float(rng.uniform(6, 60)),
        aorta_hu=float(rng.uniform(120, 380)) if contrast else 42.0,
        kidney_hu=float(rng.uniform(120, 280)) if contrast else 32.0,
        bowel_hu=float(rng.uniform(200, 500)) if rng.random() < 0.4 else 20.0,
        lung_base_mm=float(rng.normal(0, 18)),
        noise_hu=float(rng.uniform(6, 35)),
        table=bool(rng.random() < 0.8),
    )


def make_torso(
    seed: int, spine: Spine, plan: TorsoPlan, *, z_range_mm: tuple[float, float],
    spacing_zyx_mm: tuple[float, float, float] = (3.0, 2.0, 2.0), width_mm: float = 420.0,
    thickness_mm: float | None = None,
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.float64], tuple[Vertebra, ...]]:  # fmt: skip
    """A volume, made plane by plane.

    Parameters
    ----------
    seed : of the noise and of where organs lie
    spine, plan : of the patient
    z_range_mm : of the field of view, in the coordinates of the spine
    spacing_zyx_mm, width_mm : of the grid; planes are square
    thickness_mm : of a slice; None = the distance of the slices

    Returns
    -------
    hu : int16 (Z, Y, X), z ascends to the head
    affine_ijk_to_lps_mm : float64 (4, 4)
    vertebrae : of the spine, all of them; those outside `z_range_mm` are not in the volume
    """
    rng = np.random.default_rng([seed, 0x71])
    dz, dy, dx = spacing_zyx_mm
    depth, side = max(round((z_range_mm[1] - z_range_mm[0]) / dz), 1), round(width_mm / dx)
    rows = round(width_mm / dy)
    thick = dz if thickness_mm is None else thickness_mm
    parts = max(round(thick / _STEP_MM), 1)
    x = ((np.arange(side) - (side - 1) / 2) * dx).astype(np.float32)
    y = ((np.arange(rows) - (rows - 1) / 2) * dy - 60.0).astype(np.float32)
    bowel = np.column_stack([rng.uniform(-85, 85, 14), rng.uniform(-150, -75, 14), rng.uniform(-40, 190, 14)])
    volume = np.zeros((depth, rows, side), np.int16)
    for k in range(depth):
        z = z_range_mm[0] + k * dz
        plane = np.zeros((rows, side), np.float32)
        for part in range(parts):
            plane += _plane(spine, plan, x, y, z + ((part + 0.5) / parts - 0.5) * thick, bowel)
        plane = np.asarray(cv2.GaussianBlur(plane / parts, (0, 0), 0.6 / dx), np.float32)
        noise = cv2.GaussianBlur(rng.standard_normal(plane.shape, np.float32), (0, 0), 0.7)
        volume[k] = np.clip(np.rint(plane + noise * (plan.noise_hu / 0.4)), -1024, 3071)
    affine = np.diag([dx, dy, dz, 1.0])
    affine[:3, 3] = (x[0], y[0], z_range_mm[0])
    return volume, affine, spine.vertebrae


def _ellipse(x: FloatArray, y: FloatArray, cx: float, cy: float, a: float, b: float) -> npt.NDArray[np.bool_]:
    return np.asarray(((x[None, :] - cx) / a) ** 2 + ((y[:, None] - cy) / b) ** 2 < 1)


def _plane(
    spine: Spine, plan: TorsoPlan, x: FloatArray, y: FloatArray, z: float, bowel: npt.NDArray[np.float64]
) -> FloatArray:
    a, b = spine.plan.wall_xy_mm
    s = spine.plan.scale
    sx, sy = spine.at(z)
    by_name = {item.name: item.centre_mm[2] for item in spine.vertebrae}
    back = 78.0 * s  # from the origin to the outer surface of the muscles of the back
    cy = back - (b + 16)
    hu = np.full((y.size, x.size), _AIR_HU, np.float32)
    skin = _ellipse(x, y, 0, cy, a + 14 + plan.fat_mm, b + 20 + 0.7 * plan.fat_mm)
    hu[skin] = _FAT_HU
    wall = _ellipse(x, y, 0, cy, a + 12, b + 14)
    hu[wall] = _MUSCLE_HU
    hu[_ellipse(x, y, 0, cy - 10, a - 8, b - 12)] = _FAT_HU
    hu[_ellipse(x, y, sx, sy + 45 * s, 62 * s, 24 * s)] = _MUSCLE_HU
    for way in (-1, 1):
        psoas = np.clip((by_name["T12"] - z) / 100, 0, 1.2)
        if psoas > 0.1:
            hu[_ellipse(x, y, sx + way * (26 + 12 * psoas) * s, sy, 18 * psoas * s, 20 * psoas * s)] = _MUSCLE_HU
        kidney = 1 - ((z - by_name["L1"] + 25) / 58) ** 2
        if kidney > 0:
            hu[_ellipse(x, y, sx + way * 62 * s, sy + 2, 27 * kidney**0.5, 29 * kidney**0.5)] = plan.kidney_hu
    if z > by_name["L2"]:
        hu[_ellipse(x, y, -0.45 * a, cy - 10, 0.5 * a, 0.75 * b)] = 60
    if z > by_name["L4"] - 15:
        hu[_ellipse(x, y, sx + 6, sy - 30 * s, 10, 10)] = plan.aorta_hu
        hu[_ellipse(x, y, sx - 18, sy - 28 * s, 11, 9)] = 45 + 0.4 * (plan.aorta_hu - 45)
    for index, (bx, by, bz) in enumerate(bowel):
        size = 1 - ((z - bz) / 26) ** 2
        if size > 0:
            hu[_ellipse(x, y, bx, by, 20 * size**0.5, 18 * size**0.5)] = (-950, plan.bowel_hu, plan.bowel_hu)[index % 3]
    above = z - by_name["T12"] - plan.lung_base_mm
    if above > 0:
        outer = _ellipse(x, y, 0, cy - 8, a - 9, b - 12)
        inner = _ellipse(x, y, 0, cy - 12 - 0.2 * above, a - 11 - 0.35 * above, b - 16 - 0.5 * above)
        hu[outer & ~inner & (np.abs(x[None, :] - sx) > 26 * s)] = -850
    if plan.table:
        curve = back + 0.7 * plan.fat_mm + 12 - 0.0006 * x[None, :] ** 2
        hu[np.abs(y[:, None] - curve) < 1.5] = 60
    spine.paint(hu, x, y, z)
    return hu
