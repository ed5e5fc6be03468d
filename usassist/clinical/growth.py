"""Volume of a nodule from two planes, and growth against an earlier examination."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from usassist.errors import UsageError

__all__ = ["Growth", "GrowthState", "Quantity", "judge_growth", "volume_ml"]

_LEAST_RATIO, _LEAST_MM, _LEAST_DIMENSIONS, _LEAST_VOLUME_RATIO = 1.2, 2.0, 2, 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A measured quantity, more than 0, with the half-width of its 95 % interval in the same unit."""

    value: float
    u95: float

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (0.0 < self.value < math.inf and 0.0 <= self.u95 < math.inf):
            raise UsageError(
                f"a quantity must be more than 0 and its u95 not negative, got {self.value} and {self.u95}"
            )


class GrowthState(StrEnum):
    """What the rule says within the intervals of the sizes."""

    GROWN = "grown"  # at both ends of the intervals
    NOT_GROWN = "not_grown"  # at neither
    UNCERTAIN = "uncertain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """Growth between two examinations.

    Attributes
    ----------
    state : what the rule says within the intervals
    by_values : what it says of the values alone
    diameter_ratios : later over earlier, of each dimension
    volume_ratio : of the ellipsoids, which is the product of these
    """

    state: GrowthState
    by_values: bool
    diameter_ratios: tuple[float, float, float]
    volume_ratio: float


def volume_ml(length_mm: Quantity, width_mm: Quantity, depth_mm: Quantity) -> Quantity:
    """Volume of an ellipsoid, mL: pi / 6 times its three diameters, which are measured in two planes.

    Its relative uncertainty is the sum of those of the diameters: they share the scale, and an outline that is too
    large is so in every direction. That a nodule is no ellipsoid is not in it.

    Parameters
    ----------
    length_mm : in the longitudinal plane
    width_mm, depth_mm : in the transverse plane
    """
    diameters = (length_mm, width_mm, depth_mm)
    volume = math.pi / 6.0 * math.prod(item.value for item in diameters) / 1000.0
    return Quantity(value=volume, u95=volume * sum(item.u95 / item.value for item in diameters))


def judge_growth(earlier_mm: Sequence[Quantity], later_mm: Sequence[Quantity]) -> Growth:
    """Growth by the rule of ACR TI-RADS (Tessler et al. 2017, PMID 28372962).

    A nodule has grown if two dimensions or more are longer by at least 20 % and at least 2 mm each, or if its volume is
    larger by more than 50 %. The intervals of the ratios take the errors of both examinations as independent; the rule
    is judged with all three ratios at their lower, and at their upper end.

    Parameters
    ----------
    earlier_mm, later_mm : three diameters each, in the same order

    Raises
    ------
    UsageError
        If it is not three of each.
    """
    if len(earlier_mm) != 3 or len(later_mm) != 3:
        raise UsageError(
            f"growth needs three diameters of both examinations, got {len(earlier_mm)} and {len(later_mm)}; give "
            "length, width and depth"
        )
    ratios = [later.value / earlier.value for earlier, later in zip(earlier_mm, later_mm, strict=True)]
    factors = [
        math.exp(math.hypot(earlier.u95 / earlier.value, later.u95 / later.value))
        for earlier, later in zip(earlier_mm, later_mm, strict=True)
    ]
    before_mm = [item.value for item in earlier_mm]
    surely = _has_grown(before_mm, [ratio / factor for ratio, factor in zip(ratios, factors, strict=True)])
    perhaps = _has_grown(before_mm, [ratio * factor for ratio, factor in zip(ratios, factors, strict=True)])
    return Growth(
        state=GrowthState.GROWN if surely else GrowthState.UNCERTAIN if perhaps else GrowthState.NOT_GROWN,
        by_values=_has_grown(before_mm, ratios),
        diameter_ratios=(ratios[0], ratios[1], ratios[2]),
        volume_ratio=math.prod(ratios),
    )


def _has_grown(before_mm: Sequence[float], ratios: Sequence[float]) -> bool:
    longer = sum(
        ratio >= _LEAST_RATIO and before * (ratio - 1.0) >= _LEAST_MM
        for before, ratio in zip(before_mm, ratios, strict=True)
    )
    return longer >= _LEAST_DIMENSIONS or math.prod(ratios) > _LEAST_VOLUME_RATIO
