"""Which nodule is which over the frames of a sweep, on boxes that are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usassist.modalities.ultrasound.tracking import SweepTracker
from usassist.records import Detections

HW_PX = (300, 400)
GREY = 128
Box = tuple[float, float, float, float]  # centre x, y, width, height


def _shown(boxes: Sequence[Box], label_id: Sequence[int] | None = None) -> Detections:
    count = len(boxes)
    x, y, width, height = np.array(boxes, np.float32).reshape(-1, 4).T
    return Detections(
        xyxy_px=np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1),
        score=np.full(count, 0.9, np.float32),
        label_id=np.array(label_id or [0] * count, np.int32),
        track_id=np.full(count, -1, np.int32),
    )


def _image(boxes: Sequence[Box] = (), levels: Sequence[int] = ()) -> np.ndarray:
    """Grey tissue in which each box has its own level."""
    image = np.full(HW_PX, GREY, np.uint8)
    for (x, y, width, height), level in zip(boxes, levels, strict=True):
        image[round(y - height / 2) : round(y + height / 2), round(x - width / 2) : round(x + width / 2)] = level
    return image


class Sweep:
    """A tracker with its clock: frames of 30 a second."""

    def __init__(self) -> None:
        self.tracker, self.number = SweepTracker(), 0

    def show(self, *boxes: Box, levels: Sequence[int] | None = None, after: int = 1) -> list[int]:
        self.number += after
        image = _image(boxes, levels or [60] * len(boxes))
        return self.tracker.update(_shown(boxes), image, self.number / 30.0).tolist()


def test_identities_count_from_one_and_stay() -> None:
    sweep = Sweep()
    assert sweep.show((100, 100, 40, 30), (250, 150, 60, 50)) == [1, 2]
    for step in range(20):
        assert sweep.show((250 + step, 150, 60, 50), (100 + step, 100, 40, 30)) == [2, 1], "whatever their order"
    assert sweep.show() == []
    assert sweep.show((270, 150, 60, 50), (120, 100, 40, 30), (50, 220, 30, 30)) == [2, 1, 3]


def test_two_that_cross_do_not_swap() -> None:
    sweep = Sweep()
    for step in range(41):
        x = 120 + 4 * step
        assert sweep.show((x, 140, 44, 40), (400 - x, 158, 44, 40)) == [1, 2], step


def test_one_that_leaves_and_comes_back_alike_keeps_its_identity_for_two_seconds() -> None:
    box = (100, 100, 40, 30)
    for gone, expected in ((5, 1), (20, 1), (58, 1), (62, 2)):
        sweep = Sweep()
        assert sweep.show(box) == [1]
        assert sweep.show((103, 101, 38, 31), after=gone) == [expected], gone


@pytest.mark.parametrize(
    ("box", "level"),
    [((118, 100, 40, 30), 60), ((100, 100, 140, 110), 60), ((100, 100, 40, 30), 110)],
    ids=["another place", "another size", "another grey level"],
)
def test_another_nodule_in_about_the_same_place_gets_an_identity_of_its_own(box: Box, level: int) -> None:
    sweep = Sweep()
    assert sweep.show((100, 100, 40, 30)) == [1]
    assert sweep.show(after=12) == []
    assert sweep.show(box, levels=[level]) == [2]


def test_what_is_out_of_sight_moves_with_what_is_seen() -> None:
    sweep = Sweep()
    assert sweep.show((100, 100, 40, 30), (250, 150, 60, 50)) == [1, 2]
    for step in range(1, 16):
        assert sweep.show((250 + 3 * step, 150, 60, 50)) == [2]
    assert sweep.show((295, 150, 60, 50), (145, 100, 40, 30)) == [2, 1]


def test_after_a_reset_no_identity_of_before_is_given_again() -> None:
    sweep = Sweep()
    assert sweep.show((100, 100, 40, 30)) == [1]
    sweep.tracker.reset()
    assert sweep.show((100, 100, 40, 30)) == [2]


def test_labels_are_never_mixed() -> None:
    tracker = SweepTracker()
    box, image = (100, 100, 40, 30), _image()
    assert tracker.update(_shown([box], [0]), image, 0.0).tolist() == [1]
    assert tracker.update(_shown([box], [1]), image, 0.03).tolist() == [2]
    assert tracker.update(_shown([box, box], [1, 0]), image, 0.06).tolist() == [2, 1]


def test_colour_is_as_good_as_grey_and_boxes_may_reach_the_border() -> None:
    box = (380, 280, 40, 40)
    image = _image([box], [60])
    for shown in (image, np.repeat(image[..., None], 3, axis=2)):
        tracker = SweepTracker()
        assert tracker.update(_shown([box]), image, 0.0).tolist() == [1]
        assert tracker.update(_shown([box]), shown, 1.0).tolist() == [1]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_identities_of_one_frame_are_unique_and_none_is_given_to_two_nodules_of_a_frame(seed: int) -> None:
    runs = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        tracker, t_s, highest = SweepTracker(), 0.0, 0
        ids: list[list[int]] = []
        for _ in range(25):
            count = int(rng.integers(0, 9))
            center = rng.uniform((60, 60), (340, 240), (count, 2))
            boxes = np.concatenate([center, rng.uniform(8, 100, (count, 2))], axis=1)
            t_s += float(rng.choice([0.0, 0.033, 0.1, 0.5, 3.0]))
            if rng.random() < 0.1:
                tracker.reset()
                before = highest
            else:
                before = 0
            shown = _shown([tuple(box) for box in boxes], rng.integers(0, 2, count).tolist())
            found = tracker.update(shown, rng.integers(0, 256, HW_PX, dtype=np.uint8), t_s)
            assert found.dtype == np.int32
            assert len(set(found.tolist())) == count
            assert all(number > before for number in found.tolist()), "after a reset all are new"
            new = sorted(number for number in found.tolist() if number > highest)
            assert new == list(range(highest + 1, highest + 1 + len(new))), "they count on"
            highest += len(new)
            ids.append(found.tolist())
        runs.append(ids)
    assert runs[0] == runs[1]
