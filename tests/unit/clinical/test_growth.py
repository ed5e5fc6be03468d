from __future__ import annotations

import math

import pytest

from usassist.clinical import GrowthState, Quantity, judge_growth, volume_ml
from usassist.errors import UsageError


def _exact(*values_mm: float, u95: float = 0.0) -> list[Quantity]:
    return [Quantity(value=value, u95=u95) for value in values_mm]


def test_a_ball_has_its_volume_and_three_times_the_relative_uncertainty_of_its_diameter() -> None:
    volume = volume_ml(*_exact(20.0, 20.0, 20.0, u95=1.0))
    assert volume.value == pytest.approx(4.0 / 3.0 * math.pi)
    assert volume.u95 / volume.value == pytest.approx(3.0 / 20.0)


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [
        ((10.0, 10.0, 10.0), (12.5, 12.5, 9.0), True),  # two dimensions, by 25 % and 2.5 mm
        ((10.0, 10.0, 10.0), (13.0, 11.0, 10.0), False),  # one dimension only, volume by 43 %
        ((5.0, 5.0, 5.0), (6.2, 6.2, 4.8), False),  # by 24 %, but 1.2 mm; volume by 48 %
        ((5.0, 5.0, 5.0), (6.0, 6.0, 6.0), True),  # not 2 mm, but volume by 73 %
        ((30.0, 30.0, 30.0), (34.0, 34.0, 34.0), False),  # 4 mm, but by 13 %; volume by 46 %
        ((12.0, 8.0, 9.0), (11.0, 8.0, 9.0), False),
    ],
)
def test_the_rule_is_that_of_acr_ti_rads(before: tuple[float, ...], after: tuple[float, ...], grown: bool) -> None:
    growth = judge_growth(_exact(*before), _exact(*after))
    assert growth.by_values is grown
    assert growth.state is (GrowthState.GROWN if grown else GrowthState.NOT_GROWN)
    assert growth.volume_ratio == pytest.approx(math.prod(after) / math.prod(before))


def test_within_the_intervals_growth_is_uncertain_until_they_are_left() -> None:
    before = _exact(10.0, 10.0, 10.0, u95=1.0)
    assert judge_growth(before, _exact(11.0, 11.0, 11.0, u95=1.0)).state is GrowthState.UNCERTAIN
    assert judge_growth(before, _exact(20.0, 20.0, 20.0, u95=1.0)).state is GrowthState.GROWN
    assert judge_growth(before, _exact(7.0, 7.0, 7.0, u95=0.7)).state is GrowthState.NOT_GROWN


def test_what_cannot_be_judged_is_refused() -> None:
    with pytest.raises(UsageError, match="three diameters"):
        judge_growth(_exact(1.0, 2.0), _exact(1.0, 2.0, 3.0))
    with pytest.raises(UsageError, match="more than 0"):
        Quantity(value=0.0, u95=1.0)
