"""Findings over the frames of a stream: what is shown, what is not, and that nothing depends on what comes later."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.samples import make_scores
from tests.unit.modalities.test_postprocess import LABELS
from tests.unit.modalities.test_scores import FRAME, INPUT_HW_PX, Outputs
from usassist.calibrate import AssociationRule
from usassist.errors import CalibrationError, UsageError
from usassist.modalities.ultrasound import SweepAssociation, UltrasoundTask
from usassist.modalities.ultrasound.answers import choose_rows
from usassist.records import Detections

RULE = AssociationRule(alone=0.875, rise=0.6875, release=0.375, frames=2, iou=0.3)
HERE, THERE = (10.0, 10.0, 50.0, 40.0), (100.0, 60.0, 150.0, 90.0)

Candidate = tuple[tuple[float, float, float, float], float]


def _candidates(*found: Candidate, label_id: int = 0) -> Detections:
    count = len(found)
    return Detections(
        xyxy_px=np.array([box for box, _ in found], np.float32).reshape(count, 4),
        score=np.array([score for _, score in found], np.float32),
        label_id=np.full(count, label_id, np.int32),
        track_id=np.full(count, -1, np.int32),
    )


def _shown(frames: Sequence[Sequence[Candidate]], rule: AssociationRule = RULE) -> list[list[int]]:
    association = SweepAssociation(rule)
    return [association.update(_candidates(*frame)).tolist() for frame in frames]


def _one(*scores: float | None) -> list[list[Candidate]]:
    """A single place with these scores; None = no candidate."""
    return [[] if score is None else [(HERE, score)] for score in scores]


def test_a_false_alarm_of_a_single_frame_is_not_shown() -> None:
    assert _shown(_one(None, None, 0.85, None, None, 0.3, None)) == [[]] * 7


def test_a_candidate_that_is_high_enough_alone_is_shown_at_once() -> None:
    assert _shown(_one(None, 0.875)) == [[], [0]]
    assert _shown(_one(0.95)) == [[0]]


def test_a_candidate_rises_where_one_was_seen_before_and_nowhere_else() -> None:
    assert _shown(_one(0.375, 0.6875)) == [[], [0]]
    assert _shown(_one(0.37, 0.6875)) == [[], []], "below release there was no candidate"
    assert _shown([[(THERE, 0.8)], [(HERE, 0.8)]]) == [[], []]


def test_weak_frames_in_the_middle_of_a_nodule_stay_shown() -> None:
    assert _shown(_one(0.75, 0.75, 0.45, 0.375, 0.8)) == [[], [0], [0], [0], [0]]


def test_a_weak_candidate_alone_never_rises() -> None:
    assert _shown(_one(*[0.68] * 10)) == [[]] * 10


def test_nothing_is_shown_on_a_frame_without_a_candidate_there() -> None:
    shown = _shown([[(HERE, 0.95)], [(HERE, 0.95)], [], [(HERE, 0.37)], [(THERE, 0.5)]])
    assert shown == [[0], [0], [], [], []]


def test_a_nodule_is_forgotten_after_so_many_frames() -> None:
    assert _shown(_one(0.95, None, 0.5)) == [[0], [], [0]]
    assert _shown(_one(0.95, None, None, 0.5)) == [[0], [], [], []]
    assert _shown(_one(0.95, None, 0.5), dataclasses.replace(RULE, frames=1)) == [[0], [], []]


def test_two_places_do_not_mix_and_keep_their_order() -> None:
    frames = [[(HERE, 0.95), (THERE, 0.5)], [(THERE, 0.8), (HERE, 0.5)], [(HERE, 0.5), (THERE, 0.41)]]
    assert _shown(frames) == [[0], [0, 1], [0, 1]]


def test_another_label_in_the_same_place_is_another_thing() -> None:
    association = SweepAssociation(RULE)
    assert association.update(_candidates((HERE, 0.95), label_id=0)).tolist() == [0]
    assert association.update(_candidates((HERE, 0.8), label_id=1)).tolist() == []


def test_after_a_reset_nothing_is_known_of_the_frames_before() -> None:
    association = SweepAssociation(RULE)
    association.update(_candidates((HERE, 0.95)))
    association.reset()
    assert association.update(_candidates((HERE, 0.8))).tolist() == []


def test_a_frame_that_is_not_remembered_changes_nothing() -> None:
    association = SweepAssociation(RULE)
    association.update(_candidates((HERE, 0.95)))
    for _ in range(5):
        assert association.update(_candidates((HERE, 0.5), (THERE, 0.95)), remember=False).tolist() == [0, 1]
    assert association.update(_candidates((HERE, 0.5), (THERE, 0.5))).tolist() == [0]


boxes = st.sampled_from([HERE, THERE, (12.0, 11.0, 52.0, 43.0), (30.0, 10.0, 70.0, 40.0)])
frame_candidates = st.lists(st.tuples(boxes, st.floats(0.0, 1.0)), max_size=4)
rules = st.builds(
    lambda scores, frames, iou: AssociationRule(
        release=scores[0], rise=scores[1], alone=scores[2], frames=frames, iou=iou
    ),
    st.tuples(*[st.floats(0.05, 1.0)] * 3).map(sorted),
    st.integers(1, 5),
    st.floats(0.1, 0.9),
)


@settings(deadline=None)
@given(st.lists(frame_candidates, min_size=1, max_size=12), rules, st.data())
def test_what_is_shown_does_not_depend_on_what_comes_later(
    frames: list[list[Candidate]], rule: AssociationRule, data: st.DataObject
) -> None:
    shown = _shown(frames, rule)
    assert shown == _shown(frames, rule), "the same frames give the same"
    cut = data.draw(st.integers(0, len(frames)))
    other = data.draw(st.lists(frame_candidates, max_size=4))
    assert _shown(frames[:cut] + other, rule)[:cut] == shown[:cut]


@settings(deadline=None)
@given(st.lists(frame_candidates, min_size=1, max_size=12), rules)
def test_all_that_is_high_enough_alone_is_shown_and_nothing_below_release(
    frames: list[list[Candidate]], rule: AssociationRule
) -> None:
    for frame, shown in zip(frames, _shown(frames, rule), strict=True):
        scores = np.array([score for _, score in frame], np.float32)
        assert set(np.nonzero(scores.astype(np.float64) >= rule.alone)[0]) <= set(shown)
        assert all(float(scores[row]) >= rule.release for row in shown)


@settings(deadline=None)
@given(st.lists(frame_candidates, max_size=12), st.floats(0.05, 1.0), st.integers(1, 5))
def test_with_three_equal_scores_each_frame_is_cut_alone(
    frames: list[list[Candidate]], score: float, memory: int
) -> None:
    rule = AssociationRule(alone=score, rise=score, release=score, frames=memory, iou=0.5)
    cut = [[row for row, (_, value) in enumerate(frame) if float(np.float32(value)) >= score] for frame in frames]
    assert _shown(frames, rule) == cut


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"release": 0.8}, "0 < release <= rise <= alone <= 1, got 0.8, 0.6875 and 0.875"),
        ({"release": 0.0}, "0 < release"),
        ({"alone": 1.5}, "alone <= 1"),
        ({"alone": float("nan")}, "alone <= 1"),
        ({"frames": 0}, "frames of an association must lie in 1 to 30, got 0"),
        ({"frames": 31}, "got 31"),
        ({"iou": 0.0}, "iou of an association must lie between 0 and 1, got 0"),
        ({"iou": 1.0}, "got 1"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_in_one_line(changes: dict[str, float], message: str) -> None:
    with pytest.raises(CalibrationError, match=message) as caught:
        dataclasses.replace(RULE, **changes)  # type: ignore[arg-type]
    assert str(caught.value).endswith("fit it again")


def test_a_task_gives_all_candidates_and_neither_sizes_nor_descriptors() -> None:
    scores = make_scores(score=0.6875)
    scores = dataclasses.replace(
        scores, points={name: dataclasses.replace(point, association=RULE) for name, point in scores.points.items()}
    )
    task = UltrasoundTask(INPUT_HW_PX, LABELS, None, scores, candidates=True)
    answer = task(FRAME, Outputs(0.3, 0.41, 0.8))
    assert answer.detections.score.tolist() == pytest.approx([0.8, 0.41])
    assert len(answer.segmentation) == 2
    assert len(answer.measurements) == 0
    shown, outlines = choose_rows(answer.detections, answer.segmentation, np.array([1]))
    np.testing.assert_array_equal(next(iter(outlines)), list(answer.segmentation)[1])
    complete = task.complete(FRAME, shown, outlines)
    assert len(complete.detections) == len(complete.segmentation) == len(complete.measurements) == 1
    assert len(UltrasoundTask(INPUT_HW_PX, LABELS, None, scores)(FRAME, Outputs(0.3, 0.41, 0.8)).detections) == 1


def test_candidates_of_a_point_without_association_are_refused() -> None:
    with pytest.raises(UsageError, match="point balanced has no association over frames; answer each frame alone"):
        UltrasoundTask(INPUT_HW_PX, LABELS, None, make_scores(), candidates=True)
