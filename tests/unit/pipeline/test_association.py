"""Findings associated over the frames of a stream: when all is forgotten, and that a rerun remembers the same."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.samples import make_frame, make_scores
from tests.unit.pipeline.test_stream import FakeEngine, HalfBlindEngine, Run, _null
from usassist.bus import AssociationBody, TrackingBody, TrackingClock
from usassist.calibrate import AssociationRule, ScoreCalibration
from usassist.common.clock import MonotonicClock
from usassist.engine import FailoverEngine
from usassist.errors import BackendUnavailableError, EngineError
from usassist.pipeline import StreamAssociation
from usassist.pipeline.inference import InferenceOutcome
from usassist.records import Answer, Cause, Frame, Result, ResultState, SignalState

RULE = AssociationRule(alone=0.875, rise=0.625, release=0.25, frames=3, iou=0.25)
MS = 1_000_000


def _scores() -> ScoreCalibration:
    """Scores stay as they are (slope 1, intercept 0), and every point has the association."""
    scores = make_scores(score=0.5)
    points = {name: dataclasses.replace(point, association=RULE) for name, point in scores.points.items()}
    return dataclasses.replace(scores, points=points)


class Hashed(FakeEngine):
    """One candidate a frame, whose score follows from the pixels alone, whatever the thread."""

    def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = super().infer(inputs)
        outputs["center_score"][0, 0, 4, 6] = hashlib.sha256(inputs["image"].tobytes()).digest()[0] / 255.0
        return outputs


class HashedHalfBlind(Hashed):
    """The same, and abstains on about every fourth frame, as its pixels have it."""

    def __init__(self, act: Callable[[int], None] = lambda call: None) -> None:
        super().__init__(act)
        self.spec = HalfBlindEngine().spec

    def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        is_blind = hashlib.sha256(inputs["image"].tobytes()).digest()[1] < 64
        return super().infer(inputs) | {"thyroid_prob": np.full((1, 1), 0.03 if is_blind else 0.97, np.float32)}


def _sweep(count: int) -> Any:
    """A source whose frames show nearly the same; in one row the number of the frame is drawn as a level of grey."""
    source = _null(count)
    frames = source.frames

    def alike() -> Any:
        for frame in frames():
            image = np.broadcast_to(np.arange(frame.image.shape[1], dtype=np.uint8), frame.image.shape).copy()
            image[0] = 3 + frame.frame_id
            yield dataclasses.replace(frame, image=image)

    source.frames = alike
    return source


def _numbered(results: list[Result]) -> list[tuple[Any, ...]]:
    """Everything of the answers that is not a time."""
    return [
        (
            result.frame_id,
            result.state,
            result.follows_frame_id,
            result.detections.score.tolist(),
            result.detections.track_id.tolist(),
            result.segmentation.contour_xy_px.tolist(),
            result.measurements.major_px.tolist(),
        )
        for result in results
    ]


def _failover(count: int, act: Callable[[int], None] = lambda call: None) -> FailoverEngine:
    """A failover engine that gives as many engines for the processor as are asked for, `count` at most."""
    left = [Hashed(act) for _ in range(count)]

    def opener(backend: str, precision: str) -> Any:
        if not left:
            raise BackendUnavailableError("all are in use")
        return left.pop()

    first = left.pop()
    return FailoverEngine(first.spec, [("engine0", "fp32")], opener, None, MonotonicClock(), (0, first, []))


def test_one_engine_and_three_in_parallel_give_the_same_answers(bus_address: str) -> None:
    runs = []
    for lanes in (1, 3):
        run = Run(bus_address, _failover(lanes), _sweep(60), scores=_scores(), lanes=lanes)
        run()
        runs.append(_numbered(run.results))
        assert run.engines[-1].association == AssociationBody(**dataclasses.asdict(RULE))
        assert run.engines[-1].labels[0].score_threshold == RULE.release
    assert runs[0] == runs[1]
    assert [follows for _, _, follows, *_ in runs[0]] == [None, *range(59)]
    states = [state for _, state, *_ in runs[0]]
    assert {ResultState.FINDING, ResultState.NO_FINDING} == set(states)


def test_each_frame_alone_is_as_without_an_association(bus_address: str) -> None:
    answers = []
    for scores, each in ((make_scores(score=0.5), False), (_scores(), True)):
        run = Run(bus_address, Hashed(), _sweep(30), scores=scores, each_frame_alone=each)
        run()
        assert run.engines[-1].association is None
        assert run.stream.summary.as_dict()["association"] is None
        assert all(result.follows_frame_id is None for result in run.results)
        answers.append(_numbered(run.results))
    assert answers[0] == answers[1]


def test_a_rerun_of_a_stream_with_drops_remembers_the_same_frames(bus_address: str) -> None:
    def fail(call: int) -> None:
        if call in (4, 5):
            raise EngineError("device lost; restart")

    source = _sweep(90)
    frames = source.frames
    source.frames = lambda: (frame for frame in frames() if frame.frame_id % 7 not in (2, 3, 5))
    live = Run(bus_address, Hashed(fail), source, scores=_scores())  # as where the slot has dropped the others
    live()
    answered = [result for result in live.results if result.state.is_answer]
    assert len(answered) == len(live.results) - 2
    recorded = {result.frame_id: result.follows_frame_id for result in answered}
    again = Run(bus_address, _failover(3), _sweep(90), scores=_scores(), lanes=3, recorded=recorded)
    again()
    assert len([result for result in again.results if result.state.is_answer]) == 90, "the others are answered too"
    same = [result for result in again.results if result.frame_id in recorded]
    assert _numbered(same) == _numbered(answered)
    naive = Run(bus_address, Hashed(), _sweep(90), scores=_scores())
    naive()
    shown = [
        [len(result.detections) for result in run.results if result.frame_id in recorded] for run in (again, naive)
    ]
    assert shown[0] != shown[1], "the drops matter, or this test shows nothing"


def test_all_is_forgotten_where_the_engine_abstains_and_a_rerun_of_a_stream_with_drops_forgets_the_same(
    bus_address: str,
) -> None:
    dropped = {frame_id for frame_id in range(90) if frame_id % 5 in (1, 3)}
    source = _sweep(90)
    frames = source.frames
    source.frames = lambda: (frame for frame in frames() if frame.frame_id not in dropped)
    live = Run(bus_address, HashedHalfBlind(), source, scores=_scores())
    live()
    last: int | None = None
    for result in live.results:
        assert result.follows_frame_id == (None if result.cause is Cause.OUT_OF_DOMAIN else last)
        last = result.frame_id if result.state.is_answer else None
    recorded = {result.frame_id: result.follows_frame_id for result in live.results if result.state.is_answer}
    again = Run(bus_address, HashedHalfBlind(), _sweep(90), scores=_scores(), recorded=recorded)
    again()
    same = [result for result in again.results if result.frame_id not in dropped]
    assert _numbered(same) == _numbered(live.results)
    blind = {result.frame_id for result in again.results if result.cause is Cause.OUT_OF_DOMAIN}
    assert blind & dropped, "the rerun abstains on frames that were dropped, or this test shows nothing"
    assert blind - dropped


class Memory:
    """An association that notes what it is given."""

    tracking = "rule-1"

    def __init__(self) -> None:
        self.known: list[int] = []
        self.given: list[tuple[float, bool]] = []
        self.resets = 0
        self.place: Any = None

    def make_task(self) -> Any:
        raise NotImplementedError

    def reset(self) -> None:
        self.known.clear()
        self.resets += 1

    def follows(self, frame: Frame) -> bool:
        return bool(self.place == frame.roi_xyxy_px)

    def complete(
        self, frame: Frame, candidates: Answer, *, t_s: float, same_image: bool = True, remember: bool = True
    ) -> Answer:
        if remember:
            self.given.append((t_s, same_image))
            self.known.append(frame.frame_id)
            self.place = frame.roi_xyxy_px
        return candidates


@pytest.mark.parametrize(
    ("realtime", "changes", "goes_on"),
    [
        (True, {"frame_id": 1}, True),
        (True, {"frame_id": 15, "t_capture_ns": 500 * MS}, True),
        (True, {"frame_id": 1, "t_capture_ns": 501 * MS}, False),
        (False, {"frame_id": 1, "t_capture_ns": 501 * MS}, True),
        (False, {"frame_id": 15}, True),
        (False, {"frame_id": 16}, False),
        (True, {"frame_id": 16, "t_capture_ns": 100 * MS}, False),
        (False, {"frame_id": 1, "roi_xyxy_px": (11, 20, 75, 68)}, False),
        (False, {"frame_id": 1, "image": make_frame(1).image}, False),
        (False, {"frame_id": 1, "image": make_frame(0).image // 2 + 20}, True),
    ],
)
def test_all_is_forgotten_where_the_frames_are_too_far_apart_or_show_another_place_or_image(
    realtime: bool, changes: dict[str, Any], goes_on: bool
) -> None:
    memory = Memory()
    association = StreamAssociation(memory, realtime=realtime)
    first = make_frame(0, t_capture_ns=0)
    assert association.complete(first, Answer())[1] is None
    frame = make_frame(**({"t_capture_ns": 30 * MS, "image": first.image} | changes))
    assert association.complete(frame, Answer())[1] == (0 if goes_on else None)
    assert memory.known == ([0, frame.frame_id] if goes_on else [frame.frame_id])


def test_a_frame_that_is_not_live_makes_the_stream_forget(bus_address: str) -> None:
    source = _sweep(12)
    frames = source.frames

    def frozen() -> Any:
        for frame in frames():
            still = {"picture": SignalState.FROZEN, "picture_reason": "the scanner is frozen"}
            yield dataclasses.replace(frame, **still) if frame.frame_id == 5 else frame

    source.frames = frozen
    run = Run(bus_address, Hashed(), source, scores=_scores())
    run()
    assert [result.follows_frame_id for result in run.results] == [None, 0, 1, 2, 3, None, None, 6, 7, 8, 9, 10]


def test_recorded_answers_decide_what_is_remembered_and_when_it_is_forgotten() -> None:
    memory = Memory()
    association = StreamAssociation(memory, realtime=False, recorded={0: None, 3: 0, 4: None, 7: 6})
    follows = [association.complete(make_frame(number), Answer())[1] for number in (0, 1, 3, 4, 5, 7)]
    assert follows == [None, 0, 0, None, 4, None], "frame 6 is not in the recording, so frame 7 follows none"
    assert memory.known == [7]


def test_track_ids_go_by_capture_time_or_by_frame_numbers_and_in_a_rerun_by_the_times_of_the_recording() -> None:
    image = make_frame(0).image
    frames = [make_frame(number, t_capture_ns=40 * number * MS, image=image) for number in (3, 6, 8)]
    cases: list[tuple[dict[str, Any], list[float], str]] = [
        ({"realtime": True}, [0.12, 0.24, 0.32], "capture_time"),
        ({"realtime": False}, [0.1, 0.2, 8 / 30], "frame_number"),
        (
            {"realtime": False, "recorded": {3: None, 8: 3}, "recorded_t_ns": {3: 7 * MS, 6: 8 * MS, 8: 9 * MS}},
            [0.007, 0.009],
            "recorded_time",
        ),
    ]
    for options, times_s, clock in cases:
        memory = Memory()
        association = StreamAssociation(memory, **options)
        for frame in frames:
            association.complete(frame, Answer())
        assert [t_s for t_s, _ in memory.given] == pytest.approx(times_s)
        assert association.tracking == TrackingBody(rule="rule-1", clock=TrackingClock(clock))


def test_a_time_that_goes_back_stands_still() -> None:
    memory = Memory()
    association = StreamAssociation(memory, realtime=True)
    for number, t_ns in enumerate((50 * MS, 20 * MS, 60 * MS)):
        association.complete(make_frame(number, t_capture_ns=t_ns), Answer())
    assert [t_s for t_s, _ in memory.given] == pytest.approx([0.05, 0.05, 0.06])


def test_another_image_ends_all_identities_also_where_there_was_no_answer_between() -> None:
    image, other = make_frame(0).image, make_frame(1).image
    abstains = Answer(domain_prob=0.03, abstains="not thyroid (0.03 < 0.50)")
    for recorded in (None, {0: None, 2: None, 3: 2, 5: None, 7: None}):
        memory = Memory()
        association = StreamAssociation(memory, realtime=False, recorded=recorded)
        for number, shown, answer in (
            (0, image, Answer()),
            (1, image, abstains),
            (2, image, Answer()),  # the same place: which nodule is which goes on, although all else is forgotten
            (3, image, Answer()),
            (4, other, abstains),
            (5, other, Answer()),
            (6, other, abstains),
            (7, image, Answer()),
        ):
            association.complete(make_frame(number, image=shown), answer)
        assert [same for _, same in memory.given] == [True, True, True, False, False]


def test_an_outcome_without_an_answer_is_left_as_it_is_and_a_fault_is_an_outcome() -> None:
    class Broken(Memory):
        def complete(self, frame: Frame, candidates: Answer, **others: Any) -> Answer:
            raise ZeroDivisionError("a fault of ours")

    outcome = InferenceOutcome(frame=make_frame(3), answer=Answer(), backend="fake", t_start_ns=1, t_end_ns=2)
    association = StreamAssociation(Broken(), realtime=True)
    failed = association.apply(outcome, MonotonicClock())
    assert "ZeroDivisionError" in failed.reason
    assert failed.t_end_ns > outcome.t_end_ns
    for untouched in (dataclasses.replace(outcome, reason="device lost"), dataclasses.replace(outcome, backend="null")):
        assert association.apply(untouched, MonotonicClock()) is untouched


def test_an_answer_that_abstains_is_left_as_it_is_and_the_next_follows_none() -> None:
    memory = Memory()
    association = StreamAssociation(memory, realtime=False)
    abstains = Answer(domain_prob=0.03, abstains="not thyroid (0.03 < 0.50)")
    assert association.complete(make_frame(0), Answer())[1] is None
    assert association.complete(make_frame(1), abstains) == (abstains, None)
    assert memory.known == []
    assert association.complete(make_frame(2), Answer())[1] is None
    assert memory.known == [2]
