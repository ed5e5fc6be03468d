"""Frames through one engine, and through several in parallel."""

from __future__ import annotations

import threading
from typing import Any

from tests.samples import make_frame
from usassist.common.clock import MonotonicClock
from usassist.errors import BackendFailedError, EngineError
from usassist.pipeline.inference import InferenceOutcome, UnprocessedFrame
from usassist.pipeline.lanes import Lanes
from usassist.records import Answer, Frame


class _Engine:
    backend = "fake"

    def __init__(self, gate: threading.Event | None = None, error: Exception | None = None) -> None:
        self.calls, self._gate, self._error = 0, gate, error

    def infer(self, inputs: Any) -> Any:
        self.calls += 1
        if self._gate is not None:
            assert self._gate.wait(10)
        if self._error is not None:
            raise self._error
        return {}


def _task() -> Any:
    def ask(frame: Frame, engine: Any) -> Answer:
        engine.infer({})
        return Answer()

    return ask


def _frames(count: int) -> list[Frame]:
    return [make_frame(number) for number in range(count)]


def _numbers(outcomes: list[InferenceOutcome | UnprocessedFrame]) -> list[int]:
    return [item.frame.frame_id for item in outcomes]


def test_one_engine_answers_in_the_callers_thread_and_its_own_call_is_stamped() -> None:
    engine: Any = _Engine()
    with Lanes(_task, MonotonicClock(), lambda: None) as lanes:
        (outcome,) = lanes.submit(make_frame(7), engine)
    assert outcome.frame.frame_id == 7
    assert outcome.t_input_ns is not None
    assert outcome.t_output_ns is not None
    assert outcome.t_start_ns <= outcome.t_input_ns <= outcome.t_output_ns <= outcome.t_end_ns


def test_several_engines_answer_in_the_order_of_the_frames_whichever_is_ready_first() -> None:
    gate = threading.Event()
    slow: Any = _Engine(gate)
    quick: Any = _Engine()
    answered = []
    with Lanes(_task, MonotonicClock(), lambda: None) as lanes:
        lanes.assign([slow, quick])
        for number, frame in enumerate(_frames(20)):
            if number == 3:
                gate.set()
            answered += list(lanes.submit(frame, slow))
        answered += list(lanes.drain())
    assert _numbers(answered) == list(range(20))
    assert slow.calls >= 1
    assert quick.calls >= 1
    assert slow.calls + quick.calls == 20


def test_there_is_room_until_every_lane_is_at_work() -> None:
    gate, finished = threading.Event(), threading.Semaphore(0)
    engines: list[Any] = [_Engine(gate), _Engine(gate)]
    with Lanes(_task, MonotonicClock(), finished.release) as lanes:
        lanes.assign(engines)
        for frame in _frames(2):
            assert lanes.has_room
            assert list(lanes.submit(frame, engines[0])) == []
        assert not lanes.has_room
        gate.set()
        for _ in range(2):
            assert finished.acquire(timeout=10), "the loop is woken"
        assert lanes.has_room
        assert _numbers(list(lanes.ready())) == [0, 1]


def test_one_frame_may_be_handed_over_ahead_where_latency_does_not_matter() -> None:
    gate = threading.Event()
    engines: list[Any] = [_Engine(gate), _Engine(gate)]
    with Lanes(_task, MonotonicClock(), lambda: None, ahead=1) as lanes:
        lanes.assign(engines)
        for frame in _frames(3):
            assert lanes.has_room
            list(lanes.submit(frame, engines[0]))
        assert not lanes.has_room
        gate.set()
        list(lanes.drain())


def test_a_frame_that_is_not_processed_keeps_its_place_in_the_order() -> None:
    gate = threading.Event()
    engines: list[Any] = [_Engine(gate), _Engine()]
    first, second, third = _frames(3)
    with Lanes(_task, MonotonicClock(), lambda: None) as lanes:
        assert _numbers(list(lanes.add_unprocessed(UnprocessedFrame(frame=first, interrupted=False)))) == [0]
        lanes.assign(engines)
        assert list(lanes.submit(second, engines[0])) == []
        assert list(lanes.add_unprocessed(UnprocessedFrame(frame=third, interrupted=False))) == []
        gate.set()
        assert _numbers(list(lanes.drain())) == [1, 2]


def test_a_failure_costs_its_own_frame_and_names_the_engine() -> None:
    broken: Any = _Engine(error=BackendFailedError("device lost; restart"))
    sound: Any = _Engine()
    with Lanes(_task, MonotonicClock(), lambda: None) as lanes:
        lanes.assign([broken, sound])
        answered = [item for frame in _frames(10) for item in lanes.submit(frame, broken)] + list(lanes.drain())
    assert _numbers(answered) == list(range(10))
    failed = [item for item in answered if item.failure is not None]
    assert failed
    assert all(item.engine is broken and item.reason == "device lost; restart" for item in failed)
    assert all(item.engine is sound for item in answered if item.failure is None)


def test_a_fault_that_is_not_the_back_ends_is_a_reason_and_no_failure() -> None:
    engine: Any = _Engine(error=EngineError("wrong input; correct it"))
    with Lanes(_task, MonotonicClock(), lambda: None) as lanes:
        (outcome,) = lanes.submit(make_frame(), engine)
    assert outcome.reason == "wrong input; correct it"
    assert outcome.failure is None
    assert outcome.t_input_ns is not None
    assert outcome.t_output_ns is None
