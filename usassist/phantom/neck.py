"""The dimensions of a neck, in the coordinates of :mod:`usassist.phantom.anatomy`."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from usassist.phantom.config import PhantomConfig, rng_of

__all__ = ["Neck"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Neck:
    """The dimensions of one neck, mm; see :meth:`draw`."""

    skin: float
    fat: float
    strap: float
    trachea_radius: float
    trachea_z: float
    lobe_u: float
    lobe_z: float
    lobe_half_uzy: tuple[float, float, float]
    isthmus: float
    carotid_u: float
    carotid_z: float
    carotid_radius: float
    jugular_half_uz: tuple[float, float]
    spine_z: float
    heterogeneity: float
    reverberation_mm: float
    center_u: float

    @classmethod
    def draw(cls, config: PhantomConfig) -> Neck:
        """Draw random dimensions for a configuration."""
        rng = rng_of(config.seed, 0xA7A)
        skin = rng.uniform(1.2, 2.0)
        fat = skin + rng.uniform(1.6, 6.0) * min(1.0, config.depth_mm / 40.0)
        strap = rng.uniform(3.2, 5.2)
        radius = rng.uniform(8.0, 10.5)
        half = (rng.uniform(8.0, 11.0), rng.uniform(6.8, 9.5), rng.uniform(20.0, 26.0))
        top = fat + strap
        lobe_u = 0.72 * radius + half[0] - 1.0
        carotid_radius = rng.uniform(2.6, 3.7)
        neck = cls(
            skin=skin,
            fat=fat,
            strap=strap,
            trachea_radius=radius,
            trachea_z=top + rng.uniform(2.2, 3.5) + radius,
            lobe_u=lobe_u,
            lobe_z=top + half[1] + 0.3,
            lobe_half_uzy=half,
            isthmus=rng.uniform(1.6, 3.2),
            carotid_u=lobe_u + 0.85 * half[0] + carotid_radius + rng.uniform(0.8, 2.5),
            carotid_z=top + half[1] + rng.uniform(0.5, 4.0),
            carotid_radius=carotid_radius,
            jugular_half_uz=(rng.uniform(3.0, 6.0), rng.uniform(1.4, 3.2)),
            spine_z=top + 2.0 * half[1] + rng.uniform(7.0, 12.0),
            heterogeneity=rng.uniform(0.5, 1.6),
            reverberation_mm=rng.uniform(1.8, 3.0),
            center_u=0.0 if config.view == "midline" else lobe_u + rng.uniform(-1.0, 3.0),
        )
        if config.view != "midline":
            neck = replace(neck, center_u=neck.center_u + config.lateral_mm)
        if not config.gland:  # what lay beside the gland moves into its place
            neck = replace(
                neck,
                carotid_u=radius + carotid_radius + rng.uniform(2.5, 9.0),
                carotid_z=top + rng.uniform(0.7, 1.3) * half[1],
                spine_z=neck.spine_z - rng.uniform(0.0, 6.0),
            )
        return neck

    def trachea_reach_mm(self, z_mm: float, half_height_mm: float) -> float:
        """Half-width of the trachea and its wall over the depths `z_mm` ± `half_height_mm`."""
        nearest = max(abs(z_mm - self.trachea_z) - half_height_mm, 0.0)
        radius = self.trachea_radius + 1.6
        return math.sqrt(max(radius**2 - nearest**2, 0.0))

    def to_probe(self, view: str, u: float, y: float) -> tuple[float, float]:
        """Lateral position x and elevation e of a point of the neck in a view."""
        if view == "right_lobe":
            return self.center_u - u, y
        if view == "left_lobe":
            return u - self.center_u, y
        if view == "midline":
            return u, y
        return y, u - self.center_u
