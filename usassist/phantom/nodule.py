"""The nodules: their surface, their section with a plane, and their tissue.

A nodule is an ellipsoid whose radius is multiplied by a smooth function of direction g (a few plane waves on the unit
sphere). A point with normalised coordinates q (each axis divided by its half-diameter) is inside if
``|q| < g(q / |q|)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from usassist.phantom.config import FloatArray, NodulePlan, as_float32, rng_of
from usassist.phantom.noise import TextureField

__all__ = ["Nodule", "Section", "TissueMaps"]

_WAVES = 7
_ANGLES = 160
# mean echo in dB relative to gland, spread of that value, attenuation in dB/cm/MHz
_TISSUE: dict[str, tuple[float, float, float]] = {
    "hypo": (-10.0, 1.6, 0.60),
    "iso": (-0.5, 1.0, 0.50),
    "hyper": (5.0, 1.0, 0.55),
    "cystic": (-46.0, 2.0, 0.02),
    "mixed": (-3.0, 2.0, 0.45),
    "spongiform": (1.0, 1.0, 0.30),
}
_CALCIFICATION_ALPHA = 22.0


@dataclass(slots=True)
class TissueMaps:
    """Acoustic properties of each sample, all float32 (rows, lines).

    Attributes
    ----------
    echo_db : mean backscatter relative to gland, dB
    alpha : attenuation, dB/cm/MHz
    mirror : amplitude of specular reflectors, which add in phase, relative to gland = 1
    """

    echo_db: FloatArray
    alpha: FloatArray
    mirror: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """The section of a nodule with a plane.

    Attributes
    ----------
    outline_xz_mm : float64 (160, 2), lateral and depth, closed polygon
    major_mm : longest diameter of the outline
    minor_mm : widest extent across it
    area_mm2 : area inside the outline
    ends_xz_mm : the two ends of the longest diameter, (2, 2)
    """

    outline_xz_mm: np.ndarray[Any, np.dtype[np.float64]]
    major_mm: float
    minor_mm: float
    area_mm2: float
    ends_xz_mm: np.ndarray[Any, np.dtype[np.float64]]


class Nodule:
    """One nodule in the body.

    Parameters
    ----------
    plan : its kind, size and position
    identity : 1 to 255, its value in label maps
    seed : of the wavy surface and the inner structure
    """

    def __init__(self, plan: NodulePlan, identity: int, seed: int) -> None:
        self.plan, self.identity = plan, identity
        rng = rng_of(seed, identity, 0x0D)
        self._half = np.array(plan.axes_xze_mm) / 2.0
        angle = math.radians(plan.tilt_deg)
        self._cos, self._sin = math.cos(angle), math.sin(angle)
        direction = rng.standard_normal((_WAVES, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        self._wave = direction * rng.uniform(2.5, 7.0, (_WAVES, 1))
        self._phase = rng.uniform(0.0, 2.0 * np.pi, _WAVES)
        self._gain = plan.lobulation * math.sqrt(2.0 / _WAVES)
        mean, spread, self.alpha = _TISSUE[plan.kind]
        self.echo_db = plan.echo_db if plan.echo_db is not None else float(mean + spread * rng.uniform(-1.0, 1.0))
        count = {"mixed": int(rng.integers(2, 5))}.get(plan.kind, 0)
        self._cavity = _in_ball(rng, count, 0.5)
        self._cavity_radius = rng.uniform(0.28, 0.55, count)
        self._foci = _in_ball(rng, plan.micro_calcifications, 0.8)
        self._foci_gain = rng.uniform(1.0, 2.6, plan.micro_calcifications)
        self._macro = _in_ball(rng, 1, 0.45)[0] * self._half
        self._weave = rng.uniform(0.0, 2.0 * np.pi, 3)
        self.reach_mm = float(self._half.max() * (1.0 + 3.0 * plan.lobulation) + 2.0)

    def level(self, x_mm: FloatArray, z_mm: FloatArray, e_mm: float) -> tuple[FloatArray, tuple[FloatArray, ...]]:
        """Signed distance to the surface along the line to the centre, mm, and the normalised coordinates."""
        dx = x_mm - np.float32(self.plan.center_xze_mm[0])
        dz = z_mm - np.float32(self.plan.center_xze_mm[1])
        de = np.float32(e_mm - self.plan.center_xze_mm[2])
        q1 = (dx * np.float32(self._cos) + dz * np.float32(self._sin)) / np.float32(self._half[0])
        q2 = (dz * np.float32(self._cos) - dx * np.float32(self._sin)) / np.float32(self._half[1])
        q3 = de / np.float32(self._half[2])
        rho = np.sqrt(q1 * q1 + q2 * q2 + q3 * q3) + np.float32(1e-6)
        distance = np.sqrt(dx * dx + dz * dz + de * de) + np.float32(1e-6)
        radius = self._radius(q1 / rho, q2 / rho, q3 / rho) if self._gain else np.float32(1.0)
        signed: FloatArray = ((1.0 - radius / rho) * distance).astype(np.float32)
        return signed, (as_float32(q1), as_float32(q2), np.broadcast_to(q3, q1.shape))

    def _radius(self, d1: Any, d2: Any, d3: Any) -> FloatArray:
        total = np.zeros(np.broadcast(d1, d2).shape, np.float32)
        for wave, phase in zip(self._wave.astype(np.float32), self._phase.astype(np.float32), strict=True):
            total += np.sin(wave[0] * d1 + wave[1] * d2 + wave[2] * d3 + phase)
        result: FloatArray = np.clip(1.0 + np.float32(self._gain) * total, 0.6, 1.4).astype(np.float32)
        return result

    def section(self, e_mm: float) -> Section | None:
        """The section with the plane at elevation `e_mm`, or None where it misses the nodule.

        The longest diameter is that of the outline's vertices; the other is the widest extent across it (the pair that
        a sonographer measures).
        """
        q3 = (e_mm - self.plan.center_xze_mm[2]) / self._half[2]
        if abs(q3) >= 1.0 + 3.5 * self.plan.lobulation:
            return None
        theta = np.arange(_ANGLES) * (2.0 * np.pi / _ANGLES)
        c, s = np.cos(theta), np.sin(theta)
        low, high = np.zeros(_ANGLES), np.full(_ANGLES, 1.6)
        for _ in range(18):
            middle = 0.5 * (low + high)
            rho = np.sqrt(middle**2 + q3**2) + 1e-9
            radius: Any = 1.0
            if self._gain:
                radius = self._radius(*((v / rho).astype(np.float32) for v in (middle * c, middle * s, q3 + 0 * rho)))
            inside = rho < radius
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        reach = 0.5 * (low + high)
        if reach.min() < 0.01:
            return None
        p1, p2 = reach * c * self._half[0], reach * s * self._half[1]
        outline = np.stack([p1 * self._cos - p2 * self._sin, p1 * self._sin + p2 * self._cos], axis=1)
        gap = outline[:, None, :] - outline[None, :, :]
        i, j = np.unravel_index(int(np.argmax((gap**2).sum(-1))), (_ANGLES, _ANGLES))
        along = outline[i] - outline[j]
        major = float(np.hypot(*along))
        across = outline @ np.array([-along[1], along[0]]) / major
        nxt = np.roll(outline, -1, axis=0)
        area = 0.5 * abs(float(np.sum(outline[:, 0] * nxt[:, 1] - outline[:, 1] * nxt[:, 0])))
        outline += np.array(self.plan.center_xze_mm[:2])
        return Section(
            outline_xz_mm=outline,
            major_mm=major,
            minor_mm=float(np.ptp(across)),
            area_mm2=area,
            ends_xz_mm=outline[[i, j]],
        )

    def paint(self, maps: TissueMaps, x_mm: FloatArray, z_mm: FloatArray, e_mm: float, texture: TextureField) -> None:
        """Write the nodule's tissue into the maps, in place. `x_mm` and `z_mm` are in body coordinates."""
        if abs(e_mm - self.plan.center_xze_mm[2]) > self._half[2] * (1.0 + 3.0 * self.plan.lobulation) + 1.0:
            return
        near = np.abs(x_mm - self.plan.center_xze_mm[0]) < self.reach_mm
        near &= np.abs(z_mm - self.plan.center_xze_mm[1]) < self.reach_mm
        rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        if not rows.size or not columns.size:
            return
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        x, z = x_mm[box], z_mm[box]
        echo, alpha, mirror = maps.echo_db[box], maps.alpha[box], maps.mirror[box]
        d, q = self.level(x, z, e_mm)
        inside = np.clip(0.5 - d / np.float32(self.plan.margin_mm), 0.0, 1.0)

        tissue = texture.at("blob", e_mm + 40.0, x, z) * np.float32(1.1)
        tissue += texture.at("grain", e_mm + 40.0, x, z) * np.float32(0.9)
        tissue += np.float32(self.echo_db)
        fluid = self._fluid(d, q, texture.at("ripple", e_mm, x, z), texture.at("blob", e_mm, x, z))
        if fluid is not None:
            tissue += fluid * (np.float32(-46.0) - tissue)
        echo += inside * (tissue - echo)
        inner_alpha = np.float32(self.alpha) if fluid is None else self.alpha + fluid * np.float32(0.02 - self.alpha)
        alpha += inside * (inner_alpha - alpha)
        mirror *= 1.0 - inside
        if self.plan.halo:
            echo -= np.float32(8.0) * np.exp(-(((d + 0.25) / 0.45) ** 2))
        if self.plan.margin_mm < 0.5:  # a smooth border refracts the beam at its flanks
            alpha += np.float32(1.6) * np.exp(-((d / 0.4) ** 2)) * np.exp(-((q[1] / 0.22) ** 2))
        if self.plan.kind == "cystic":  # thin wall, visible where it is perpendicular to the beam
            mirror += np.float32(0.5) * np.exp(-((d / 0.14) ** 2)) * np.abs(np.clip(q[1], -1, 1)) ** 6
        self._paint_calcium(echo, alpha, mirror, x, z, e_mm)

    def _fluid(
        self, d: FloatArray, q: tuple[FloatArray, ...], ripple: FloatArray, blob: FloatArray
    ) -> FloatArray | None:
        if self.plan.kind == "mixed":
            fluid = np.zeros_like(d)
            for center, radius in zip(self._cavity, self._cavity_radius, strict=True):
                gap = np.sqrt(sum((v - np.float32(c)) ** 2 for v, c in zip(q, center, strict=True)))
                np.maximum(fluid, np.clip((np.float32(radius) - gap) * 14.0 + 0.5, 0.0, 1.0), out=fluid)
            fluid *= np.clip((-d - 0.5) / 0.4, 0.0, 1.0)
            return fluid
        if self.plan.kind == "spongiform":
            # a gyroid with bent axes: cavities of about 1.3 mm throughout the nodule
            bend = (0.7 * ripple, 0.8 * blob, 0.5 * (ripple - blob))
            a, b, c = (
                (v * np.float32(h) + k) * np.float32(2.7) + np.float32(p)
                for v, h, k, p in zip(q, self._half, bend, self._weave, strict=True)
            )
            weave = np.sin(a) * np.cos(b) + np.sin(b) * np.cos(c) + np.sin(c) * np.cos(a)
            cells: FloatArray = np.clip((weave - 0.4) * 2.0, 0.0, 0.75) * np.clip((-d - 0.3) / 0.3, 0.0, 1.0)
            return cells
        return None

    def _paint_calcium(
        self, echo: FloatArray, alpha: FloatArray, mirror: FloatArray, x: FloatArray, z: FloatArray, e_mm: float
    ) -> None:
        for focus, gain in zip(self._foci * self._half, self._foci_gain, strict=True):
            weight = math.exp(-0.5 * ((e_mm - self.plan.center_xze_mm[2] - focus[2]) / 0.6) ** 2)
            if weight > 0.05:
                gap = (x - self._body_x(focus)) ** 2 + (z - self._body_z(focus)) ** 2
                spot = np.unravel_index(int(np.argmin(gap)), gap.shape)
                if gap[spot] < 0.1:
                    mirror[spot] += np.float32(8.0 * gain * weight)
                    alpha[spot] += np.float32(6.0 * weight)
        size = self.plan.macro_calcification_mm
        if size > 0:
            de = e_mm - self.plan.center_xze_mm[2] - self._macro[2]
            gap = (x - self._body_x(self._macro)) ** 2 + (1.6 * (z - self._body_z(self._macro))) ** 2
            d = np.sqrt(gap + np.float32(de**2)) - np.float32(size / 2)
            solid = np.clip(0.5 - d / 0.25, 0.0, 1.0)
            echo += solid * (13.0 - echo)
            alpha += solid * (_CALCIFICATION_ALPHA - alpha)

    def _body_x(self, p: np.ndarray[Any, Any]) -> np.float32:
        return np.float32(self.plan.center_xze_mm[0] + p[0] * self._cos - p[1] * self._sin)

    def _body_z(self, p: np.ndarray[Any, Any]) -> np.float32:
        return np.float32(self.plan.center_xze_mm[1] + p[0] * self._sin + p[1] * self._cos)


def _in_ball(rng: np.random.Generator, count: int, radius: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Points uniformly distributed in a ball."""
    p = rng.standard_normal((count, 3))
    p /= np.linalg.norm(p, axis=1, keepdims=True) + 1e-9
    scaled: np.ndarray[Any, np.dtype[np.float64]] = p * radius * rng.random((count, 1)) ** (1.0 / 3.0)
    return scaled
