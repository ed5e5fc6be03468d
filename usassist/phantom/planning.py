"""The pose of the probe over time, and the nodules of a random scene."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from usassist.phantom.anatomy import Anatomy
from usassist.phantom.config import NodulePlan, PhantomConfig, rng_of, sample_prior

__all__ = ["Pose", "are_apart", "draw_look", "pose_at", "sample_nodules"]

_BREATH_HZ = 0.23
_KINDS = ("hypo", "iso", "hyper", "cystic", "mixed", "spongiform")
_KIND_P = (0.42, 0.16, 0.08, 0.12, 0.14, 0.08)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """The position of the plane and the tissue at one time.

    Attributes
    ----------
    e_mm : elevation of the plane
    shift_xz_mm : movement of the tissue in the plane, lateral and depth
    pulse : phase of the heart beat, -1 to 1
    """

    e_mm: float
    shift_xz_mm: tuple[float, float]
    pulse: float


def pose_at(config: PhantomConfig, t_s: float) -> Pose:
    """Pose at time `t_s`: a sweep back and forth that slows down at its ends, with breathing and a heart beat."""
    position = math.fmod(abs(t_s) / config.sweep_s, 2.0)
    part = position if position <= 1.0 else 2.0 - position
    part = 0.6 * part + 0.4 * (0.5 - 0.5 * math.cos(math.pi * part))
    start, end = config.sweep_mm
    phase = float(rng_of(config.seed, 0xB4).uniform(0.0, 2.0 * math.pi))
    breath = math.sin(2.0 * math.pi * _BREATH_HZ * t_s + phase)
    beat = math.fmod(config.pulse_hz * t_s, 1.0)
    # steep rise, slow fall with a notch
    pulse = -1.0 + 2.0 * (math.exp(-(((beat - 0.16) / 0.09) ** 2)) + 0.45 * math.exp(-(((beat - 0.45) / 0.16) ** 2)))
    return Pose(
        e_mm=start + (end - start) * part + config.breathing_mm * breath,
        shift_xz_mm=(
            0.7 * config.breathing_mm * math.sin(2.0 * math.pi * 0.11 * t_s),
            0.5 * config.breathing_mm * breath,
        ),
        pulse=min(pulse, 1.0),
    )


def sample_nodules(config: PhantomConfig, anatomy: Anatomy) -> tuple[NodulePlan, ...]:
    """Draw nodules inside the gland: sizes and shapes from the prior, kinds and features by frequency."""
    rng = rng_of(config.seed, 0x10D)
    count = config.nodule_count
    if count is None:
        count = int(rng.choice([0, 1, 2, 3, 4], p=[0.08, 0.30, 0.32, 0.20, 0.10]))
    plans: list[NodulePlan] = []
    for _ in range(count):
        for attempt in range(40):
            plan = _draw(rng, config, anatomy, 0.96**attempt)
            if abs(plan.center_xze_mm[0]) + 0.3 * plan.axes_xze_mm[0] > 0.5 * config.width_mm:
                continue
            if all(are_apart(plan, other) for other in plans):
                plans.append(plan)
                break
    return tuple(plans)


def _draw(rng: np.random.Generator, config: PhantomConfig, anatomy: Anatomy, shrink: float) -> NodulePlan:
    neck = anatomy.neck
    width, height = (shrink * v for v in sample_prior(rng, config.depth_mm * config.width_mm))
    length = width * rng.uniform(0.8, 1.4)
    half_u, half_z, half_y = neck.lobe_half_uzy
    room_z = max(half_z - 0.5 * height, 0.5)
    top = neck.fat + 0.7 * neck.strap + 0.5 * height
    z = max(neck.lobe_z + float(rng.uniform(-1.0, 1.0)) * room_z, top)
    transverse = config.view != "longitudinal"
    across = width if transverse else length
    u = neck.lobe_u + float(rng.uniform(-0.9, 0.9)) * max(half_u - 0.5 * across, 0.8)
    u = max(u, neck.trachea_reach_mm(z, 0.5 * height) + 0.5 * across + 0.3)
    if config.view == "midline" and rng.random() < 0.5:
        u = -u
    y = float(rng.uniform(-0.75, 0.75)) * half_y
    x, e = anatomy.to_probe(u, y)
    return draw_look(rng, (x, z, e), (max(width, 1.5), max(height, 1.5), max(length, 1.5)))


def draw_look(
    rng: np.random.Generator, center_xze_mm: tuple[float, float, float], axes_xze_mm: tuple[float, float, float]
) -> NodulePlan:
    """Draw tissue, border and features of a nodule of this place and these diameters, by frequency."""
    kind = str(rng.choice(_KINDS, p=_KIND_P))
    solid, is_wide = kind in ("hypo", "iso", "hyper", "mixed"), axes_xze_mm[0] > 7
    irregular = kind == "hypo" and rng.random() < 0.45
    echo_db = None
    if kind == "iso":
        echo_db = float(rng.choice([-1.0, 1.0]) * rng.uniform(1.5, 3.0))
    elif kind == "mixed":  # its solid part must differ from gland, or its border would be invisible
        echo_db = float(rng.choice([-1.0, 1.0], p=[0.7, 0.3]) * rng.uniform(2.5, 6.0))
    elif kind == "hypo":
        echo_db = float(-rng.uniform(5.0, 13.0))
    return NodulePlan(
        kind=kind,  # type: ignore[arg-type]
        center_xze_mm=center_xze_mm,
        axes_xze_mm=axes_xze_mm,
        tilt_deg=float(rng.normal(0.0, 10.0)),
        lobulation=float(rng.uniform(0.04, 0.09) if irregular else rng.uniform(0.0, 0.03)),
        margin_mm=float(rng.choice([0.2, 0.4, 0.9, 1.6], p=[0.35, 0.35, 0.2, 0.1]) if kind != "cystic" else 0.18),
        echo_db=echo_db,
        halo=bool(kind in ("iso", "hyper", "mixed") and rng.random() < 0.85),
        micro_calcifications=int(rng.integers(3, 18)) if solid and rng.random() < 0.3 else 0,
        macro_calcification_mm=float(rng.uniform(1.5, 4.5)) if solid and is_wide and rng.random() < 0.12 else 0.0,
    )


def are_apart(a: NodulePlan, b: NodulePlan) -> bool:
    """True when two ellipsoids certainly do not touch."""
    gap = np.array(a.center_xze_mm) - np.array(b.center_xze_mm)
    reach = 0.5 * (np.array(a.axes_xze_mm) + np.array(b.axes_xze_mm)) * 1.1 + 0.6
    return bool(np.sum((gap / reach) ** 2) > 1.15)
