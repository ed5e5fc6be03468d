"""The simulated abdomen: the same from the same seed, whole, and of plausible HU in every compartment."""

from __future__ import annotations

import numpy as np
import pytest

from usassist.errors import UsageError
from usassist.phantom.ct.abdomen import make_abdomen
from usassist.phantom.ct.abdomen_plan import BODY_TYPES, draw_plan

SHAPE, SPACING = (3, 128, 160), (60.0, 3.2, 3.2)


@pytest.mark.parametrize("body_type", BODY_TYPES)
def test_every_body_type_has_all_compartments_with_their_hu(body_type: str) -> None:
    hu, labels, levels, affine = make_abdomen(7, SHAPE, SPACING, body_type=body_type, noise_hu=0.0)
    assert hu.dtype == np.int16
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4}
    assert -130 < np.median(hu[labels == 1]) < 0 or body_type == "cachectic"
    assert -40 < np.median(hu[labels == 2]) < 90
    assert np.median(hu[labels == 4]) > 60
    assert np.median(hu[labels == 0]) < -900
    assert list(levels) == ["L5", "L4", "L3", "L2", "L1", "T12", "T11"]
    assert sorted(levels.values()) == list(levels.values())
    assert affine[2, 3] < levels["L3"] < affine[2, 3] + 2 * SPACING[0]


def test_a_seed_gives_one_abdomen() -> None:
    first, second, other = (make_abdomen(seed, SHAPE, SPACING)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


def test_obese_bodies_have_more_subcutaneous_fat_than_slim_ones() -> None:
    areas = [(make_abdomen(11, SHAPE, SPACING, body_type=name)[1] == 1).sum() for name in ("slim", "obese")]
    assert areas[1] > 2 * areas[0]


def test_planes_are_written_into_an_array_that_is_given() -> None:
    out = np.zeros(SHAPE, np.int16)
    shares: list[float] = []
    hu, *_ = make_abdomen(3, SHAPE, SPACING, out=out, report=shares.append)
    assert hu is out
    assert out.any()
    assert shares[-1] == 1.0


def test_a_body_type_that_does_not_exist_is_wrong_use() -> None:
    with pytest.raises(UsageError, match="known: cachectic"):
        draw_plan(1, "tall")
