"""What is known of a labelled frame beside its mask: its scale, and the true sizes of its nodules."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["NoduleSize", "Scale"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What a stream is told of the scale of its frames.

    Attributes
    ----------
    spacing_rc_mm : mm per px, rows then columns
    rel_sd : its relative standard uncertainty
    """

    spacing_rc_mm: tuple[float, float]
    rel_sd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoduleSize:
    """The true size of a nodule on one frame.

    Attributes
    ----------
    identity : of the nodule
    major_mm : longest diameter of its section
    is_cut : the border of the scan cuts it
    """

    identity: int
    major_mm: float
    is_cut: bool
