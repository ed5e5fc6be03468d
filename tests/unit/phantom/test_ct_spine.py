"""The simulated spine: truth and picture agree, and a seed gives one spine."""

from __future__ import annotations

import numpy as np

from usassist.phantom.ct.spine import OTHER_BONE, Spine, SpinePlan, draw_spine_plan


def painted(spine: Spine, z_mm: float, step: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    x, y = (np.arange(-160, 160, step, dtype=np.float32) for _ in range(2))
    hu, labels = np.full((y.size, x.size), 50.0, np.float32), np.zeros((y.size, x.size), np.uint8)
    spine.paint(hu, x, y, z_mm, labels)
    return hu, labels, x, y


def test_a_body_lies_at_its_centre_with_compact_bone_around_it() -> None:
    plan = SpinePlan()
    spine = Spine(plan)
    third = next(item for item in spine.vertebrae if item.name == "L3")
    hu, labels, x, y = painted(spine, third.centre_mm[2])
    middle = hu[np.abs(y - third.centre_mm[1]).argmin(), np.abs(x - third.centre_mm[0]).argmin()]
    assert abs(middle - plan.spongy_hu) < 1
    assert hu.max() > plan.cortex_hu - 30
    rows, columns = np.nonzero((labels == third.label) & (y[:, None] < third.centre_mm[1] + 15))
    assert abs(x[columns].mean() - third.centre_mm[0]) < 1.5
    assert 38 < np.ptp(x[columns][rows < rows.max() - 4]) < 52


def test_levels_follow_each_other_and_only_the_lowest_have_no_ribs() -> None:
    spine = Spine(SpinePlan())
    names = [item.name for item in spine.vertebrae]
    assert names[:7] == ["S1", "L5", "L4", "L3", "L2", "L1", "T12"]
    gaps = np.diff([item.centre_mm[2] for item in spine.vertebrae])
    assert (gaps > 22).all()
    assert (gaps < 40).all()
    at = {item.name: item.centre_mm[2] for item in spine.vertebrae}
    for name, has_other in (("L3", False), ("T12", True), ("S1", True)):
        assert bool((painted(spine, at[name])[1] == OTHER_BONE).any()) == has_other


def test_a_seed_gives_one_spine_and_metal_is_metal() -> None:
    assert draw_spine_plan(4) == draw_spine_plan(4) != draw_spine_plan(5)
    spine = Spine(SpinePlan(lumbar=6, metal=True, fused_last=True))
    assert [item.name for item in spine.vertebrae][:3] == ["S1", "L6", "L5"]
    assert painted(spine, spine.vertebrae[1].centre_mm[2])[0].max() > 2900
