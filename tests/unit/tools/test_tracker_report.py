"""The comparison of trackers and of smoothed outlines, on clips that are drawn."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from tools.smoothing_report import SmoothedOutlines, compute_smoothing_figures
from tools.tracker_clips import ClipFrame, rocking_scenes
from tools.tracker_report import measure_cost
from usassist.records import Detections, Segmentation

HW_PX = (120, 160)


def _clip(centers: Sequence[tuple[float, float]], radii: Sequence[float], noise: Sequence[float]) -> list[ClipFrame]:
    """A round nodule, outlined with another radius than its own on each frame."""
    angle = np.linspace(0.0, 2.0 * math.pi, 80, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    frames = []
    for number, (center, radius, wrong) in enumerate(zip(centers, radii, noise, strict=True)):
        outline = (np.array(center) + circle * (radius + wrong)).astype(np.float32)
        truth = np.zeros(HW_PX, np.uint8)
        cv2.circle(truth, tuple(round(16 * value - 8) for value in center), round(16 * radius), (1,), -1, cv2.LINE_8, 4)
        frames.append(
            ClipFrame(
                time_s=number / 30.0,
                shown=Detections(
                    xyxy_px=np.array([[*outline.min(axis=0), *outline.max(axis=0)]], np.float32),
                    score=np.ones(1, np.float32),
                    label_id=np.zeros(1, np.int32),
                    track_id=np.ones(1, np.int32),
                ),
                nodule=np.ones(1, np.int64),
                overlap=np.ones((1, 1)),
                answered=True,
                same_image=True,
                outlines=Segmentation.of([outline]),
                hw_px=HW_PX,
                truth_bits=np.packbits(truth > 0),
            )
        )
    return frames


def test_smoothing_lowers_flicker_of_a_nodule_at_rest_and_falls_behind_one_that_moves_or_shrinks() -> None:
    count = 40
    noise = np.random.default_rng(5).normal(0.0, 1.5, count)
    rest = _clip([(80, 60)] * count, [25.0] * count, noise.tolist())
    raw, smooth = (compute_smoothing_figures([rest], share) for share in (None, 0.5))
    assert smooth["flicker"] < 0.7 * raw["flicker"]
    assert smooth["dice"] > raw["dice"]
    assert raw["flicker_of_truth"] == 0.0
    moving = _clip(
        [(30 + 2.5 * step, 60) for step in range(count)], [30.0 - 0.5 * step for step in range(count)], [0] * count
    )
    raw, smooth = (compute_smoothing_figures([moving], share) for share in (None, 0.5))
    assert raw["ahead_px"] == pytest.approx(0.0, abs=0.3)
    assert smooth["ahead_px"] == pytest.approx(-2.5, abs=0.5), "one frame behind"
    assert smooth["shrinking"] > raw["shrinking"] + 0.03
    assert smooth["cost_us"] > 0.0


def test_without_a_share_of_the_frame_before_an_outline_stays_where_it_is() -> None:
    frame = _clip([(80, 60)], [25.0], [0.0])[0]
    (outline,) = SmoothedOutlines(1.0).update(0, frame)
    assert np.hypot(*(outline - (80, 60)).T) == pytest.approx(25.0, abs=0.1)


@pytest.mark.long
def test_a_probe_that_rocks_shows_its_nodule_again_and_again() -> None:
    (scene,) = rocking_scenes(1, 4)
    shown = [bool((truth == 1).any()) for number, (_, truth) in enumerate(scene.frames()) if number % 3 == 0]
    assert shown[0]
    comes = sum(now and not before for before, now in itertools.pairwise(shown))
    assert comes >= 2


def test_the_cost_is_measured() -> None:
    median_us, high_us = measure_cost(50)
    assert 0.0 < median_us <= high_us
