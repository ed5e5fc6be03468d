from __future__ import annotations

import dataclasses

import numpy as np

from tests.unit.training.data.test_frames import sample
from usassist.training.data.compose import compose_dual_view, crop_nodule_free, paste_nodule
from usassist.training.data.sample import compute_fingerprint


def test_a_dual_view_shows_both_frames_with_their_nodules_and_a_gap():
    left, right = sample("a"), sample("b", nodule=False)
    both = compose_dual_view(left, right)
    assert both.image.shape[0] == 200
    assert both.image.shape[1] > 600
    assert np.array_equal(both.image[:, :300], left.image)
    assert both.nodule[:, :300].sum() == left.nodule.sum() == both.nodule.sum()
    assert not both.image[:, 301:310].any()


def test_a_pasted_nodule_overlaps_the_gland_and_does_not_change_the_originals():
    rng = np.random.default_rng(1)
    gland, donor = sample("g", nodule=False, gland=True), sample("d")
    before = compute_fingerprint([gland, donor])
    pasted = [paste_nodule(gland, donor, rng) for _ in range(10)]
    changed = [item for item in pasted if item is not gland]
    assert changed
    for item in changed:
        assert (item.nodule & item.gland).any()
        assert not np.array_equal(item.image, gland.image)
    assert compute_fingerprint([gland, donor]) == before


def test_pasting_needs_a_gland():
    empty = sample("e", nodule=False)
    assert paste_nodule(empty, sample("d"), np.random.default_rng(0)) is empty


def wide(first, last):
    """A frame of 300 columns whose nodule covers those from `first` to `last`."""
    frame = sample(nodule=False)
    frame.nodule[60:120, first:last] = 1
    return frame


def test_the_wider_side_without_a_nodule_is_kept():
    for first, last, inside in ((40, 90, np.s_[90:300]), (210, 260, np.s_[0:210])):
        frame = wide(first, last)
        frame = dataclasses.replace(frame, cleaned=frame.image // 2)
        side = crop_nodule_free(frame)
        assert side is not None
        assert side.image.shape[0] == 200
        assert 0.4 * 300 < side.image.shape[1] < len(range(300)[inside])
        assert not side.nodule.any()
        assert side.name != frame.name
        for plane, whole in ((side.image, frame.image), (side.cleaned, frame.cleaned)):
            edge = whole[:, -side.image.shape[1] :] if inside.stop == 300 else whole[:, : side.image.shape[1]]
            assert np.array_equal(plane, edge)


def test_a_frame_without_a_wide_side_is_not_cropped():
    assert crop_nodule_free(wide(100, 200)) is None
    assert crop_nodule_free(wide(0, 300)) is None
