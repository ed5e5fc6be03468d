from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.unit.evaluation.scenes import counted
from usassist.evaluation import read_labelled
from usassist.evaluation.slices import slices_by_size, slices_by_tirads, slices_by_view
from usassist.evaluation.tally import is_dual_view, score_frame
from usassist.frames import find_scan_area

DUAL = """
    74_1 77_1 102_1 103_1 118_1 122_1 122_2 126_1 136_1 138_1 144_1 162_1 168_1 175_1 175_2 182_1 188_1 192_1 198_1
    206_1 210_3 215_1 225_1 225_2 235_1 241_1 250_1 261_1 270_1 284_1 286_1
"""


def judged(*frames):
    return [(item, score_frame(item, 0.5)) for item in frames]


def speckle(seed, width=220):
    noise = np.random.default_rng(seed).normal(0.0, 1.0, (200, width)).astype(np.float32)
    blurred = cv2.GaussianBlur(noise, (0, 0), sigmaX=3.0, sigmaY=1.0)
    return np.clip(90 + 120 * blurred, 0, 255).astype(np.uint8)


def test_nodules_are_sliced_by_their_own_size_and_frames_by_their_largest():
    frame = counted("1_1", [0.9], [[0.8, 0.0]], nodule_px=(4000, 300))
    slices = slices_by_size(judged(frame))  # 20 % and 1.5 % of 200 x 100 px
    assert (slices["> 15 %"].frames, slices["> 15 %"].nodules, slices["> 15 %"].sensitivity.value) == (1, 1, 1.0)
    assert (slices["1-5 %"].frames, slices["1-5 %"].nodules, slices["1-5 %"].sensitivity.value) == (0, 1, 0.0)
    assert (slices["5-15 %"].frames, slices["5-15 %"].nodules) == (0, 0)


def test_slices_by_tirads_use_the_name_and_add_up():
    frames = judged(counted("1_1", [0.9], [[0.8]]), counted("2_1", [0.9], [[0.1]]), counted("3_1", [], []))
    slices = slices_by_tirads(frames, {"1": "4a", "2": "4a", "3": "unknown"})
    assert slices["4a"].sensitivity.value == 0.5
    assert slices["4a"].false_positives_per_frame.value == 0.5
    assert slices["unknown"].sensitivity.value == 0.0
    assert sum(part.frames for part in slices.values()) == 3


def test_slices_by_view():
    frames = judged(counted("1_1", [0.9], [[0.8]], is_dual=True), counted("2_1", [], []))
    slices = slices_by_view(frames)
    assert slices["dual"].sensitivity.value == 1.0
    assert slices["single"].sensitivity.value == 0.0


@pytest.mark.parametrize("gap_px", [0, 3, 12])
def test_two_images_side_by_side_are_a_dual_view(gap_px):
    gap = np.zeros((200, gap_px), np.uint8)
    assert is_dual_view(np.hstack([speckle(1), gap, speckle(2)]))


def test_a_single_image_is_not_a_dual_view_even_with_a_shadow_or_compression_blocks():
    image = speckle(3, 440)
    assert not is_dual_view(image)
    shadow = np.clip(1.0 - 0.8 * np.exp(-(((np.arange(440) - 220) / 25.0) ** 2)), 0, 1)
    assert not is_dual_view((image * shadow).astype(np.uint8))
    packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 4])[1]
    assert not is_dual_view(np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8))


def test_a_narrow_or_black_image_is_not_a_dual_view():
    assert not is_dual_view(np.hstack([speckle(1, 30), speckle(2, 30)]))
    assert not is_dual_view(np.zeros((100, 300), np.uint8))


def test_the_dual_views_of_the_val_part_are_those_found_by_inspection():
    root = os.environ.get("USASSIST_DATA")
    if not root or not (Path(root) / "thyroid_ddti").is_dir():
        pytest.skip("USASSIST_DATA names no folder with thyroid_ddti")
    folder = Path(root) / "thyroid_ddti"
    names = (folder / "val.txt").read_text().split()
    found = set()
    for item in read_labelled(folder, names):
        x1, y1, x2, y2 = find_scan_area([item.image]).xyxy_px
        if is_dual_view(item.image[y1:y2, x1:x2]):
            found.add(item.name)
    assert found == set(DUAL.split())
