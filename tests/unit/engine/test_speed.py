"""Which back end `auto` takes on the processor: the fastest that answers right, as it was measured and kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fake_builder import row_of
from usassist.common.clock import FakeClock
from usassist.common.processor import Processor
from usassist.engine import BACKENDS, find_engine, open_engine
from usassist.engine import speed as speed_module
from usassist.engine.backend import Runner
from usassist.engine.backends.onnxruntime import OnnxRuntimeBackend
from usassist.engine.background import BackgroundMeasurement
from usassist.engine.cache import open_cache
from usassist.engine.failover import FailoverEngine
from usassist.engine.spec import EngineSpec
from usassist.engine.speed import Speeds, by_speed, load_speeds, measure_speeds, speed_pairs
from usassist.errors import BackendUnavailableError, EngineError

STATIC = [("slow", "fp32"), ("quick", "fp32"), ("wrong", "fp32")]


class Timed(OnnxRuntimeBackend):
    """ONNX Runtime that takes its time on the clock of the test, and adds an error to its outputs."""

    now_s = 0.0

    precisions = ("fp32",)

    def __init__(self, name: str, takes_s: float, error: float = 0.0) -> None:
        super().__init__(name)
        self.takes_s = takes_s
        self.growth = 1.0
        self.error = error
        self.opened = 0

    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        self.opened += 1
        runner = super().open(spec, path, threads=threads, precision=precision)
        run = runner.run

        def slow(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            Timed.now_s += self.takes_s
            self.takes_s *= self.growth
            return {name: array + np.float32(self.error) for name, array in run(inputs).items()}

        runner.run = slow
        return runner


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USASSIST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Timed]]:
    """Three candidates for `auto`: a slow one first, a quick one, and one that is quicker still and wrong."""
    timed = [Timed("slow", 0.012), Timed("quick", 0.004), Timed("wrong", 0.0005, error=0.1)]
    found = {backend.name: backend for backend in timed}
    for name, backend in found.items():
        monkeypatch.setitem(BACKENDS, name, row_of(backend))
    monkeypatch.setattr("usassist.engine.registry.AUTO_ORDER", tuple(found))
    return found


def _measure(spec: EngineSpec, threads: int = 0) -> Speeds:
    return measure_speeds(spec, threads, clock=lambda: Timed.now_s)


@pytest.fixture
def spec(tiny: Path) -> EngineSpec:
    return find_engine("tiny", tiny)


def test_nothing_is_measured_at_a_start_and_the_order_of_the_table_holds(
    spec: EngineSpec, backends: dict[str, Timed]
) -> None:
    assert speed_pairs(spec) == STATIC
    assert load_speeds(spec) is None
    with open_engine(spec) as engine:
        assert engine.backend == "slow"
    assert [module.opened for module in backends.values()] == [1, 0, 0]


def test_of_two_that_are_as_good_as_equal_the_first_of_the_table_stays_in_front(
    spec: EngineSpec, backends: dict[str, Timed]
) -> None:
    backends["slow"].takes_s = 0.0043
    assert [row.backend for row in _measure(spec).rows] == ["slow", "quick", "wrong"]
    backends["slow"].takes_s = 0.0045
    assert [row.backend for row in _measure(spec).rows] == ["quick", "slow", "wrong"]


def test_the_faster_one_is_taken_and_a_wrong_one_that_is_faster_still_is_not(
    spec: EngineSpec, backends: dict[str, Timed], caplog: pytest.LogCaptureFixture
) -> None:
    speeds = _measure(spec)
    assert [row.backend for row in speeds.rows] == ["quick", "slow", "wrong"]
    assert [row.p50_ms for row in speeds.rows] == [4.0, 12.0, 0.5]
    assert "differs from its golden output" in speeds.rows[2].rejected
    assert speeds.rows[0].rejected is speeds.rows[1].rejected is None
    assert by_speed(spec, STATIC) == [("quick", "fp32"), ("slow", "fp32"), ("wrong", "fp32")]
    backends["wrong"].opened = 0
    with caplog.at_level(logging.WARNING), open_engine(spec) as engine:
        assert engine.backend == "quick"
    assert backends["wrong"].opened == 0
    assert caplog.text == ""  # it was logged when it was measured
    with FailoverEngine.open(spec) as failover:
        assert failover.backend == "quick"


def test_what_was_measured_is_kept_and_the_same_for_all_threads_and_as_many(
    spec: EngineSpec, backends: dict[str, Timed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed_module, "usable_cpus", lambda: 2)
    speeds = _measure(spec, 2)
    assert load_speeds(spec) == load_speeds(spec, 2) == speeds
    assert load_speeds(spec, 1) is None
    assert speeds.threads == 2


def test_another_processor_library_engine_or_limit_is_measured_anew(
    spec: EngineSpec, backends: dict[str, Timed], monkeypatch: pytest.MonkeyPatch
) -> None:
    _measure(spec)

    def kept() -> bool:
        return load_speeds(spec) is not None

    assert kept()
    other = Processor(vendor="V", name="N", generation="", features=("avx2",), limits=())
    for name, value in (
        ("read_processor", lambda: other),
        ("usable_cpus", lambda: 64),
        ("_version", lambda _package: "0.1"),
        ("speed_pairs", lambda _spec: STATIC[:2]),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(speed_module, name, value)
            assert not kept(), name
    with monkeypatch.context() as patch:
        patch.setenv("ONEDNN_MAX_CPU_ISA", "AVX")
        assert not kept()
    assert kept()
    toml = spec.folder / "engine.toml"
    toml.write_text(toml.read_text().replace("max_abs_diff = 0.001", "max_abs_diff = 0.002"))
    assert not kept()


def test_a_measurement_whose_rounds_disagree_is_not_kept(spec: EngineSpec, backends: dict[str, Timed]) -> None:
    backends["quick"].growth = 1.05  # what else the machine does falls on one of them alone
    speeds = _measure(spec)
    assert not speeds.steady
    assert load_speeds(spec) is None
    assert by_speed(spec, STATIC) == STATIC


def test_a_new_measurement_takes_the_place_of_the_old_one(spec: EngineSpec, backends: dict[str, Timed]) -> None:
    _measure(spec)
    backends["quick"].takes_s = 0.03
    assert _measure(spec).rows[0].backend == "slow"
    assert by_speed(spec, STATIC)[0] == ("slow", "fp32")


@pytest.mark.parametrize("content", [b"no json", b'{"measured": "x"}', b'{"rows": 3}'])
def test_what_cannot_be_read_is_forgotten(spec: EngineSpec, backends: dict[str, Timed], content: bytes) -> None:
    open_cache().store(speed_module._key(spec, 0), content, {})
    assert load_speeds(spec) is None
    assert open_cache().rows() == []


def test_a_gpu_stays_in_front_and_what_was_not_measured_comes_before_what_is_wrong(
    spec: EngineSpec, backends: dict[str, Timed]
) -> None:
    _measure(spec)
    gpu, other = ("tensorrt", "fp16"), ("torch", "fp32")
    assert by_speed(spec, [gpu, STATIC[0], STATIC[2], other, STATIC[1]]) == [
        gpu,
        ("quick", "fp32"),
        ("slow", "fp32"),
        other,
        ("wrong", "fp32"),
    ]


def test_a_back_end_that_is_named_is_used_whatever_was_measured(spec: EngineSpec, backends: dict[str, Timed]) -> None:
    _measure(spec)
    with open_engine(spec, "slow") as engine:
        assert engine.backend == "slow"


def test_nothing_runs_where_everything_is_wrong(spec: EngineSpec, backends: dict[str, Timed]) -> None:
    for module in backends.values():
        module.error = 0.1
    assert all(row.rejected for row in _measure(spec).rows)
    with pytest.raises(BackendUnavailableError, match="no back end can run"):
        open_engine(spec)


def test_what_is_passed_over_is_told_once_in_one_line_with_what_answers_instead(
    spec: EngineSpec, backends: dict[str, Timed], caplog: pytest.LogCaptureFixture
) -> None:
    backends["slow"].error = 0.1
    with caplog.at_level(logging.WARNING), FailoverEngine.open(spec) as failover:
        assert failover.backend == "quick"
    (record,) = caplog.records
    line = record.getMessage()
    assert line.startswith("using quick; slow fp32 is skipped: ")
    assert line.endswith("allowed is 0.001")
    assert "use another" not in line


class Job:
    """A measurement beside the stream that does what the test says."""

    def __init__(self) -> None:
        self.state = "building"
        self.closed = False

    def poll(self) -> tuple[str, str, float]:
        return self.state, "", 0.0

    def close(self) -> None:
        self.closed = True


def test_a_stream_measures_once_after_its_start_and_not_in_its_way() -> None:
    clock, jobs = FakeClock(1_000_000_000), []

    def start() -> Job:
        jobs.append(Job())
        return jobs[-1]

    measuring = BackgroundMeasurement(start, clock)
    clock.advance_ms(4_900.0)
    measuring.poll()
    assert jobs == []
    clock.advance_ms(200.0)
    for _ in range(3):
        measuring.poll()
    (job,) = jobs
    assert not job.closed
    job.state = "done"
    measuring.poll()
    assert job.closed
    measuring.poll()
    assert len(jobs) == 1


def test_a_measurement_ends_with_the_stream_and_one_that_cannot_begin_harms_nothing() -> None:
    clock, job = FakeClock(1_000_000_000), Job()
    measuring = BackgroundMeasurement(lambda: job, clock)
    clock.advance_ms(6_000.0)
    measuring.poll()
    measuring.close()
    assert job.closed

    def refuse() -> Job:
        raise EngineError("no process")

    measuring = BackgroundMeasurement(refuse, clock)
    clock.advance_ms(6_000.0)
    measuring.poll()
    measuring.close()


def test_it_is_measured_beside_the_stream_only_where_nothing_is_kept_and_there_is_a_choice(
    spec: EngineSpec, backends: dict[str, Timed], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(1_000_000_000)
    assert BackgroundMeasurement.where_wanted(spec, 0, clock) is not None
    _measure(spec)
    assert BackgroundMeasurement.where_wanted(spec, 0, clock) is None
    assert BackgroundMeasurement.where_wanted(spec, 1, clock) is not None
    monkeypatch.setattr("usassist.engine.registry.AUTO_ORDER", ("slow",))
    assert BackgroundMeasurement.where_wanted(spec, 0, clock) is None


@pytest.mark.slow
def test_the_process_beside_the_stream_keeps_what_it_measures(spec: EngineSpec) -> None:
    from usassist.engine.build_child import SPEED
    from usassist.engine.building import BuildJob

    with BuildJob(spec, SPEED, "1") as job:
        end_s = time.monotonic() + 60.0
        while job.state.state == "building":
            assert time.monotonic() < end_s
            time.sleep(0.05)
        assert (job.state.state, job.state.reason) == ("done", "")
