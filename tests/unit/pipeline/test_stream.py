"""The loop, with the moving test pattern as source and engines that do what a test wants."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.samples import make_failover, make_scores
from tests.unit.modalities.rows import empty_rooms
from usassist.bus import Inbox, MarkBody, MarkKind, SessionState, Subscriber, frame_from, result_from
from usassist.bus.publisher import Publisher
from usassist.common.clock import MonotonicClock
from usassist.engine import Domain, FailoverEngine
from usassist.engine.spec import EngineSpec, Golden, TensorSpec
from usassist.errors import (
    BackendFailedError,
    EngineError,
    EngineOutputError,
    EngineSpecError,
    PlanMissingError,
    SourceError,
)
from usassist.modalities.ultrasound.descriptors import DescriptorModel, LogisticTable
from usassist.pipeline import Stream, StreamSummary
from usassist.records import Cause, Frame, LabelSpec, Result, ResultState, SignalState
from usassist.sources import open_source
from usassist.sources.null import read_frame_id

ALL = ("frame", "result", "engine", "session", "health", "mark")


def _spec(**changes: Any) -> EngineSpec:
    values: dict[str, Any] = {
        "name": "fake",
        "version": "1.0.0",
        "folder": Path(),
        "modality": "US",
        "task": "detect_segment",
        "artifacts": {"onnx": (Path("model.onnx"), "0" * 64)},
        "inputs": (TensorSpec(name="image", dtype="float32", shape=(1, 1, 64, 96), layout="NCHW"),),
        "outputs": (
            TensorSpec(name="mask_prob", dtype="float32", shape=(1, 1, 32, 48), layout="NCHW"),
            TensorSpec(name="center_score", dtype="float32", shape=(1, 1, 8, 12), layout="NCHW"),
            TensorSpec(name="box_ltrb_px", dtype="float32", shape=(1, 4, 8, 12), layout="NCHW"),
        ),
        "color": "GRAY",
        "input_range": (0.0, 1.0),
        "mean": (0.0,),
        "std": (1.0,),
        "labels": (
            LabelSpec(
                id=0, name="nodule", scheme="SCT", value="1", meaning="N", color_rgb=(255, 0, 0), score_threshold=0.5
            ),
        ),
        "precision": "fp32",
        "rate_hz": 30.0,
        "latency_budget_ms": 33.0,
        "diameter_rel_sd": None,
        "golden": Golden(path=Path("golden.npz"), max_abs_diff=0.0),
        "licence": "none",
        "intended_use": "tests",
    }
    return EngineSpec(**(values | changes))


class FakeEngine:
    """Finds one square in every frame, unless `act` does something else first."""

    def __init__(self, act: Callable[[int], None] = lambda call: None, *, finds: bool = True, backend: str = "fake"):
        self.spec = _spec()
        self.backend = backend
        self.calls = 0
        self.closed = threading.Event()
        self._act = act
        self._finds = finds

    def close(self) -> None:
        self.closed.set()

    def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls += 1
        self._act(self.calls - 1)
        score = np.zeros((1, 1, 8, 12), np.float32)
        box = np.full((1, 4, 8, 12), 12.0, np.float32)
        mask = np.zeros((1, 1, 32, 48), np.float32)
        if self._finds:
            score[0, 0, 4, 6] = 0.9
            mask[0, 0, 12:24, 20:32] = 1.0
        return {"mask_prob": mask, "center_score": score, "box_ltrb_px": box}


class Run:
    """One run of a stream with an archive subscribed."""

    def __init__(self, address: str, engine: Any, source: Any, *, realtime: bool = False, **options: Any) -> None:
        self.frames: dict[int, Frame] = {}
        self.results: list[Result] = []
        self.sessions: list[Any] = []
        self.health: list[Any] = []
        self.engines: list[Any] = []
        self.marks: list[Any] = []
        self.stop = threading.Event()
        self.publisher = Publisher(address, "us0", MonotonicClock(), lossless=not realtime, frame_bytes=96 * 160)
        self.stream = Stream(
            source,
            engine if isinstance(engine, FailoverEngine) else make_failover(engine),
            self.publisher,
            MonotonicClock(),
            session_id="s",
            realtime=realtime,
            max_age_ms=options.pop("max_age_ms", 1e9),
            **options,
        )
        self._archive = Subscriber(address, ALL, "archive")
        self._reader = threading.Thread(target=self._read)
        self._ended = threading.Event()
        self._reader.start()
        assert self.publisher.wait_for_archives(1, 10, lambda: True)

    def _read(self) -> None:
        for _, message in self._archive.each(50, self._ended.is_set):
            name = message.topic.name
            if name == "frame":
                frame = frame_from(message)
                self.frames[frame.frame_id] = frame
            elif name == "result":
                self.results.append(result_from(message))
            else:
                kept = {
                    "session": self.sessions,
                    "health": self.health,
                    "engine": self.engines,
                    "mark": self.marks,
                }
                kept[name].append(message.body)

    def __call__(self) -> StreamSummary:
        try:
            return self.stream.run(self.stop)
        finally:
            self._ended.set()
            self._reader.join(10)
            self.publisher.close()
            self._archive.close()


def _null(frames: int, rate: int = 1000, *, fast: bool = True) -> Any:
    return open_source(f"null:frames={frames},rate={rate},size=96x160", session_id="s", fast=fast)


def test_every_frame_of_a_fast_run_is_answered_in_order(bus_address: str) -> None:
    run = Run(bus_address, FakeEngine(), _null(60))
    summary = run()
    assert [result.frame_id for result in run.results] == list(range(60))
    assert summary.frames == 60
    assert summary.by_state == {ResultState.FINDING: 60}
    assert summary.nodules == 60
    assert summary.state is SessionState.ENDED
    assert run.sessions[-1].state is SessionState.ENDED
    assert run.sessions[-1].last_frame_id == 59


def test_a_result_belongs_to_the_frame_whose_number_its_pixels_show(bus_address: str) -> None:
    run = Run(bus_address, FakeEngine(), _null(40))
    run()
    for result in run.results:
        frame = run.frames[result.frame_id]
        assert read_frame_id(frame.image) == result.frame_id
        assert result.t_capture_ns == frame.t_capture_ns
        assert result.t_infer_start_ns is not None
        assert result.t_infer_end_ns is not None
        assert frame.t_capture_ns <= result.t_infer_start_ns <= result.t_infer_end_ns


def test_every_frame_that_a_busy_engine_missed_ends_as_a_dropped_result(bus_address: str) -> None:
    run = Run(bus_address, FakeEngine(lambda call: time.sleep(0.02)), _null(60, 200, fast=False), realtime=True)
    summary = run()
    assert [result.frame_id for result in run.results] == list(range(60))
    dropped = [result for result in run.results if result.cause is Cause.DROPPED]
    assert dropped
    assert summary.by_cause[Cause.DROPPED] == len(dropped)
    assert summary.by_state[ResultState.FINDING] + len(dropped) == 60
    assert all(result.state is ResultState.NO_RESULT and not len(result.detections) for result in dropped)
    assert sum(result.frames_dropped for result in run.results) == len(dropped)
    assert sorted(run.frames) == list(range(60)), "a frame is published whether or not the engine takes it"


class HalfBlindEngine(FakeEngine):
    """Has a domain, and judges every other frame not to show it."""

    def __init__(self) -> None:
        super().__init__()
        self.spec = _spec(
            outputs=(*self.spec.outputs, TensorSpec(name="thyroid_prob", dtype="float32", shape=(1, 1), layout="NC")),
            domain=Domain(name="thyroid", output="thyroid_prob", threshold=0.5, source="tests"),
        )

    def infer(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        outputs = super().infer(inputs)
        return outputs | {"thyroid_prob": np.full((1, 1), 0.03 if self.calls % 2 else 0.97, np.float32)}


def test_an_engine_that_abstains_gives_no_result_and_is_no_failure(
    bus_address: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = HalfBlindEngine()
    run = Run(bus_address, engine, _null(40))
    with caplog.at_level("WARNING"):
        summary = run()
    abstained, answered = run.results[::2], run.results[1::2]
    assert {(result.state, result.cause, result.reason) for result in abstained} == {
        (ResultState.NO_RESULT, Cause.OUT_OF_DOMAIN, "not thyroid (0.03 < 0.50)")
    }
    assert all(result.t_output_ns is not None and not len(result.detections) for result in abstained)
    assert {result.state for result in answered} == {ResultState.FINDING}
    assert (summary.answered, summary.by_cause) == (20, {Cause.OUT_OF_DOMAIN: 20})
    assert summary.as_dict()["no_answer_by_cause"]["out_of_domain"] == 20
    assert summary.as_dict()["no_answer_by_cause"]["engine_error"] == 0
    assert not caplog.records, "neither an error per frame nor a failover"
    assert not summary.changes
    assert {body.domain for body in run.engines} == {"thyroid"}
    assert run.health[-1].last_error == ""
    assert (run.health[-1].answered, run.health[-1].by_state) == (20, {"finding": 20, "no_result": 20})


def test_a_back_end_that_computes_nothing_does_not_abstain(bus_address: str) -> None:
    engine = HalfBlindEngine()
    engine.backend = "null"
    run = Run(bus_address, engine, _null(4))
    run()
    assert {result.cause for result in run.results} == {Cause.NULL_ENGINE}


def test_an_engine_that_fails_gives_no_result_for_that_frame_only(bus_address: str) -> None:
    def fail(call: int) -> None:
        if call == 3:
            raise EngineError("device lost; restart")
        if call == 5:
            raise ZeroDivisionError("a fault of ours")

    run = Run(bus_address, FakeEngine(fail), _null(8))
    summary = run()
    states = [result.state for result in run.results]
    assert states.count(ResultState.FINDING) == 6
    assert run.results[3].cause is run.results[5].cause is Cause.ENGINE_ERROR
    assert run.results[3].reason == "device lost; restart"
    assert "ZeroDivisionError" in run.results[5].reason
    assert summary.by_cause == {Cause.ENGINE_ERROR: 2}
    assert "ZeroDivisionError" in run.health[-1].last_error


def test_an_empty_scene_is_no_finding_and_nothing_else_is(bus_address: str) -> None:
    summary = Run(bus_address, FakeEngine(finds=False), _null(5))()
    assert summary.by_state == {ResultState.NO_FINDING: 5}


def test_the_engine_is_not_called_for_a_damaged_frame_and_the_cause_names_it(bus_address: str) -> None:
    source, engine = _null(8), FakeEngine()
    frames = source.frames

    def damaged() -> Iterator[Frame]:
        for frame in frames():
            hurt = {"picture": SignalState.DAMAGED, "picture_reason": "a part is lost"} if frame.frame_id < 3 else {}
            yield dataclasses.replace(frame, **hurt)

    source.frames = damaged
    run = Run(bus_address, engine, source)
    summary = run()
    assert engine.calls == 5
    assert summary.by_cause == {Cause.DAMAGED: 3}
    published = {(result.state, result.cause, result.reason) for result in run.results[:3]}
    assert published == {(ResultState.NO_RESULT, Cause.DAMAGED, "a part is lost")}
    assert sorted(run.frames) == list(range(8)), "it is still shown and recorded"


def test_what_the_null_back_end_says_is_no_answer(bus_address: str) -> None:
    run = Run(bus_address, FakeEngine(backend="null"), _null(5))
    run()
    assert {(result.state, result.cause) for result in run.results} == {(ResultState.NO_RESULT, Cause.NULL_ENGINE)}


def test_an_answer_that_comes_too_late_is_stale(bus_address: str) -> None:
    engine = FakeEngine(lambda call: time.sleep(0.05))
    run = Run(bus_address, engine, _null(3, 5, fast=False), realtime=True, max_age_ms=20.0)
    run()
    assert {result.state for result in run.results} == {ResultState.STALE}
    assert all(result.cause is Cause.LATE and "limit 20 ms" in result.reason for result in run.results)
    assert all(len(result.detections) == 1 for result in run.results), "the recording keeps what was found"


def test_stopping_ends_every_frame_that_was_captured_as_a_result(bus_address: str) -> None:
    run = Run(bus_address, FakeEngine(lambda call: run.stop.set() if call == 4 else None), _null(1000))
    summary = run()
    assert summary.state is SessionState.INTERRUPTED
    assert [result.frame_id for result in run.results] == sorted(run.frames)
    assert {result.cause for result in run.results[5:]} <= {Cause.INTERRUPTED}
    assert run.sessions[-1].state is SessionState.INTERRUPTED


def test_a_source_that_breaks_fails_the_session_after_its_frames_were_answered(bus_address: str) -> None:
    class Breaking:
        def __init__(self) -> None:
            self._inner = _null(10)
            self.info = self._inner.info
            self.decode_errors = 2
            self.signal = None

        def frames(self) -> Iterator[Frame]:
            yield from self._inner.frames()
            raise SourceError("cable pulled; plug it in")

        def close(self) -> None:
            self._inner.close()

    run = Run(bus_address, FakeEngine(), Breaking())
    summary = run()
    assert summary.state is SessionState.FAILED
    assert summary.reason == "cable pulled; plug it in"
    assert summary.frames == 10
    assert summary.decode_errors == 2
    assert run.sessions[-1].reason == "cable pulled; plug it in"


def test_stopping_does_not_wait_for_a_source_that_hangs(bus_address: str) -> None:
    release = threading.Event()

    class Hanging:
        def __init__(self) -> None:
            self._inner = _null(3)
            self.info = self._inner.info
            self.decode_errors = 0
            self.signal = None

        def frames(self) -> Iterator[Frame]:
            yield from self._inner.frames()
            release.wait(60)

        def close(self) -> None:
            release.set()

    run = Run(bus_address, FakeEngine(lambda call: run.stop.set() if call == 2 else None), Hanging())
    assert run().frames == 3


def test_engine_and_session_are_announced_before_the_first_result(bus_address: str) -> None:
    run = Run(bus_address, FakeEngine(), _null(2))
    run()
    assert run.engines[0].engine_id == run.results[0].engine_id
    assert run.engines[0].labels[0].name == "nodule"
    assert run.sessions[0].state is SessionState.RUNNING


def test_what_is_announced_of_the_scores_is_what_results_carry(bus_address: str) -> None:
    run = Run(bus_address, FakeEngine(), _null(3), scores=make_scores(1.5, -0.4, 0.08), point="quiet")
    document = run().as_dict()
    announced = run.engines[0]
    assert announced.score_calibration_id == document["score_calibration_id"] == "x"
    assert (announced.point.name, document["point"]["name"]) == ("quiet", "quiet")
    assert (announced.point.sensitivity, announced.point.false_positives_per_frame) == (0.9, 0.1)
    assert announced.labels[0].score_threshold == 0.08
    assert run.results[0].detections.score.tolist() == pytest.approx([0.947640], abs=1e-5)  # raw: 0.9


def test_without_a_calibration_thresholds_are_the_engines_own_and_no_point_is_announced(bus_address: str) -> None:
    run = Run(bus_address, FakeEngine(), _null(3))
    document = run().as_dict()
    announced = run.engines[0]
    assert announced.score_calibration_id is announced.point is None
    assert document["score_calibration_id"] is document["point"] is None
    assert announced.labels[0].score_threshold == 0.5
    assert run.results[0].detections.score.tolist() == pytest.approx([0.9])


def _descriptors() -> DescriptorModel:
    table = LogisticTable(
        name="edges",
        classes=("smooth", "rough"),
        features=("solidity",),
        mean=(0.5,),
        scale=(0.1,),
        weights=(-1.0,),
        bias=0.0,
        agreement="kappa 0.4",
    )
    return DescriptorModel((table,))


def test_nodules_are_described_and_the_agreement_is_announced_where_the_engine_has_descriptors(
    bus_address: str,
) -> None:
    run = Run(bus_address, FakeEngine(), _null(3), descriptors=_descriptors())
    run()
    assert run.engines[0].descriptor_agreement == {"edges": "kappa 0.4"}
    for result in run.results:
        ((descriptor,),) = result.descriptors
        assert (descriptor.name, descriptor.value) == ("edges", "smooth")  # a square is convex


def test_without_descriptors_nothing_is_described_or_announced(bus_address: str) -> None:
    run = Run(bus_address, FakeEngine(), _null(2))
    run()
    assert run.engines[0].descriptor_agreement == {}
    assert all(result.descriptors == () for result in run.results)


def test_a_late_answer_is_not_described(bus_address: str) -> None:
    engine = FakeEngine(lambda call: time.sleep(0.05))
    source = _null(2, 5, fast=False)
    run = Run(bus_address, engine, source, realtime=True, max_age_ms=20.0, descriptors=_descriptors())
    run()
    assert ResultState.STALE in {result.state for result in run.results}
    assert all(result.descriptors == () for result in run.results)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modality": "CT"}, "is for Computed tomography: nothing yet"),
        ({"color": "RGB"}, "needs one grey NCHW input"),
        ({"std": (0.5,)}, "scaled to 0 to 1"),
    ],
)
def test_an_engine_that_ultrasound_cannot_feed_is_refused(
    bus_address: str, changes: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty_rooms(monkeypatch)
    engine = FakeEngine()
    engine.spec = _spec(**changes)
    publisher = Publisher(bus_address, "us0", MonotonicClock())
    with pytest.raises(EngineSpecError, match=message):
        Stream(
            _null(1), make_failover(engine), publisher, MonotonicClock(), session_id="s", realtime=False, max_age_ms=1.0
        )
    publisher.close()


def test_summary_names_every_state_and_cause_also_those_that_did_not_occur(bus_address: str) -> None:
    document = Run(bus_address, FakeEngine(), _null(2))().as_dict()
    assert set(document["results_by_state"]) == set(ResultState)
    assert set(document["no_answer_by_cause"]) == set(Cause)
    assert document["latency_capture_to_published"]["p50_ms"] > 0


def _broken_from(call: int) -> Callable[[int], None]:
    def act(index: int) -> None:
        if index >= call:
            raise BackendFailedError("back end fake failed: lost device")

    return act


def test_a_back_end_that_fails_costs_one_frame_and_the_next_takes_over(bus_address: str) -> None:
    first, second = FakeEngine(_broken_from(20)), FakeEngine(backend="spare")
    run = Run(bus_address, make_failover(first, second), _null(60))
    summary = run()
    assert [result.frame_id for result in run.results] == list(range(60))
    assert [result.backend for result in run.results] == ["fake"] * 21 + ["spare"] * 39
    lost = run.results[20]
    assert (lost.state, lost.cause) == (ResultState.NO_RESULT, Cause.ENGINE_ERROR)
    assert "lost device" in lost.reason
    assert summary.by_state == {ResultState.FINDING: 59, ResultState.NO_RESULT: 1}
    assert summary.by_backend == {"fake": 20, "spare": 39}
    assert [(change["frame_id"], change["before"], change["after"]) for change in summary.changes] == [
        (21, "fake", "spare")
    ]
    assert first.closed.wait(10)
    assert {body.backend for body in run.engines} == {"fake", "spare"}
    assert "spare took over" in run.engines[-1].note


def test_an_answer_of_the_wrong_shape_is_a_failure_of_the_back_end(bus_address: str) -> None:
    def lie(index: int) -> None:
        if index == 3:
            raise EngineOutputError("mask_prob must be [1, 1, 32, 48]")

    run = Run(bus_address, make_failover(FakeEngine(lie), FakeEngine(backend="spare")), _null(10))
    run()
    assert [result.backend for result in run.results] == ["fake"] * 4 + ["spare"] * 6


def test_a_fault_outside_the_engine_costs_its_frame_and_no_back_end(bus_address: str) -> None:
    def act(index: int) -> None:
        if index == 3:
            raise ValueError("a fault in the postprocessing")

    run = Run(bus_address, make_failover(FakeEngine(act), FakeEngine(backend="spare")), _null(10))
    summary = run()
    assert summary.by_state == {ResultState.FINDING: 9, ResultState.NO_RESULT: 1}
    assert summary.by_backend == {"fake": 9}
    assert summary.changes == []


def test_where_no_back_end_is_left_every_result_has_the_reason(bus_address: str) -> None:
    run = Run(bus_address, make_failover(FakeEngine(_broken_from(5))), _null(20))
    summary = run()
    assert [result.frame_id for result in run.results] == list(range(20))
    assert [result.state for result in run.results[5:]] == [ResultState.NO_RESULT] * 15
    assert {result.backend for result in run.results[6:]} == {"none"}
    assert all("lost device" in result.reason for result in run.results[5:])
    assert summary.by_backend == {"fake": 5}
    assert summary.backend == "fake"


def test_a_better_back_end_takes_over_between_two_frames_without_a_gap(bus_address: str) -> None:
    ready, better = threading.Event(), FakeEngine(backend="better")
    spec = better.spec

    class Build:
        def poll(self) -> tuple[str, str, float]:
            return ("done", "", 1.0) if ready.is_set() else ("building", "tactics", 0.5)

        def close(self) -> None:
            pass

    slow = FakeEngine(lambda index: ready.set() if index == 30 else time.sleep(0.001))
    first = (1, slow, [PlanMissingError("no plan")])
    failover = FailoverEngine(
        spec,
        [("tensorrt", "fp16"), ("openvino", "int8")],
        lambda *_pair: better,  # type: ignore[arg-type]
        lambda *_pair: Build(),
        MonotonicClock(),
        first,  # type: ignore[arg-type]
    )
    failover._candidates[0].retry_ns, failover._candidates[0].needs_build = 0, True  # this machine could not run it
    run = Run(bus_address, failover, _null(400))
    summary = run()
    assert [result.frame_id for result in run.results] == list(range(400))
    assert summary.by_state == {ResultState.FINDING: 400}
    backends = [result.backend for result in run.results]
    switch = backends.index("better")
    assert 30 < switch < 400
    assert backends == ["fake"] * switch + ["better"] * (400 - switch)
    assert summary.changes == [
        {"frame_id": switch, "before": "fake", "after": "better", "reason": "it is ready"},
    ]
    announced = [body.backend for body in run.engines]
    assert announced.index("better") > 0
    assert not slow.closed.is_set()  # it is the warm standby


def _failover_of(opened: list[FakeEngine]) -> FailoverEngine:
    """Opens as many engines of one kind as requested; the first answers."""
    left = iter(opened)
    first: Any = next(left)
    opener: Any = lambda *_pair: next(left)  # noqa: E731
    return FailoverEngine(first.spec, [("openvino", "int8")], opener, None, MonotonicClock(), (0, first, []))


def test_a_run_that_is_not_in_real_time_uses_several_engines_and_answers_in_order(bus_address: str) -> None:
    engines = [FakeEngine(lambda call: time.sleep(0.002 * (call % 3))) for _ in range(2)]
    run = Run(bus_address, _failover_of(engines), _null(60), lanes=2)
    summary = run()
    assert [result.frame_id for result in run.results] == list(range(60))
    assert summary.by_state == {ResultState.FINDING: 60}
    assert sum(engine.calls for engine in engines) == 60
    assert all(engine.calls > 0 for engine in engines)
    assert engines[1].closed.is_set(), "the extra engine is closed by what opened it"


def test_a_source_that_is_too_fast_for_one_engine_is_answered_by_two_in_order(bus_address: str) -> None:
    engines = [FakeEngine(lambda call: time.sleep(0.015)) for _ in range(2)]
    run = Run(bus_address, _failover_of(engines), _null(150, 100, fast=False), realtime=True, lanes=2)
    summary = run()
    assert [result.frame_id for result in run.results] == list(range(150))
    assert engines[1].calls > 20, "it is opened once frames were dropped"
    assert sum(engine.calls for engine in engines) + summary.by_cause[Cause.DROPPED] == 150
    assert engines[1].closed.is_set()


def test_a_source_that_one_engine_keeps_up_with_is_answered_by_one(bus_address: str) -> None:
    engines = [FakeEngine() for _ in range(2)]
    run = Run(bus_address, _failover_of(engines), _null(20, 20, fast=False), realtime=True, lanes=2)
    run()
    assert engines[1].calls == 0


def test_two_engines_that_are_too_slow_drop_frames_and_keep_the_order(bus_address: str) -> None:
    engines = [FakeEngine(lambda call: time.sleep(0.04)) for _ in range(2)]
    run = Run(bus_address, _failover_of(engines), _null(80, 200, fast=False), realtime=True, lanes=2)
    summary = run()
    assert [result.frame_id for result in run.results] == list(range(80))
    assert summary.by_cause[Cause.DROPPED] > 0
    assert summary.by_state[ResultState.FINDING] + summary.by_cause[Cause.DROPPED] == 80


def test_an_extra_engine_that_fails_costs_its_frame_and_the_first_goes_on_alone(bus_address: str) -> None:
    engines = [FakeEngine(lambda call: time.sleep(0.01)), FakeEngine(_broken_from(3))]
    run = Run(bus_address, _failover_of(engines), _null(60), lanes=2)
    summary = run()
    assert [result.frame_id for result in run.results] == list(range(60))
    assert summary.by_cause == {Cause.ENGINE_ERROR: 1}, "the other engine takes what it had not begun"
    assert summary.by_state == {ResultState.FINDING: 59, ResultState.NO_RESULT: 1}
    assert engines[1].calls == 4
    assert not engines[0].closed.is_set()


def test_stages_of_an_answered_frame_add_up_to_its_total(bus_address: str) -> None:
    run = Run(bus_address, FakeEngine(lambda call: time.sleep(0.003)), _null(30))
    stages = run().as_dict()["stages"]
    assert set(stages) == {"wait", "preprocess", "infer", "postprocess", "publish", "total", "overhead"}
    assert {stage["count"] for stage in stages.values()} == {30}
    assert stages["infer"]["p50_ms"] >= 3.0
    for result in run.results:
        assert result.t_input_ns is not None
        assert result.t_output_ns is not None
    health = run.health[-1]
    assert set(health.stages) == set(stages)
    assert health.cpu_s > 0


def test_marks_of_this_session_are_published_and_those_of_another_are_not(bus_address: str) -> None:
    def mark(session_id: str, frame_id: int) -> MarkBody:
        return MarkBody(session_id=session_id, frame_id=frame_id, kind=MarkKind.WRONG, t_mark_ns=1)

    handed_in = threading.Event()
    run = Run(bus_address, FakeEngine(lambda call: _wait_for(handed_in) if call else None), _null(60))
    with Inbox(bus_address) as inbox:
        posted = threading.Thread(target=lambda: (_post_all(inbox, mark("s", 3), mark("old", 4)), handed_in.set()))
        posted.start()
        run()
        posted.join()
    assert [(body.session_id, body.frame_id) for body in run.marks] == [("s", 3)]


def _wait_for(event: threading.Event) -> None:
    assert event.wait(10)


def _post_all(inbox: Inbox, *marks: MarkBody) -> None:
    deadline = time.monotonic() + 10
    for body in marks:
        while not inbox.send("mark", body):
            assert time.monotonic() < deadline, "the stream's inbox is not there"
            time.sleep(0.01)
    time.sleep(0.2)  # on its way
