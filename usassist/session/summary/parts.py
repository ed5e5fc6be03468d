"""The parts of the document that are about one nodule.

Times are seconds from the first frame of the session, lengths mm and px, volumes mL; ``u95`` is the half-width of the
95 % interval. What is not known is null. Every field is described in ``docs/report.md``.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = [
    "ApT",
    "CategoryOfNodule",
    "DescriptorOfNodule",
    "Dimensions",
    "Interval",
    "NearBest",
    "Nodule",
    "PlaneScore",
    "Quantity",
    "Section",
    "Size",
    "Spread",
    "ThresholdOfNodule",
]


class Quantity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value with the half-width of its 95 % interval."""

    value: float
    u95: float


class Size(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One length or area of an outline, in px and, with a scale, in mm (areas: px² and mm²)."""

    px: float
    mm: float | None
    u95_mm: float | None


class ApT(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AP over transverse extent, and what may be said of it."""

    value: float
    low: float | None
    high: float | None
    verdict: Literal["taller", "wider", "uncertain", "plane_not_marked", "not_transverse", "no_scale"]


class PlaneScore(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How good a plane is: the product of three factors, 0 to 1 each."""

    size: float
    sharpness: float | None
    certainty: float
    total: float


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A nodule on one frame."""

    frame_id: int
    t_s: float
    score: float
    box_xyxy_px: tuple[float, float, float, float]
    cut: bool | None
    plane: str | None
    side: str | None
    spacing_rc_mm: tuple[float, float] | None
    calibration_id: str | None
    sizes: dict[str, Size | None]
    ap_t: ApT | None
    plane_score: PlaneScore


class Spread(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Median and quartiles of a length over several frames, in `unit`."""

    unit: Literal["mm", "px"]
    median: float
    p25: float
    p75: float


class NearBest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was measured on the frames near the best plane."""

    window_s: float
    frames: int
    sizes: dict[str, Spread]


class Dimensions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Three diameters from two orthogonal planes, and the volume of the ellipsoid."""

    length_mm: Quantity
    width_mm: Quantity
    depth_mm: Quantity
    volume_ml: Quantity
    longitudinal_frame_id: int
    transverse_frame_id: int


class GrowthOfNodule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Growth against a nodule of an earlier report that a person has named, by the rule of ACR TI-RADS 2017.

    ``state`` is what the rule says within the intervals of the sizes, ``by_values`` what it says of the values alone;
    ratios are later over earlier. Where ``missing`` names the sweep that has no three diameters, there is none of them.
    """

    earlier_session_id: str
    earlier_created_utc: str
    earlier_name: str
    missing: Literal["", "now", "earlier"] = ""
    state: Literal["grown", "not_grown", "uncertain"] | None = None
    by_values: bool | None = None
    length_ratio: float | None = None
    width_ratio: float | None = None
    depth_ratio: float | None = None
    volume_ratio: float | None = None


class DescriptorOfNodule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One descriptor of a nodule, and where it comes from."""

    name: str
    basis: Literal["confirmed", "measured", "estimated", "needs_clinician"]
    words: tuple[str, ...]
    probability: float | None = None
    same_in_frames: float | None = None
    described_frames: int = 0
    agreement: str | None = None
    frame_id: int | None = None


class ThresholdOfNodule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A size threshold of a system, compared with the longest diameter and its interval."""

    kind: Literal["fna", "follow_up"]
    threshold_mm: float
    state: Literal["reached", "not_reached", "within", "cut", "no_scale"]


class CategoryOfNodule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The category of one system, from confirmed descriptors alone."""

    system_id: str
    name: str
    edition: str
    source: str
    level: str | None
    meaning: str
    points: int | None
    risk_text: str
    note: str
    missing: tuple[str, ...]
    reason: str
    size_sign: Literal["≥", ">"]
    compared_mm: Quantity | None
    thresholds: tuple[ThresholdOfNodule, ...]


class Interval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stretch of the sweep, s from its first frame."""

    first_s: float
    last_s: float
    kind: str


class Nodule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One identity, as it was seen over the sweep."""

    track_id: int
    name: str
    label: str | None
    frames: int
    frames_cut: int
    first_frame_id: int
    last_frame_id: int
    first_s: float
    last_s: float
    seen: tuple[Interval, ...]
    sides: tuple[str, ...]
    best: Section
    transverse: Section | None
    longitudinal: Section | None
    near_best: NearBest
    dimensions: Dimensions | None
    growth: GrowthOfNodule | None
    descriptors: tuple[DescriptorOfNodule, ...]
    categories: tuple[CategoryOfNodule, ...]
