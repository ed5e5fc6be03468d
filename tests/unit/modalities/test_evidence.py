"""The region of a mask, and the part of it that is opened."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from usassist.modalities.ultrasound.evidence import EvidenceMask
from usassist.modalities.ultrasound.postprocess import _trimmed

MASK = EvidenceMask(np.zeros((64, 64), np.float32), 2, np.eye(2, 3), (128, 128))


@given(st.integers(0, 2**32 - 1), st.integers(-20, 60), st.integers(-20, 60))
@settings(max_examples=60, deadline=None)
def test_a_region_is_opened_alike_with_and_without_the_empty_part_around_it(seed: int, x: int, y: int) -> None:
    random = np.random.default_rng(seed)
    region = np.zeros((48, 56), np.uint8)
    cv2.ellipse(region, (x, y), tuple(int(side) for side in random.integers(1, 30, 2)), 0, 0, 360, (1,), -1)
    region &= random.random(region.shape) > 0.02
    part, left, top = _trimmed(region)
    opened = np.zeros_like(region)
    opened[top : top + part.shape[0], left : left + part.shape[1]] = MASK.without_spikes(part)
    np.testing.assert_array_equal(opened, MASK.without_spikes(region))
