"""The neck around the thyroid, as a parametric 3-D scene.

Neck coordinates, in mm: u is the distance from the midline of the trachea (the neck is symmetric in u except for wavy
borders), z the depth below the skin, y the position from head to foot. A view maps lateral position x and elevation e
of the probe to u and y.

Echo levels are relative to normal gland; attenuation in dB/cm/MHz follows common tables of tissue values.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from usassist.phantom.config import FloatArray, NodulePlan, PhantomConfig, as_float32, rng_of
from usassist.phantom.neck import Neck
from usassist.phantom.nodule import Nodule, TissueMaps
from usassist.phantom.noise import TEXTURES, TextureField

__all__ = ["Anatomy"]

_NOWHERE_MM = 40.0  # distance to a gland that is not there
_MUSCLE_DB, _FAT_DB, _FIBROUS_DB, _LUMEN_DB = -10.5, -6.0, -6.5, -44.0


class Anatomy:
    """Tissue of the neck at any point of any scan plane.

    Parameters
    ----------
    config : view and seed
    extent_xzxz_mm : the part of the plane that will be sampled
    """

    def __init__(self, config: PhantomConfig, extent_xzxz_mm: tuple[float, float, float, float]) -> None:
        self.neck = Neck.draw(config)
        self.view, self._gland, self._uniform = config.view, config.gland, config.tissue == "uniform"
        self.texture = TextureField(config.seed, extent_xzxz_mm)
        rng = rng_of(config.seed, 0xFA5)
        self._tilt = rng.uniform(-0.06, 0.06)
        self._fascia = rng.uniform(0.15, 0.9, 3)

    def to_neck(self, x: Any, e: float) -> tuple[Any, Any]:
        """Neck coordinates u and y of lateral position x in the plane at elevation e."""
        center = self.neck.center_u
        if self.view == "right_lobe":
            return center - x, e
        if self.view == "left_lobe":
            return center + x, e
        if self.view == "midline":
            return x, e
        return center + e, x

    def to_probe(self, u: float, y: float) -> tuple[float, float]:
        """Lateral position x and elevation e of a point of the neck; the inverse of `to_neck`."""
        return self.neck.to_probe(self.view, u, y)

    def make_room(self, plans: tuple[NodulePlan, ...]) -> None:
        """Move the great vessels sideways where a nodule would overlap them."""
        for plan in plans:
            x, _, e = plan.center_xze_mm
            u, _ = self.to_neck(x if self.view != "longitudinal" else 0.0, e)
            half = 0.5 * (plan.axes_xze_mm[2] if self.view == "longitudinal" else max(plan.axes_xze_mm[:2]))
            min_u = abs(u) + half + 1.8 + self.neck.carotid_radius
            self.neck = replace(self.neck, carotid_u=max(self.neck.carotid_u, min_u))

    def maps(
        self, x: FloatArray, z: FloatArray, z_probe: FloatArray, e_mm: float, pulse: float, nodules: tuple[Nodule, ...]
    ) -> tuple[TissueMaps, FloatArray]:
        """Tissue of one plane, without the inside of the nodules.

        Parameters
        ----------
        x, z : float32 (rows, lines), lateral position and depth in body coordinates, mm
        z_probe : float32 (rows, lines), depth below the probe, mm; the skin does not move relative to the probe
        e_mm : elevation of the plane
        pulse : -1 to 1, phase of the heart beat
        nodules : they push the capsule of the gland outwards

        Returns
        -------
        maps : tissue
        reverberation : float32 (rows, lines), amplitude of echoes that are not attenuated by overlying tissue
        """
        n = self.neck
        tex = {name: self.texture.at(name, e_mm, x, z) for name in TEXTURES}
        if self._uniform:
            return _uniform_block(tex["grain"]), np.zeros_like(x)
        signed_u, y = self.to_neck(x + np.float32(0.5) * tex["warp_x"], e_mm)
        u = np.abs(signed_u)
        flat_z = z
        z = (z + np.float32(0.45) * tex["warp_z"] + np.float32(0.13) * tex["ripple"]).astype(np.float32)
        streak = np.clip(tex["stria"] - 0.35, 0.0, 2.2)
        muscle = np.float32(_MUSCLE_DB) + np.float32(5.5) * streak + tex["blob"]
        fibrous = np.float32(_FIBROUS_DB) + np.float32(3.6) * tex["stria"] + np.float32(2.8) * tex["blob"]
        gland = np.float32(n.heterogeneity) * tex["blob"] + np.float32(0.9) * tex["grain"]

        echo = fibrous.astype(np.float32)
        alpha = np.full_like(echo, 0.62)
        mirror = np.zeros_like(echo)
        canvas = TissueMaps(echo, alpha, mirror)

        # behind the gland: longus colli and the spine
        longus = _ellipsoid(u - (n.lobe_u - 1.0), z - (n.spine_z - 3.8), None, (11.0, 3.6, 1.0))
        _fill(canvas, longus, muscle, 0.8)
        _border(canvas, longus, 0.22)
        spine = n.spine_z + np.float32(0.9) * tex["warp_x"] + np.float32(0.5) * tex["ripple"] - z
        canvas.mirror += np.float32(0.7) * np.exp(-((spine / 0.3) ** 2)) * np.clip(0.4 + 0.7 * tex["warp_z"], 0, 1.3)
        _fill(canvas, spine, np.float32(-14.0) + tex["blob"], 3.0)

        # the gland
        lobe = _ellipsoid(u - n.lobe_u, z - n.lobe_z, y, n.lobe_half_uzy)
        wall = np.hypot(u, z - n.trachea_z) - n.trachea_radius
        narrow = np.clip(1.0 - (y / 11.0) ** 2, -1.0, 1.0)
        isthmus = np.maximum(np.abs(wall - 1.3 - n.isthmus / 2) - n.isthmus / 2 * narrow, z - n.trachea_z + 3.0)
        d = _smooth_min(lobe, isthmus.astype(np.float32), 1.5) if self._gland else np.full_like(lobe, _NOWHERE_MM)
        for nodule in nodules:
            if abs(e_mm - nodule.plan.center_xze_mm[2]) < nodule.reach_mm:
                grown, _ = nodule.level(x, flat_z, e_mm)
                d = _smooth_min(d, grown - np.float32(1.2), 1.5)
        _fill(canvas, d, gland, 0.5)
        capsule = d

        # strap muscles and the sternocleidomastoid in front of it
        top = np.float32(n.fat) + np.float32(self._tilt) * x
        taper = np.clip((27.0 - u) / 9.0, 0.0, 1.0) * np.clip((u + 2.0) / 5.0, 0.25, 1.0)
        strap = np.maximum(np.maximum(z - (top + n.strap * taper), top - z), -capsule - 0.3)
        _fill(canvas, strap, muscle, 0.85)
        middle = z - (top + np.float32(0.5 * n.strap) * taper)
        canvas.mirror += np.float32(0.3) * np.exp(-((middle / 0.16) ** 2)) * (strap < -0.3) * (tex["warp_x"] > -0.3)
        _border(canvas, strap, 0.4)
        _border(canvas, capsule, 0.42)
        sterno = _ellipsoid(u - (n.carotid_u + 5.5), z - (top + 4.2), None, (15.0, 4.4, 1.0))
        sterno = np.maximum(sterno, top - z)
        _fill(canvas, sterno, muscle, 0.85)
        _border(canvas, sterno, 0.5)

        # vessels
        radius = n.carotid_radius * (1.0 + 0.035 * pulse)
        carotid = np.hypot(u - (n.carotid_u + 0.05 * y), z - (n.carotid_z - 0.03 * y)) - radius
        self._vessel(canvas, carotid.astype(np.float32), z - n.carotid_z, radius, 0.75)
        half_u, half_z = n.jugular_half_uz[0], n.jugular_half_uz[1] * (1.0 - 0.1 * pulse)
        vein_u, vein_z = n.carotid_u + n.carotid_radius + half_u * 0.8, n.carotid_z - 0.8 * n.carotid_radius - half_z
        jugular = _ellipsoid(u - vein_u, z - max(vein_z, n.fat + half_z + 1.5), None, (half_u, half_z, 1.0))
        self._vessel(canvas, jugular, z - vein_z, half_z, 0.35)

        reverberation = self._trachea(canvas, as_float32(u), z, as_float32(wall), tex)
        self._skin_and_fat(canvas, z_probe, tex, top)
        # no interface reflects uniformly: connective tissue varies in thickness and orientation
        canvas.mirror *= np.clip(0.55 + 0.4 * tex["stria"] + 0.35 * tex["septa"] + 0.25 * tex["grain"], 0.06, 1.5)
        return canvas, reverberation

    def _vessel(self, canvas: TissueMaps, d: FloatArray, dz: FloatArray, radius: float, wall_mm: float) -> None:
        upright = np.clip(np.abs(dz) / radius, 0.0, 1.0) ** 3
        _fill(canvas, d - np.float32(wall_mm), 2.0 + 4.0 * upright, 0.6)
        _fill(canvas, d, np.float32(_LUMEN_DB), 0.16)
        canvas.mirror *= d > 0
        canvas.mirror += np.float32(0.75) * np.exp(-((d / 0.13) ** 2)) * upright
        # edge shadow: the beam is refracted at the flank of a round wall
        canvas.alpha += np.float32(1.2) * np.exp(-((d / 0.35) ** 2)) * np.exp(-((dz / (0.3 * radius)) ** 2))

    def _trachea(
        self, canvas: TissueMaps, u: FloatArray, z: FloatArray, wall: FloatArray, tex: dict[str, FloatArray]
    ) -> FloatArray:
        n = self.neck
        facing = np.clip((n.trachea_z - z) / n.trachea_radius, 0.0, 1.0)
        _fill(canvas, np.abs(wall - 0.7) - 0.6, np.float32(-11.0) + tex["blob"], 1.2)
        air = np.clip(0.5 - wall / 0.3, 0.0, 1.0)
        canvas.mirror *= (1.0 - air) * (np.abs(wall - 0.7) > 0.55)
        canvas.mirror += np.float32(1.6) * np.exp(-((wall / 0.2) ** 2)) * facing**1.2
        canvas.alpha += air * np.float32(14.0)
        canvas.echo_db += air * (np.float32(-20.0) - canvas.echo_db)
        # reverberation: air reflects everything, and multiple reflections appear at greater depth
        steep = np.sqrt(np.clip(1.0 - (u / n.trachea_radius) ** 2, 0.0, 1.0))
        below = np.clip(z - n.trachea_z + n.trachea_radius * steep, 0.0, None)
        rings = np.cos(2.0 * np.pi * np.clip(-wall, 0.0, None) / n.reverberation_mm) ** 8 * np.sqrt(facing)
        level_db = -11.0 - 1.5 * below + 15.0 * rings * np.exp(-below / 7.0) + 2.5 * tex["blob"]
        shown = np.clip(below / 0.3, 0.0, 1.0) * steep**0.8
        return as_float32(np.exp(np.float32(0.1151) * level_db) * shown)

    def _skin_and_fat(self, canvas: TissueMaps, z: FloatArray, tex: dict[str, FloatArray], top: FloatArray) -> None:
        n = self.neck
        depth = z + np.float32(0.25) * tex["warp_z"] + np.float32(0.1) * tex["ripple"]
        septa = np.exp(-((tex["septa"] / 0.16) ** 2))
        fat = np.float32(_FAT_DB) + 1.5 * tex["blob"] + 7.0 * septa + 2.0 * tex["stria"]
        _fill(canvas, depth - top, fat, 0.55)
        canvas.mirror *= depth > top - 0.2
        for part in self._fascia:
            line = depth - (n.skin + part * (top - n.skin)) - np.float32(0.2) * tex["septa"]
            canvas.mirror += np.float32(0.35) * np.exp(-((line / 0.14) ** 2)) * (tex["warp_x"] * part > -0.35)
        canvas.mirror += np.float32(0.6) * np.exp(-(((depth - top) / 0.18) ** 2))
        _fill(canvas, depth - n.skin, np.float32(3.0) + tex["stria"], 0.9)
        canvas.mirror += np.float32(0.6) * np.exp(-(((depth - n.skin) / 0.15) ** 2))
        canvas.echo_db += np.float32(9.0) * np.exp(-((z / 0.35) ** 2))


def _uniform_block(grain: FloatArray) -> TissueMaps:
    """Speckle of one level and one attenuation, as in a block for testing scanners."""
    return TissueMaps(as_float32(0.3 * grain), np.full_like(grain, 0.5), np.zeros_like(grain))


def _ellipsoid(du: Any, dz: Any, dy: Any, half: tuple[float, float, float]) -> FloatArray:
    """First-order signed distance to an ellipsoid (to a cylinder along y when `dy` is None), mm, negative inside."""
    a, b, c = half
    rho2 = (du / a) ** 2 + (dz / b) ** 2 + 1e-4
    slope2 = (du / a**2) ** 2 + (dz / b**2) ** 2 + 1e-6
    if dy is not None:
        rho2 = rho2 + (dy / c) ** 2
        slope2 = slope2 + (dy / c**2) ** 2
    rho = np.sqrt(rho2)
    return as_float32((rho - 1.0) * rho / np.sqrt(slope2))


def _smooth_min(a: FloatArray, b: FloatArray, width: float) -> FloatArray:
    """Smooth minimum of two distances: the crease is rounded."""
    h = np.clip(width - np.abs(a - b), 0.0, None)
    return as_float32(np.minimum(a, b) - h * h * (0.25 / width))


def _fill(canvas: TissueMaps, d: FloatArray, echo_db: Any, alpha: float) -> None:
    """Replace the tissue where d < 0, with a transition 0.3 mm wide."""
    m = np.clip(0.5 - d / np.float32(0.3), 0.0, 1.0)
    canvas.echo_db += m * (echo_db - canvas.echo_db)
    canvas.alpha += m * (np.float32(alpha) - canvas.alpha)


def _border(canvas: TissueMaps, d: FloatArray, gain: float) -> None:
    """Add a reflecting line at d = 0, brightest where it is perpendicular to the beam."""
    slope_z = np.gradient(d, axis=0)
    slope_x = np.gradient(d, axis=1)
    upright = slope_z**2 / (slope_z**2 + slope_x**2 * np.float32(0.12) + np.float32(1e-9))
    inside = canvas.mirror
    inside *= d > -0.15
    inside += np.float32(gain) * np.exp(-((d / np.float32(0.13)) ** 2)) * upright**2
