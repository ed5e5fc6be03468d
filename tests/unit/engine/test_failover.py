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


class Rig:
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


def _answers(rig: Rig, backend: str) -> Callable[[], bool]:
    return lambda: rig.failover.backend == backend


def test_the_fallback_answers_while_a_plan_is_built_and_the_better_one_takes_over(tiny: Path) -> None:
    rig = Rig([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")])
    failover = rig.failover
    assert failover.backend == "openvino-int8"
    assert not failover.poll()
    assert failover.note == "tensorrt fp16 is being built"
    assert not failover.poll()
    assert failover.note == "tensorrt fp16 is being built: parsing 25 %"
    rig.builds[0].state = ("done", "", 1.0)
    assert rig.poll_until(_answers(rig, "tensorrt-fp16")) == 1
    assert rig.builds[0].closed
    assert [(change.before, change.after) for change in failover.changes] == [("openvino-int8", "tensorrt-fp16")]
    assert not rig.engines["openvino"].closed.is_set()  # it stands by
    assert not failover.poll()
    failover.close()
    assert all(engine.closed.is_set() for engine in rig.engines.values())


def test_the_one_that_stands_by_takes_over_without_being_opened_again(tiny: Path) -> None:
    rig = Rig([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")])
    rig.failover.poll()
    rig.builds[0].state = ("done", "", 1.0)
    rig.poll_until(_answers(rig, "tensorrt-fp16"))
    broken = rig.engines["tensorrt"]
    rig.opened.clear()
    rig.failover.fail(EngineError("lost device"))
    assert rig.failover.backend == "openvino-int8"
    assert rig.opened == []
    assert broken.closed.wait(10)
    assert "lost device" in rig.failover.note


def test_while_a_gpu_answers_a_back_end_on_the_processor_stands_by(tiny: Path) -> None:
    rig = Rig([GPU, ("torch-cuda", "fp32"), CPU, LAST], tiny)
    assert rig.failover.backend == "tensorrt-fp16"
    assert rig.poll_until(lambda: rig.failover._standby is not None) == 0
    assert rig.opened == ["openvino"]
    rig.failover.fail(EngineError("lost device"))
    assert rig.failover.backend == "openvino-int8"
    assert not rig.failover.poll()
    assert rig.opened == ["openvino"]  # nothing else on that device is tried before its pause is over
    rig.clock.advance_ms(31_000)
    rig.poll_until(_answers(rig, "tensorrt-fp16"))


def test_on_a_processor_nothing_stands_by(tiny: Path) -> None:
    rig = Rig([CPU, LAST], tiny)
    for _ in range(3):
        assert not rig.failover.poll()
    assert rig.opened == []


def test_a_build_that_fails_is_told_and_not_begun_again(tiny: Path) -> None:
    rig = Rig([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")])
    rig.failover.poll()
    rig.builds[0].state = ("failed", "the disk is full; make room", 0.5)
    assert not rig.failover.poll()
    assert rig.failover.note == "tensorrt fp16 cannot be used: the disk is full; make room"
    rig.clock.advance_ms(1e7)
    assert not rig.failover.poll()
    assert len(rig.builds) == 1
    assert rig.failover.backend == "openvino-int8"


def test_a_plan_that_is_gone_again_after_its_build_does_not_go_round_for_ever(tiny: Path) -> None:
    rig = Rig([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")] * 3)
    rig.failover.poll()
    rig.builds[0].state = ("done", "", 1.0)
    rig.poll_until(lambda: "cannot be used" in rig.failover.note)
    rig.clock.advance_ms(1e7)
    for _ in range(5):
        rig.failover.poll()
    assert len(rig.builds) == 1
    assert rig.failover.backend == "openvino-int8"


def test_a_back_end_that_fails_is_followed_by_the_next_and_comes_back_after_a_pause(tiny: Path) -> None:
    rig = Rig([CPU, LAST], tiny)
    failover, broken = rig.failover, rig.engines["openvino"]
    failover.fail(EngineError("out of memory"))
    assert failover.backend == "onnxruntime-fp32"
    assert broken.closed.wait(10)
    assert not failover.poll()
    rig.clock.advance_ms(29_000)
    assert not failover.poll()
    rig.clock.advance_ms(2_000)
    assert rig.poll_until(_answers(rig, "openvino-int8")) == 1
    assert rig.engines["openvino"] is not broken
    assert [change.after for change in failover.changes] == ["onnxruntime-fp32", "openvino-int8"]


def test_every_further_failure_doubles_the_pause(tiny: Path) -> None:
    rig = Rig([CPU, LAST], tiny)
    for pause_s in (30, 60, 120):
        rig.failover.fail(EngineError("again"))
        assert rig.failover.backend == "onnxruntime-fp32"
        rig.clock.advance_ms(1e3 * pause_s - 1)
        assert not rig.failover.poll()
        rig.clock.advance_ms(2)
        rig.poll_until(_answers(rig, "openvino-int8"))


def test_where_every_back_end_has_failed_the_note_says_so_and_they_are_retried(tiny: Path) -> None:
    rig = Rig([CPU, LAST], tiny)
    rig.errors["onnxruntime"] = [EngineError("cannot be loaded")]
    rig.failover.fail(EngineError("lost device"))
    assert rig.failover.engine is None
    assert rig.failover.backend == "none"
    assert "no back end runs" in rig.failover.note
    assert "lost device" in rig.failover.note
    rig.errors["openvino"] = [EngineError("still lost")]
    rig.clock.advance_ms(1_001)
    rig.failover.poll()
    rig.poll_until(lambda: not rig.errors["openvino"])
    rig.poll_until(lambda: rig.failover._opening is None)
    assert rig.failover.engine is None
    rig.clock.advance_ms(31_000)
    assert rig.poll_until(_answers(rig, "openvino-int8")) == 1


def test_what_is_not_here_is_not_tried_again(tiny: Path) -> None:
    rig = Rig([GPU, CPU, LAST], tiny, tensorrt=[BackendUnavailableError("no GPU")])
    rig.clock.advance_ms(1e9)
    assert not rig.failover.poll()
    assert rig.opened == []
    rig.failover.fail(EngineError("broken"))
    assert rig.opened == ["onnxruntime"]


def test_closing_ends_a_build_and_an_opening(tiny: Path) -> None:
    rig = Rig([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")])
    rig.failover.poll()
    rig.failover.close()
    assert rig.builds[0].closed
    rig = Rig([GPU, CPU], tiny, tensorrt=[PlanMissingError("no plan")])
    rig.failover.poll()
    rig.builds[0].state = ("done", "", 1.0)
    rig.failover.poll()
    rig.failover.close()
    assert all(engine.closed.is_set() for engine in rig.engines.values())


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
