"""Simulated clips carry identities, true sizes, and a scale with a known error."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from usassist.evaluation.mask_identities import IdentitiesFrom
from usassist.evaluation.phantom_clips import SPACING_REL_SD, draw_phantom_clips
from usassist.evaluation.run import settle_area
from usassist.phantom import render_sweep


def first_frames(clip, count):
    """The frames around the middle of its first nodule."""
    scene = dataclasses.replace(clip.scene, frames=count)
    return dataclasses.replace(clip, scene=scene)


def test_frames_carry_what_the_simulation_knows():
    clip = draw_phantom_clips(2, 1)[1]
    (truth,) = render_sweep(clip.scene, range(16, 17))
    *_, frame = first_frames(clip, 17).read()
    x1, y1, x2, y2 = truth.scan_xyxy_px
    assert np.array_equal(frame.identity[y1:y2, x1:x2], truth.labelmap)
    assert np.array_equal(frame.truth, frame.identity > 0)
    assert frame.truth.any()
    assert [(size.identity, size.major_mm) for size in frame.sizes] == [
        (nodule.identity, nodule.major_mm) for nodule in truth.nodules
    ]
    assert frame.case == clip.name
    assert clip.check() is IdentitiesFrom.SCANNER


def test_the_scale_is_wrong_by_its_uncertainty_and_by_another_amount_in_every_clip():
    clips = draw_phantom_clips(12, 1)
    errors = {clip.scale_error for clip in clips}
    assert len(errors) == 12
    assert all(0.95 < error < 1.05 and error != 1.0 for error in errors)
    clip = first_frames(clips[0], 1)
    (frame,), (truth,) = clip.read(), render_sweep(clip.scene)
    assert frame.scale.spacing_rc_mm[0] == pytest.approx(truth.spacing_rc_mm[0] * clip.scale_error)
    assert frame.scale.rel_sd == SPACING_REL_SD
    assert [one.scale_error for one in draw_phantom_clips(12, 1)] == [one.scale_error for one in clips]


def test_the_scan_area_of_a_simulated_screen_is_found():
    clip = draw_phantom_clips(1, 1)[0]
    images = clip.sample()
    assert 8 <= len(images) <= 9
    assert settle_area(images).found
