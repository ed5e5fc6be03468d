"""Engines that never return: their frame has no result, another answers, and nothing waits for them."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from tests.samples import make_failover, make_frame
from tests.unit.pipeline.test_stream import FakeEngine, Run, _failover_of, _null
from usassist.common.clock import MonotonicClock
from usassist.errors import BackendFailedError, BackendHungError
from usassist.pipeline.deadline import InferenceDeadline
from usassist.pipeline.inference import CallAbandoned
from usassist.pipeline.lanes import Lanes
from usassist.records import Answer, Cause, Frame, Result, ResultState

DEADLINE_S = 0.3


class Stuck:
    """Makes an engine hang in one call, until it is released."""

    def __init__(self, call: int) -> None:
        self._call = call
        self.begun, self.free = threading.Event(), threading.Event()

    def __call__(self, call: int) -> None:
        if call == self._call:
            self.begun.set()
            assert self.free.wait(60)


def _states(results: list[Result]) -> list[int]:
    return [result.frame_id for result in results]


@pytest.mark.parametrize("realtime", [False, True])
def test_another_back_end_answers_instead_of_one_that_hangs(bus_address: str, *, realtime: bool) -> None:
    stuck = Stuck(8)
    hanging, next_one = FakeEngine(stuck, backend="hanging"), FakeEngine(backend="next")
    source = _null(80, 25 if realtime else 100, fast=not realtime)
    run = Run(bus_address, make_failover(hanging, next_one), source, realtime=realtime, deadline_s=DEADLINE_S)
    summary = run()
    assert _states(run.results) == list(range(80)), "every frame ends as one result, in order"
    lost = [result for result in run.results if result.cause is Cause.ENGINE_ERROR]
    assert lost[0].frame_id == 8 or realtime
    assert "engine hangs: it did not answer" in lost[0].reason
    assert lost[0].backend == "hanging"
    assert {result.backend for result in run.results if result.state is ResultState.FINDING} == {"hanging", "next"}
    assert run.results[-1].state is ResultState.FINDING
    assert [change["after"] for change in summary.changes] == ["next"]
    assert "did not answer" in summary.changes[0]["reason"]
    assert not hanging.closed.is_set(), "a thread is still in it"
    assert hanging.calls == 9
    stuck.free.set()
    assert hanging.closed.wait(10), "one that returns after all is closed"


def test_what_returns_too_late_is_not_published(bus_address: str) -> None:
    stuck = Stuck(3)
    hanging, next_one = FakeEngine(stuck, backend="hanging"), FakeEngine(lambda call: time.sleep(0.02), backend="next")
    run = Run(bus_address, make_failover(hanging, next_one), _null(60), deadline_s=DEADLINE_S)
    freer = threading.Thread(target=lambda: (stuck.begun.wait(30), time.sleep(2 * DEADLINE_S + 0.3), stuck.free.set()))
    freer.start()
    run()
    freer.join()
    assert _states(run.results) == list(range(60))
    assert hanging.closed.wait(10)


def test_the_only_back_end_is_opened_again(bus_address: str) -> None:
    stuck = Stuck(3)
    engines = [FakeEngine(stuck), FakeEngine()]
    run = Run(bus_address, _failover_of(engines), _null(300, 50, fast=False), realtime=True, deadline_s=DEADLINE_S)
    run()
    assert _states(run.results) == list(range(300))
    assert engines[1].calls > 0
    assert run.results[-1].state is ResultState.FINDING
    stuck.free.set()


def test_with_a_second_thread_stuck_the_stream_ends_itself(bus_address: str) -> None:
    first, second = Stuck(3), Stuck(3)
    failover = make_failover(FakeEngine(first, backend="a"), FakeEngine(second, backend="b"), FakeEngine(backend="c"))
    run = Run(bus_address, failover, _null(1000, 100, fast=False), realtime=True, deadline_s=DEADLINE_S)
    with pytest.raises(BackendHungError, match="did not answer"):
        run()
    assert _states(run.results) == list(range(len(run.results))), "none is left out"
    assert run.stream.summary.state == "failed"
    assert "did not answer" in run.stream.summary.reason
    assert run.sessions[-1].state == "failed"
    first.free.set()
    second.free.set()


@pytest.mark.parametrize("which", [0, 1])
def test_one_of_two_engines_that_hangs_costs_one_frame(which: int, bus_address: str) -> None:
    stuck = Stuck(4)
    slow = lambda call: time.sleep(0.005)  # noqa: E731
    engines = [FakeEngine(stuck if number == which else slow) for number in range(2)] + [FakeEngine(slow)]
    run = Run(bus_address, _failover_of(engines), _null(80), lanes=2, deadline_s=DEADLINE_S)
    run()
    assert _states(run.results) == list(range(80))
    assert [result.cause for result in run.results if result.cause] == [Cause.ENGINE_ERROR]
    assert not engines[which].closed.is_set()
    stuck.free.set()
    assert engines[which].closed.wait(10)


def test_a_stop_while_the_engine_hangs_ends_the_run(bus_address: str) -> None:
    stuck = Stuck(2)
    run = Run(bus_address, FakeEngine(stuck), _null(1000, 50, fast=False), realtime=True, deadline_s=DEADLINE_S)
    stopper = threading.Thread(target=lambda: (stuck.begun.wait(30), run.stop.set()))
    stopper.start()
    summary = run()
    stopper.join()
    assert summary.state == "interrupted"
    assert _states(run.results) == list(range(len(run.results)))
    stuck.free.set()


def test_the_heartbeat_goes_on_while_an_engine_is_within_its_deadline(bus_address: str) -> None:
    from usassist.common.heartbeat import Heartbeat

    heartbeat, beats = Heartbeat(), []
    slow = FakeEngine(lambda call: (beats.append(heartbeat.count), time.sleep(1.0), beats.append(heartbeat.count)))
    Run(bus_address, slow, _null(2), heartbeat=heartbeat, deadline_s=10.0)()
    assert beats[1] - beats[0] >= 3
    assert heartbeat.allowed_s is not None, "closing takes what it takes"


def _task() -> Any:
    def ask(frame: Frame, engine: Any) -> Answer:
        engine.infer({})
        return Answer()

    return ask


def _ask_and_end(lanes: Lanes, engine: Any) -> None:
    with pytest.raises(CallAbandoned):
        list(lanes.submit(make_frame(), engine))


def test_time_that_was_not_watched_does_not_count() -> None:
    stuck, overdue = Stuck(0), []
    engine: Any = FakeEngine(stuck)
    with Lanes(_task, MonotonicClock(), lambda: None, deadline=InferenceDeadline(0.2)) as lanes:
        asking = threading.Thread(target=_ask_and_end, args=(lanes, engine))
        asking.start()
        assert stuck.begun.wait(10)
        time.sleep(1.2)  # the machine slept
        assert lanes.check_deadline(0.1) == []
        for _ in range(20):
            overdue += lanes.check_deadline(0.1)
        stuck.free.set()
        asking.join()
    ((outcome, in_caller),) = overdue
    assert in_caller
    assert isinstance(outcome.failure, BackendHungError)
    assert isinstance(outcome.failure, BackendFailedError)
    assert lanes.stuck_count == 0


def test_a_deadline_follows_the_average_of_the_engines_calls() -> None:
    deadline = InferenceDeadline(1.0)
    quick: Any = FakeEngine()
    slow: Any = FakeEngine()
    assert deadline.limit_s(quick) == 5.0, "nothing was measured of its first call"
    for _ in range(50):
        deadline.record(quick, 10_000_000)
        deadline.record(slow, 400_000_000)
    assert deadline.limit_s(quick) == 1.0
    assert deadline.limit_s(slow) == pytest.approx(4.0)
