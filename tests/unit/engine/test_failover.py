from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from usassist.common.clock import FakeClock
from usassist.engine import find_engine
from usassist.engine.base import Engine
from usassist.engine.failover import FailoverEngine
from usassist.errors import BackendUnavailableError, EngineError, PlanMissingError

GPU, CPU, LAST = ("tensorrt", "fp16"), ("openvino", "int8"), ("onnxruntime", "fp32")


class FakeEngine:
    """Stands for an engine that is open."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


class FakeBuild:
    """A build that does what the test says."""

    def __init__(self) -> None:
        self.state: tuple[str, str, float] = ("building", "parsing", 0.25)
        self.closed = False

    def poll(self) -> tuple[str, str, float]:
        return self.state

    def close(self) -> None:
        self.closed = True


class Bench:
    """A failover engine over fakes; `errors`: by name, what opening raises, one after the other; [] = it opens."""

    def __init__(self, pairs: list[tuple[str, str]], tiny: Path, **errors: list[EngineError]) -> None:
        self.clock = FakeClock(1_000_000_000)
        self.errors: dict[str, list[EngineError]] = errors
        self.opened: list[str] = []
        self.builds: list[FakeBuild] = []
        self.engines: dict[str, FakeEngine] = {}
        failed: list[EngineError] = []
        first: Any = None
        for index, pair in enumerate(pairs):
            try:
                first = (index, self.open(*pair), failed)
                break
            except EngineError as error:
                failed.append(error)
        self.opened.clear()
        self.failover = FailoverEngine(find_engine("tiny", tiny), pairs, self.open, self._build, self.clock, first)

    def open(self, backend: str, precision: str) -> Engine:
        self.opened.append(backend)
        if self.errors.get(backend):
            raise self.errors[backend].pop(0)
        engine = self.engines[backend] = FakeEngine(f"{backend}-{precision}")
        return engine  # type: ignore[return-value]

    def poll_until(self, condition: Callable[[], bool]) -> int:
        """How often another engine became active, until the condition holds."""
        end_s, changes = time.monotonic() + 20.0, 0
        while not condition():
            assert time.monotonic() < end_s, self.failover.note
            changes += self.failover.poll()
            time.sleep(0.001)
        return changes

    def _build(self, backend: str, precision: str) -> FakeBuild:
        self.builds.append(FakeBuild())
        return self.builds[-1]


@pytest.fixture(autouse=True)
def _gpu_can_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usassist.engine.failover.why_not", lambda *_args, **_kwargs: None)


def _answers(bench: Bench, backend: str) -> Callable[[], bool]:
    return lambda: bench.failover.backend == backend


def test_the_fallback_answers_while_a_plan_is_built_and_the_better_one_takes_over(tiny: Path) -> None:
    bench = Bench([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")])
    failover = bench.failover
    assert failover.backend == "openvino-int8"
    assert not failover.poll()
    assert failover.note == "tensorrt fp16 is being built"
    assert not failover.poll()
    assert failover.note == "tensorrt fp16 is being built: parsing 25 %"
    bench.builds[0].state = ("done", "", 1.0)
    assert bench.poll_until(_answers(bench, "tensorrt-fp16")) == 1
    assert bench.builds[0].closed
    assert [(change.before, change.after) for change in failover.changes] == [("openvino-int8", "tensorrt-fp16")]
    assert not bench.engines["openvino"].closed.is_set()  # it stands by
    assert not failover.poll()
    failover.close()
    assert all(engine.closed.is_set() for engine in bench.engines.values())


def test_the_one_that_stands_by_takes_over_without_being_opened_again(tiny: Path) -> None:
    bench = Bench([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")])
    bench.failover.poll()
    bench.builds[0].state = ("done", "", 1.0)
    bench.poll_until(_answers(bench, "tensorrt-fp16"))
    broken = bench.engines["tensorrt"]
    bench.opened.clear()
    bench.failover.fail(EngineError("lost device"))
    assert bench.failover.backend == "openvino-int8"
    assert bench.opened == []
    assert broken.closed.wait(10)
    assert "lost device" in bench.failover.note


def test_while_a_gpu_answers_a_back_end_on_the_processor_stands_by(tiny: Path) -> None:
    bench = Bench([GPU, ("torch-cuda", "fp32"), CPU, LAST], tiny)
    assert bench.failover.backend == "tensorrt-fp16"
    assert bench.poll_until(lambda: bench.failover._standby is not None) == 0
    assert bench.opened == ["openvino"]
    bench.failover.fail(EngineError("lost device"))
    assert bench.failover.backend == "openvino-int8"
    assert not bench.failover.poll()
    assert bench.opened == ["openvino"]  # nothing else on that device is tried before its pause is over
    bench.clock.advance_ms(31_000)
    bench.poll_until(_answers(bench, "tensorrt-fp16"))


def test_on_a_processor_nothing_stands_by(tiny: Path) -> None:
    bench = Bench([CPU, LAST], tiny)
    for _ in range(3):
        assert not bench.failover.poll()
    assert bench.opened == []


def test_a_build_that_fails_is_told_and_not_begun_again(tiny: Path) -> None:
    bench = Bench([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")])
    bench.failover.poll()
    bench.builds[0].state = ("failed", "the disk is full; make room", 0.5)
    assert not bench.failover.poll()
    assert bench.failover.note == "tensorrt fp16 cannot be used: the disk is full; make room"
    bench.clock.advance_ms(1e7)
    assert not bench.failover.poll()
    assert len(bench.builds) == 1
    assert bench.failover.backend == "openvino-int8"


def test_a_plan_that_is_gone_again_after_its_build_does_not_go_round_for_ever(tiny: Path) -> None:
    bench = Bench([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")] * 3)
    bench.failover.poll()
    bench.builds[0].state = ("done", "", 1.0)
    bench.poll_until(lambda: "cannot be used" in bench.failover.note)
    bench.clock.advance_ms(1e7)
    for _ in range(5):
        bench.failover.poll()
    assert len(bench.builds) == 1
    assert bench.failover.backend == "openvino-int8"


def test_a_back_end_that_fails_is_followed_by_the_next_and_comes_back_after_a_pause(tiny: Path) -> None:
    bench = Bench([CPU, LAST], tiny)
    failover, broken = bench.failover, bench.engines["openvino"]
    failover.fail(EngineError("out of memory"))
    assert failover.backend == "onnxruntime-fp32"
    assert broken.closed.wait(10)
    assert not failover.poll()
    bench.clock.advance_ms(29_000)
    assert not failover.poll()
    bench.clock.advance_ms(2_000)
    assert bench.poll_until(_answers(bench, "openvino-int8")) == 1
    assert bench.engines["openvino"] is not broken
    assert [change.after for change in failover.changes] == ["onnxruntime-fp32", "openvino-int8"]


def test_every_further_failure_doubles_the_pause(tiny: Path) -> None:
    bench = Bench([CPU, LAST], tiny)
    for pause_s in (30, 60, 120):
        bench.failover.fail(EngineError("again"))
        assert bench.failover.backend == "onnxruntime-fp32"
        bench.clock.advance_ms(1e3 * pause_s - 1)
        assert not bench.failover.poll()
        bench.clock.advance_ms(2)
        bench.poll_until(_answers(bench, "openvino-int8"))


def test_where_every_back_end_has_failed_the_note_says_so_and_they_are_retried(tiny: Path) -> None:
    bench = Bench([CPU, LAST], tiny)
    bench.errors["onnxruntime"] = [EngineError("cannot be loaded")]
    bench.failover.fail(EngineError("lost device"))
    assert bench.failover.engine is None
    assert bench.failover.backend == "none"
    assert "no back end runs" in bench.failover.note
    assert "lost device" in bench.failover.note
    bench.errors["openvino"] = [EngineError("still lost")]
    bench.clock.advance_ms(1_001)
    bench.failover.poll()
    bench.poll_until(lambda: not bench.errors["openvino"])
    bench.poll_until(lambda: bench.failover._opening is None)
    assert bench.failover.engine is None
    bench.clock.advance_ms(31_000)
    assert bench.poll_until(_answers(bench, "openvino-int8")) == 1


def test_what_is_not_here_is_not_tried_again(tiny: Path) -> None:
    bench = Bench([GPU, CPU, LAST], tiny, tensorrt=[BackendUnavailableError("no GPU")])
    bench.clock.advance_ms(1e9)
    assert not bench.failover.poll()
    assert bench.opened == []
    bench.failover.fail(EngineError("broken"))
    assert bench.opened == ["onnxruntime"]


def test_closing_ends_a_build_and_an_opening(tiny: Path) -> None:
    bench = Bench([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")])
    bench.failover.poll()
    bench.failover.close()
    assert bench.builds[0].closed
    bench = Bench([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")])
    bench.failover.poll()
    bench.builds[0].state = ("done", "", 1.0)
    bench.failover.poll()
    bench.failover.close()
    assert all(engine.closed.is_set() for engine in bench.engines.values())


def test_a_back_end_that_is_named_has_no_other_in_its_place(tiny: Path) -> None:
    with FailoverEngine.open(find_engine("tiny", tiny), "onnxruntime") as failover:
        assert failover.backend == "onnxruntime"
        failover.fail(EngineError("broken"))
        assert failover.engine is None
    with pytest.raises(BackendUnavailableError, match="back end tensorrt cannot run here"):
        FailoverEngine.open(find_engine("tiny", tiny), "tensorrt")


def test_auto_begins_with_what_is_ready(tiny: Path) -> None:
    with FailoverEngine.open(find_engine("tiny", tiny)) as failover:
        assert failover.engine is not None
        assert not failover.poll()
        assert failover.changes == []
