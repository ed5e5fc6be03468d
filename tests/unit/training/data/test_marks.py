from __future__ import annotations

import cv2
import numpy as np
import pytest

from tools.marks_report import measure
from usassist.phantom import NodulePlan, PhantomConfig, PhantomScanner
from usassist.training.data.mark_drawing import draw_marks
from usassist.training.data.marks import fill_marks, find_marks, remove_marks


@pytest.fixture(scope="module")
def frame():
    calcified = NodulePlan(
        kind="hypo", center_xze_mm=(0.0, 18.0, 0.0), axes_xze_mm=(14.0, 12.0, 14.0), micro_calcifications=60
    )
    config = PhantomConfig(seed=5, nodules=(calcified,), scan_hw_px=(300, 384))
    return np.asarray(PhantomScanner(config).render_scan(5.0).scan, np.uint8)


def measured(frame, kind, *, dotted=False):
    """Two crosses 60 px apart and perhaps dots between them: the frame with them, and where they are."""
    drawn = np.zeros_like(frame)
    ends = [(150, 150), (210, 162)]
    for end in ends:
        cv2.drawMarker(drawn, end, 1, kind, 9, 1)
    if dotted:
        for part in np.linspace(0, 1, 13)[1:-1]:
            x, y = (round(a + part * (b - a)) for a, b in zip(*ends, strict=True))
            drawn[y, x] = 1
    cv2.putText(drawn, "1", (140, 146), cv2.FONT_HERSHEY_SIMPLEX, 0.3, 1, 1)
    return np.where(drawn > 0, 230, frame).astype(np.uint8), drawn > 0


@pytest.mark.parametrize("kind", [cv2.MARKER_CROSS, cv2.MARKER_TILTED_CROSS])
@pytest.mark.parametrize("dotted", [False, True])
def test_calipers_their_figure_and_their_dots_are_found(frame, kind, dotted):
    image, marks = measured(frame, kind, dotted=dotted)
    found = find_marks(image) > 0
    assert found[marks].mean() > 0.9
    assert found[cv2.dilate(marks.astype(np.uint8), np.ones((7, 7), np.uint8)) == 0].mean() < 1e-3


def test_removed_marks_are_no_brighter_than_what_was_there_and_the_rest_is_unchanged(frame):
    image, marks = measured(frame, cv2.MARKER_CROSS, dotted=True)
    out = remove_marks(image)
    far = cv2.dilate(marks.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert (out[far] == image[far]).mean() > 0.999
    error = np.abs(out[marks].astype(float) - frame[marks])
    assert error.mean() < 0.3 * np.abs(image[marks].astype(float) - frame[marks]).mean()


def test_calcifications_and_reflections_are_no_marks(frame):
    assert (find_marks(frame) > 0).mean() < 1e-3
    spots = frame.copy()
    rng = np.random.default_rng(0)
    for x, y in rng.integers(60, 240, (12, 2)):
        spots[y : y + 2, x : x + 2] = 255
    assert (find_marks(spots) > 0).mean() < 1e-3


def test_a_dotted_outline_without_crosses_is_found():
    image = np.full((200, 300), 60, np.uint8)
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    x, y = np.round(150 + 50 * np.cos(turns)).astype(int), np.round(100 + 35 * np.sin(turns)).astype(int)
    image[y, x] = 220
    assert find_marks(image)[y, x].mean() > 0.9


def test_nothing_is_done_to_a_tiny_frame_or_an_empty_mask():
    tiny = np.full((20, 20), 255, np.uint8)
    assert not find_marks(tiny).any()
    np.testing.assert_array_equal(fill_marks(tiny, np.zeros_like(tiny)), tiny)


def test_drawn_marks_are_reproducible_reported_and_everywhere():
    share = np.zeros((96, 144))
    rng = np.random.default_rng(3)
    for _ in range(300):
        image = np.full((96, 144), 40, np.uint8)
        mask = draw_marks(image, rng)
        assert (image[mask > 0] > 60).all()
        share += mask
    quarters = [share[:48, :72], share[:48, 72:], share[48:, :72], share[48:, 72:]]
    sums = np.array([quarter.sum() for quarter in quarters])
    assert sums.min() > 0.5 * sums.max()
    one, other = np.full((96, 144), 40, np.uint8), np.full((96, 144), 40, np.uint8)
    draw_marks(one, np.random.default_rng(8))
    draw_marks(other, np.random.default_rng(8))
    np.testing.assert_array_equal(one, other)


def test_the_report_counts_found_marks(frame):
    found = measure([frame] * 4, "upright", seed=2)
    assert found.marks > 0.8
    assert found.others < 1e-3
