"""What a simulated abdomen is made of: one random draw of sizes, contrasts and oddities, from T11 to L5.

Coordinates, in mm, are fixed to the body: x to the patient's left, y to the back, z to the head. The origin is the
centre of the body of L3. The numbers are wide ranges around what textbooks of anatomy and published CT values give;
they were not fitted to any image.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError
from usassist.phantom.ct.abdomen_organs import draw_blobs
from usassist.phantom.ct.abdomen_shapes import ANGLES, AbdomenPlan

__all__ = ["BODY_TYPES", "draw_plan"]

FloatArray = npt.NDArray[np.float32]

# half width of the muscular ring, distance from spine to anterior wall, subcutaneous fat, lateral wall (all mm),
# mean HU of muscle, share of the cavity filled with organs and bowel
BODY_TYPES: dict[str, tuple[tuple[float, float], ...]] = {
    "cachectic": ((108, 132), (55, 85), (1.5, 7), (4, 11), (15, 50), (0.85, 1.0)),
    "slim": ((120, 145), (70, 105), (5, 16), (11, 25), (35, 65), (0.6, 0.95)),
    "normal": ((128, 158), (85, 130), (11, 30), (11, 28), (30, 62), (0.4, 0.85)),
    "overweight": ((142, 172), (105, 155), (18, 45), (10, 26), (20, 55), (0.35, 0.75)),
    "obese": ((148, 185), (115, 180), (38, 85), (7, 22), (5, 48), (0.3, 0.7)),
    "visceral": ((148, 180), (135, 200), (9, 32), (8, 22), (10, 50), (0.2, 0.55)),
}


def smooth_wave(rng: np.random.Generator, spread: float, first: int = 1, last: int = 6) -> FloatArray:
    """A periodic random function of the angle with standard deviation of about `spread`."""
    angle = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    total = np.zeros(ANGLES)
    for order in range(first, last + 1):
        total += rng.normal(0, 1.0 / order) * np.cos(order * angle + rng.uniform(0, 2 * np.pi))
    weight = np.sqrt(sum(0.5 / order**2 for order in range(first, last + 1)))
    return np.asarray(spread * total / weight, np.float32)


def draw_plan(seed: int, body_type: str | None = None) -> AbdomenPlan:
    """Draw an abdomen; the same seed gives the same one.

    Parameters
    ----------
    seed : 0 or more
    body_type : key of ``BODY_TYPES``; None = drawn

    Raises
    ------
    UsageError
        If there is no such body type.
    """
    rng = np.random.default_rng([seed, 0xAB])
    names = list(BODY_TYPES)
    drawn = names[int(rng.integers(len(names)))]
    body_type = body_type or drawn
    if body_type not in BODY_TYPES:
        raise UsageError(f"no body type {body_type}; known: {', '.join(names)}")
    width, depth, fat, wall, hu, fill = BODY_TYPES[body_type]
    u = rng.uniform
    scale = u(0.88, 1.12)
    fat_mm = u(*fat)
    back = np.exp(-0.5 * ((np.arange(ANGLES) - ANGLES / 4) / (0.05 * ANGLES)) ** 2)
    flanks = np.abs(np.sin(2 * np.pi * (np.arange(ANGLES) / ANGLES + 0.06))) ** 2
    fat_function = fat_mm * (1 + smooth_wave(rng, 0.13) + u(-0.25, 0.4) * flanks - u(0.0, 0.45) * back)
    openings = []
    for _ in range(int(rng.choice([0, 0, 0, 0, 1, 1, 2]))):
        # angle (mostly in front), half width and half height of the gap, depth and size of what lies outside, mm
        openings.append((u(-np.pi, 0), u(8, 35), u(15, 50), u(5, 60), float(rng.choice([0.0, 1.0]))))
    plan = AbdomenPlan(
        seed=seed,
        body_type=body_type,
        scale=scale,
        half_width=u(*width) * u(0.95, 1.05),
        anterior=u(*depth),
        posterior=u(58, 88) * scale,
        power_anterior=u(1.9, 2.6),
        power_posterior=u(2.2, 3.2),
        waist=u(-0.02, 0.12),
        groove=u(2, 16),
        outline_waves=smooth_wave(rng, 0.012, 2, 7),
        fat_mm=np.maximum(fat_function, 0.8).astype(np.float32),
        skin_mm=u(1.2, 3.2),
        wall_mm=u(*wall),
        wall_waves=smooth_wave(rng, 0.2, 1, 9).clip(-0.7, 1.0),
        back_thinning=u(0, 0.75),
        chest_mm=u(4.5, 13) * (0.7 if body_type == "cachectic" else 1.0),
        oedema=u(0, 1) ** 4 * 45,
        fascia_share=u(0.25, 0.75) if u(0, 1) < 0.6 else 2.0,
        rectus_mm=u(0.35, 0.8) * u(*wall),
        rectus_half_width=u(38, 75),
        linea_alba_mm=u(1, 6) if u(0, 1) < 0.75 else u(6, 25),
        semilunar_mm=u(1, 12),
        layer_gap=u(0.0, 2.2),
        openings=tuple(openings),
        erector_end=u(62, 92) * scale,
        erector_start_y=u(4, 20) * scale,
        erector_power=u(1.8, 4.5),
        erector_taper=u(-0.08, 0.2),
        psoas_mm=(u(9, 24), u(12, 28)) if body_type != "cachectic" else (u(6, 14), u(8, 17)),
        quadratus_mm=u(4, 13),
        muscle_hu=u(*hu) + (u(5, 20) if u(0, 1) < 0.4 else 0),
        muscle_fat=u(0, 1) ** 2 * (0.6 if body_type in ("obese", "visceral", "cachectic") else 0.4),
        fat_hu=u(-118, -92),
        visceral_hu=u(-116, -82),
        skin_hu=u(-30, 60),
        bone_hu=u(90, 320),
        rib_drop=u(60, 120),
        rib_count=int(rng.integers(6, 9)),
        cartilage_hu=u(60, 180),
        spacing_vertebra=u(32, 38) * scale,
        lung_base_z=u(45, 115),
        ascites=bool(u(0, 1) < 0.06),
        arms=(),
    )
    if u(0, 1) < 0.85:
        plan.table = {
            "gap": u(0, 12),
            "hu": u(-350, 150),
            "thick": u(1.5, 6),
            "bend": u(0, 0.0025),
            "foam": u(-980, -750),
            "pad": u(0, 30),
            "x": u(-30, 30),
        }
    if u(0, 1) < 0.22:
        radius = u(24, 50) * (1.25 if body_type in ("obese", "overweight") else 1.0)
        sides = [s for s in (-1.0, 1.0) if u(0, 1) < 0.85]
        plan.arms = tuple((s, u(-15, 25), u(-50, 50), radius * u(0.9, 1.1), radius * u(0.7, 1.0)) for s in sides)
    plan.blobs = draw_blobs(plan, rng, u(*fill))
    return plan
