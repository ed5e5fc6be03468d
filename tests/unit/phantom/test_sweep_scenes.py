"""Simulated sweeps of an evaluation: each kind shows what its name says."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from usassist.errors import UsageError
from usassist.phantom.scanner import PhantomScanner
from usassist.phantom.sweep_scenes import SWEEP_KINDS, draw_sweep_scenes, render_sweep

SCENES = draw_sweep_scenes(2 * len(SWEEP_KINDS), 1)


def in_view(scene):
    """For each frame, the identities of the nodules in its plane; and the longest diameter of each, mm."""
    nodules = PhantomScanner(scene.config).nodules
    seen, longest = [], {}
    for index in range(scene.frames):
        e_mm = _elevation(scene, index)
        sections = {nodule.identity: nodule.section(e_mm) for nodule in nodules}
        shown = {identity: section for identity, section in sections.items() if section is not None}
        seen.append(set(shown))
        for identity, section in shown.items():
            longest[identity] = max(longest.get(identity, 0.0), section.major_mm)
    return seen, longest


def _elevation(scene, index):
    from usassist.phantom.planning import pose_at

    return pose_at(scene.config, index / scene.config.rate_hz).e_mm


def runs(seen, identity):
    """Unbroken runs of frames that show a nodule."""
    shown = [identity in frame for frame in seen]
    return sum(now and not before for before, now in zip([False, *shown], shown, strict=False))


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
def test_every_kind_shows_what_it_says_and_its_nodules_have_5_mm_or_more(scene):
    seen, longest = in_view(scene)
    expected = {"one": 1, "several": 3, "returns": 1, "beside": 2, "follows": 2, "none": 0}[scene.kind]
    assert len(longest) == expected
    assert all(size >= 5.0 for size in longest.values())
    assert not seen[0]
    assert not seen[-1]
    if scene.kind == "returns":
        assert runs(seen, 1) == 2
    else:
        assert all(runs(seen, identity) == 1 for identity in longest)
    together = max(map(len, seen))
    if scene.kind in ("beside", "follows"):
        assert together == {"beside": 2, "follows": 1}[scene.kind]


def test_sweeps_of_one_seed_are_the_same_and_more_of_them_begin_with_the_same():
    assert draw_sweep_scenes(3, 1) == SCENES[:3]
    assert draw_sweep_scenes(3, 2)[0].config != SCENES[0].config
    assert len({scene.config.depth_mm for scene in SCENES}) == len(SCENES)
    assert len({scene.config.gain_db for scene in SCENES}) == len(SCENES)
    first, again = (next(render_sweep(SCENES[0], range(24, 25))) for _ in range(2))
    assert np.array_equal(first.screen, again.screen)
    assert [nodule.identity for nodule in first.nodules] == [1]
    assert (first.labelmap == 1).sum() > 50


def test_frames_come_in_order_at_the_rate_of_the_scanner():
    short = dataclasses.replace(SCENES[-1], frames=3)
    assert [frame.t_s for frame in render_sweep(short)] == pytest.approx([0.0, 1 / 15, 2 / 15])


def test_names_tell_number_and_kind_apart():
    names = [scene.name for scene in SCENES]
    assert names[:2] == ["001_one", "002_several"]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("count", "seed"), [(0, 1), (1000, 1), (1, -1), (1, 1_000_000)])
def test_a_number_out_of_range_is_refused(count, seed):
    with pytest.raises(UsageError, match="choose another"):
        draw_sweep_scenes(count, seed)
