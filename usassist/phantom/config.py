"""The configuration of a phantom: one frozen record for the scene, the scanner settings and the screen.

Axes
----
The *lateral* axis x points to the marked side of the probe with 0 at the middle of the aperture, the *depth* axis z
points away from the probe with 0 at the skin, the *elevation* axis e is the direction in which a sweep moves the
scan plane. All three are in mm and fixed to the body, so that a nodule does not move with the plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from usassist.errors import UsageError

__all__ = [
    "GEOMETRIES",
    "KINDS",
    "LABEL_STYLES",
    "LAYOUTS",
    "TISSUES",
    "VIEWS",
    "NodulePlan",
    "PhantomConfig",
    "sample_prior",
]

Kind = Literal["hypo", "iso", "hyper", "cystic", "mixed", "spongiform"]
View = Literal["right_lobe", "left_lobe", "midline", "longitudinal"]
Geometry = Literal["linear", "trapezoid", "convex"]
Layout = Literal["wide", "left_panel", "compact", "bare"]
Tissue = Literal["neck", "uniform"]

FloatArray = npt.NDArray[np.float32]

KINDS: tuple[str, ...] = get_args(Kind)
VIEWS: tuple[str, ...] = get_args(View)
GEOMETRIES: tuple[str, ...] = get_args(Geometry)
LAYOUTS: tuple[str, ...] = get_args(Layout)
TISSUES: tuple[str, ...] = get_args(Tissue)
LABEL_STYLES = ("below", "framed", "side", "banner", "corner")

# Percentiles 5, 25, 50, 75, 95 of 690 outlines in the 614 test masks of the public set TN3K, extrapolated to 0 and 100.
_PRIOR_P = np.array([0.0, 0.05, 0.25, 0.50, 0.75, 0.95, 1.0])
_PRIOR_AREA_FRACTION = np.array([0.003, 0.006, 0.020, 0.054, 0.158, 0.300, 0.36])
_PRIOR_HEIGHT_OVER_WIDTH = np.array([0.42, 0.479, 0.626, 0.744, 0.904, 1.154, 1.35])


@dataclass(frozen=True, slots=True, kw_only=True)
class NodulePlan:
    """One nodule: an ellipsoid with a wavy surface, its tissue and its contents.

    Attributes
    ----------
    kind : ``hypo``, ``iso``, ``hyper`` (solid), ``cystic``, ``mixed`` or ``spongiform``
    center_xze_mm : centre, lateral, depth and elevation, mm
    axes_xze_mm : the three full diameters of the ellipsoid, mm, before the tilt
    tilt_deg : rotation of the ellipsoid in the lateral-depth plane, degrees, clockwise on the screen
    lobulation : standard deviation of the radius over directions, relative to the radius; 0 is a plain ellipsoid
    margin_mm : width of the tissue transition at the surface
    echo_db : mean echo relative to normal gland, dB; None = the value of the kind
    halo : whether a thin dark rim surrounds it
    micro_calcifications : number of punctate echogenic foci
    macro_calcification_mm : diameter of one shadowing calcification, 0 for none
    """

    kind: Kind
    center_xze_mm: tuple[float, float, float]
    axes_xze_mm: tuple[float, float, float]
    tilt_deg: float = 0.0
    lobulation: float = 0.0
    margin_mm: float = 0.25
    echo_db: float | None = None
    halo: bool = False
    micro_calcifications: int = 0
    macro_calcification_mm: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        _require(self.kind in KINDS, f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        _require(all(0.5 <= a <= 80.0 for a in self.axes_xze_mm), f"axes_xze_mm must lie in 0.5 to 80: {self}")
        _require(0.0 <= self.lobulation <= 0.12, f"lobulation must lie in 0 to 0.12, got {self.lobulation}")
        _require(0.02 <= self.margin_mm <= 5.0, f"margin_mm must lie in 0.02 to 5, got {self.margin_mm}")
        _require(0 <= self.micro_calcifications <= 200, "micro_calcifications must lie in 0 to 200")


@dataclass(frozen=True, slots=True, kw_only=True)
class PhantomConfig:
    """All parameters of a phantom scanner. The same values always give the same pixels.

    Attributes
    ----------
    seed : of the anatomy, the scatterers, the noise and the text on the screen
    screen_hw_px : height and width of the whole screen
    scan_hw_px : the box that the scan image is fitted into; None = the free area of the layout
    rate_hz : frame rate of the sweep
    view : ``right_lobe``, ``left_lobe``, ``midline`` (transverse planes) or ``longitudinal``
    geometry : ``linear``, ``trapezoid`` or ``convex``
    depth_mm, width_mm : depth and width of the image; the width is that of the aperture
    frequency_mhz : centre frequency
    focus_mm : depth of the transmit focus
    gain_db, dynamic_range_db : receive gain relative to a good image; range of the log compression
    tgc_error_db : maximum error of a slider of the time-gain compensation
    noise_db : electronic noise near the skin, relative to gland
    looks : number of compounded sub-apertures; 1 gives fully developed speckle
    smoothing_px : standard deviation of the scanner's smoothing filter, px of the scan image
    gamma : exponent of the grey curve
    sweep_mm : first and last elevation of the plane
    sweep_s : time from the first to the last elevation; then the sweep returns
    breathing_mm : amplitude of the slow movement of the tissue
    pulse_hz : heart rate
    nodules : the nodules, or None to draw `nodule_count` of them from the shape prior
    nodule_count : number of nodules to draw, or None for a random number
    layout : ``wide``, ``left_panel``, ``compact`` or ``bare``
    calipers : whether measuring marks are burnt into the image
    tissue : ``neck``, or ``uniform``: a block of even speckle, in which the nodules are its test targets
    gland : whether the neck has a thyroid gland; without it, as after its removal, the carotid lies beside the trachea
    ruler_figures : whether figures stand beside the ruler
    labels : texts on the screen in the place of the depth among its settings, each with its style: ``below``,
        ``framed``, ``side``, ``banner`` or ``corner``; None = the depth among the settings
    lateral_mm : how far the middle of a view of a lobe lies to the side of where it usually does, away from the midline
    """

    seed: int = 7
    screen_hw_px: tuple[int, int] = (720, 1280)
    scan_hw_px: tuple[int, int] | None = None
    rate_hz: float = 30.0
    view: View = "right_lobe"
    geometry: Geometry = "linear"
    depth_mm: float = 40.0
    width_mm: float = 40.0
    frequency_mhz: float = 10.0
    focus_mm: float = 18.0
    gain_db: float = 0.0
    dynamic_range_db: float = 60.0
    tgc_error_db: float = 1.5
    noise_db: float = -46.0
    looks: int = 2
    smoothing_px: float = 0.4
    gamma: float = 1.0
    sweep_mm: tuple[float, float] = (-24.0, 24.0)
    sweep_s: float = 10.0
    breathing_mm: float = 0.25
    pulse_hz: float = 1.1
    nodules: tuple[NodulePlan, ...] | None = None
    nodule_count: int | None = None
    layout: Layout = "wide"
    calipers: bool = False
    tissue: Tissue = "neck"
    gland: bool = True
    ruler_figures: bool = True
    labels: tuple[tuple[str, str], ...] | None = None
    lateral_mm: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        for name, allowed in (("view", VIEWS), ("geometry", GEOMETRIES), ("layout", LAYOUTS), ("tissue", TISSUES)):
            value = getattr(self, name)
            _require(value in allowed, f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        for name, low, high in _RANGES:
            value = getattr(self, name)
            _require(
                isinstance(value, int | float) and math.isfinite(value) and low <= value <= high,
                f"{name} must lie in {low:g} to {high:g}, got {value!r}",
            )
        _require(
            240 <= self.screen_hw_px[0] <= 4320 and 320 <= self.screen_hw_px[1] <= 7680,
            f"screen_hw_px must lie in 240 to 4320 by 320 to 7680, got {self.screen_hw_px}",
        )
        _require(
            self.scan_hw_px is None or min(self.scan_hw_px) >= 64,
            f"scan_hw_px must be at least 64 by 64, got {self.scan_hw_px}",
        )
        styles = {style for _, style in self.labels or ()}
        _require(styles <= set(LABEL_STYLES), f"styles of labels must be of {', '.join(LABEL_STYLES)}, got {styles}")
        _require(self.nodules is None or len(self.nodules) <= 20, "at most 20 nodules fit into one phantom")

    @property
    def shows_thyroid(self) -> bool:
        """Whether there is a thyroid gland; where not, a nodule of the plan is none of the thyroid."""
        return self.tissue == "neck" and self.gland

    @classmethod
    def demo(cls) -> PhantomConfig:
        """The scene of the bundled clip: a right lobe with a solid, a cystic and a mixed nodule, with gaps between."""
        solid = NodulePlan(
            kind="hypo",
            center_xze_mm=(0.0, 14.6, -10.5),
            axes_xze_mm=(12.0, 9.5, 13.0),
            tilt_deg=-8.0,
            lobulation=0.04,
            echo_db=-9.0,
            micro_calcifications=16,
        )
        cyst = NodulePlan(
            kind="cystic", center_xze_mm=(1.0, 18.8, 3.0), axes_xze_mm=(6.4, 5.2, 9.0), tilt_deg=12.0, margin_mm=0.18
        )
        mixed = NodulePlan(
            kind="mixed",
            center_xze_mm=(-1.6, 15.6, 11.0),
            axes_xze_mm=(13.5, 10.5, 12.5),
            tilt_deg=6.0,
            lobulation=0.02,
            echo_db=-5.0,
            halo=True,
        )
        return cls(seed=31, nodules=(solid, cyst, mixed))

    @classmethod
    def random(cls, seed: int, *, scan_hw_px: tuple[int, int] | None = None) -> PhantomConfig:
        """Draw a random scene, scanner settings and screen, with a wide variety of appearance for training.

        Parameters
        ----------
        seed : of all random draws
        scan_hw_px : the box that the scan image is fitted into; None = the free area of the random layout
        """
        rng = np.random.default_rng([seed, 0xC0F])
        view = str(rng.choice(VIEWS, p=[0.36, 0.36, 0.08, 0.20]))
        geometry = str(rng.choice(GEOMETRIES, p=[0.76, 0.12, 0.12]))
        screens = [(720, 1280), (1080, 1920), (600, 800), (480, 640), (768, 1024), (576, 720)]
        depth_mm = float(rng.uniform(28.0, 55.0))
        range_db = float(rng.uniform(42.0, 75.0))
        layout = str(rng.choice(LAYOUTS, p=[0.4, 0.25, 0.2, 0.15]))
        values: dict[str, object] = {
            "seed": seed,
            "screen_hw_px": screens[int(rng.integers(len(screens)))],
            "scan_hw_px": scan_hw_px,
            "view": view,
            "geometry": geometry,
            "depth_mm": depth_mm,
            "width_mm": float(rng.uniform(34.0, 50.0) if view != "midline" else rng.uniform(44.0, 56.0)),
            "frequency_mhz": float(rng.uniform(6.0, 15.0)),
            "focus_mm": float(rng.uniform(0.25, 0.75) * depth_mm),
            "gain_db": float(np.clip(rng.normal(0.0, 4.5), -8.0, 10.0) * range_db / 60.0),
            "dynamic_range_db": range_db,
            "tgc_error_db": float(rng.uniform(0.0, 6.0)),
            "noise_db": float(rng.uniform(-58.0, -34.0)),
            "looks": int(rng.integers(1, 5)),
            "smoothing_px": float(rng.choice([0.0, 0.4, 0.8, 1.2])),
            "gamma": float(rng.uniform(0.8, 1.3)),
            "sweep_mm": (-13.0, 12.0) if view == "longitudinal" else (-24.0, 24.0),
            "breathing_mm": float(rng.uniform(0.0, 0.5)),
            "pulse_hz": float(rng.uniform(0.8, 1.7)),
            "layout": layout,
            "calipers": bool(rng.random() < 0.2),
        }
        return cls(**values)  # type: ignore[arg-type]

    def __str__(self) -> str:
        """One line with the settings that differ from the defaults."""
        changed = [f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if getattr(self, f.name) != f.default]
        return f"phantom {', '.join(changed) or 'with default settings'}"


_RANGES: tuple[tuple[str, float, float], ...] = (
    ("seed", 0, 2**63 - 1),
    ("rate_hz", 1, 240),
    ("depth_mm", 15, 120),
    ("width_mm", 15, 120),
    ("frequency_mhz", 2, 24),
    ("focus_mm", 2, 120),
    ("gain_db", -40, 40),
    ("dynamic_range_db", 30, 100),
    ("tgc_error_db", 0, 20),
    ("noise_db", -120, 0),
    ("looks", 1, 8),
    ("smoothing_px", 0, 5),
    ("gamma", 0.3, 3),
    ("sweep_s", 0.1, 3600),
    ("breathing_mm", 0, 1),
    ("pulse_hz", 0, 4),
    ("lateral_mm", -60, 60),
)


def sample_prior(rng: np.random.Generator, frame_area_mm2: float) -> tuple[float, float]:
    """Draw the in-plane diameters of a nodule from the shape prior.

    Parameters
    ----------
    rng : source of randomness
    frame_area_mm2 : area of the image; the prior gives nodule areas relative to it

    Returns
    -------
    width_mm, height_mm : full diameters along x and z, mm
    """
    fraction = float(np.exp(np.interp(rng.random(), _PRIOR_P, np.log(_PRIOR_AREA_FRACTION))))
    ratio = float(np.interp(rng.random(), _PRIOR_P, _PRIOR_HEIGHT_OVER_WIDTH))
    area_mm2 = min(fraction * frame_area_mm2, 600.0)
    width_mm = math.sqrt(4.0 * area_mm2 / (math.pi * ratio))
    return width_mm, width_mm * ratio


def rng_of(*key: int) -> np.random.Generator:
    """A generator seeded by the given integers alone (negative ones are allowed)."""
    return np.random.default_rng([k & 0xFFFF_FFFF for k in key])


def as_float32(array: npt.ArrayLike) -> FloatArray:
    """The array itself, or a float32 copy of it."""
    return np.asarray(array, np.float32)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(f"phantom: {message}; correct the phantom's settings")
