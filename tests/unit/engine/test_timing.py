from __future__ import annotations

import io
import itertools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.fake_builder import FakeBackend, row_of
from usassist.app.bench.engine_judge import reference_judge
from usassist.app.bench.engine_overhead import measure_overhead, measure_overheads
from usassist.app.commands.engine_bench import print_overheads, print_report
from usassist.engine import BACKENDS, find_engine
from usassist.engine.base import Engine
from usassist.engine.timing import time_variants
from usassist.errors import BackendUnavailableError, EngineNotFoundError, UsageError


def test_everything_is_timed_or_left_out_with_a_reason(twin: Path) -> None:
    report = time_variants(find_engine("tiny", twin), threads=1, count=12)
    timed = {(item.backend, item.precision) for item in report.variants}
    assert {("openvino", "fp32"), ("onnxruntime", "fp32")} <= timed
    left = {(item.backend, item.precision): item.reason for item in report.left_out}
    assert "does not run int8" in left["onnxruntime", "int8"]
    assert "computes nothing" in left["null", "fp32"]
    assert not timed & left.keys()
    for item in report.variants:
        assert item.count == 12
        assert 0 < item.p50_ms <= item.p95_ms <= item.p99_ms
        assert min(item.cold_open_ms, item.first_ms, item.per_s, item.ratio) > 0
        assert item.device == "CPU"
        assert 0 <= item.warm_up_count < 20
        assert (item.warm_up_ms > 0) is (item.warm_up_count > 0)
    assert report.reference == ("onnxruntime", "fp32")
    assert next(item.ratio for item in report.variants if (item.backend, item.precision) == report.reference) == 1.0
    assert report.rounds == 2


def test_a_clock_that_steps_evenly_gives_even_figures_and_ends_the_rounds(tiny: Path) -> None:
    steps = itertools.count()
    report = time_variants(
        find_engine("tiny", tiny), ("onnxruntime",), ("fp32",), seconds=0.1, clock=lambda: next(steps) / 100
    )
    (item,) = report.variants
    assert (item.p50_ms, item.p99_ms, item.per_s) == pytest.approx((10.0, 10.0, 100.0))
    assert (item.cold_open_ms, item.first_ms) == pytest.approx((10.0, 10.0))
    assert (report.rounds, item.count, item.ratio) == (1, 10, 1.0)
    assert (item.warm_up_count, item.warm_up_ms) == (0, 0.0)


def test_the_warm_up_is_what_comes_before_the_first_inference_that_is_as_fast_as_the_later_ones(tiny: Path) -> None:
    # Start and end of opening; end of the first inference, and where those after it begin; 19 more; then all even.
    steps_ms = [0, 500, 90, 0, 40, 13, *[10] * 1000]
    times_s = itertools.accumulate(step_ms / 1e3 for step_ms in steps_ms)
    report = time_variants(
        find_engine("tiny", tiny), ("onnxruntime",), ("fp32",), count=10, clock=lambda: next(times_s)
    )
    (item,) = report.variants
    assert (item.cold_open_ms, item.first_ms) == pytest.approx((500.0, 90.0))
    assert (item.warm_up_count, item.warm_up_ms) == (3, pytest.approx(143.0))
    assert item.p50_ms == pytest.approx(10.0)


def test_the_warm_up_of_a_slow_engine_is_cut_short(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = itertools.count()
    calls = []
    infer = Engine.infer
    monkeypatch.setattr(Engine, "infer", lambda self, inputs: calls.append(1) or infer(self, inputs))
    spec = find_engine("tiny", tiny)
    time_variants(spec, ("onnxruntime",), count=1, judge=lambda engine: None, clock=lambda: next(steps) * 10.0)
    assert len(calls) == 5  # three of the warm-up, one before the turn, and the one that counts


@pytest.mark.parametrize(("step_s", "count"), [(0.09, 10), (0.25, 4), (7.0, 1)])
def test_a_slow_engine_gives_its_turn_away_after_a_second(tiny: Path, step_s: float, count: int) -> None:
    steps = itertools.count()
    spec = find_engine("tiny", tiny)
    report = time_variants(spec, ("onnxruntime",), ("fp32",), seconds=0.1, clock=lambda: next(steps) * step_s)
    assert (report.rounds, report.variants[0].count) == (1, count)


def test_the_fastest_is_one_that_met_its_golden_output(tiny: Path) -> None:
    path = tiny / "tiny/1.2.3/golden.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"doubled": arrays["doubled"] + 1}))
    report = time_variants(find_engine("tiny", tiny), ("openvino", "onnxruntime"), count=1)
    assert report.fastest is None
    assert all("differs from its golden output" in (item.rejected or "") for item in report.variants)
    np.savez(path, **arrays)
    report = time_variants(find_engine("tiny", tiny), ("openvino", "onnxruntime"), count=1)
    assert report.fastest == (report.variants[0].backend, report.variants[0].precision)


def test_the_fastest_is_one_that_the_judge_lets_pass(tiny: Path) -> None:
    def judge(engine: Engine) -> str | None:
        return "it is the wrong one" if engine.runtime == "openvino" else None

    spec = find_engine("tiny", tiny)
    report = time_variants(spec, ("openvino", "onnxruntime"), count=1, judge=judge, judged_by="is the right one")
    assert report.fastest == ("onnxruntime", "fp32")
    assert (report.judged_by, len(report.variants)) == ("is the right one", 2)
    rejected = {item.backend: item.rejected for item in report.variants}
    assert rejected == {"openvino": "it is the wrong one", "onnxruntime": None}


def test_a_back_end_without_its_plan_is_left_out_with_the_command_that_builds_it(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USASSIST_CACHE", str(tiny / "cache"))
    monkeypatch.setitem(BACKENDS, "fake", row_of(FakeBackend()))
    report = time_variants(find_engine("tiny", tiny), ("fake", "onnxruntime"), ("fp32",), count=1)
    (left,) = report.left_out
    assert "usassist engine build tiny --backend fake --precision fp32" in left.reason


def test_the_printed_report_fits_into_100_columns_and_says_every_reason_once(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("usassist.engine.registry.why_no_cuda", lambda: "there is no GPU in this test")
    spec = find_engine("tiny", tiny)
    report = time_variants(spec, judge=reference_judge(spec, 1), judged_by="answered as the reference does", count=1)
    console = Console(width=100, record=True, file=io.StringIO())
    print_report(report, console)
    text = console.export_text()
    assert f"fastest that answered as the reference does: {' '.join(report.fastest or ())}" in text
    assert text.count("no GPU in this test") == 1
    assert max(len(line) for line in text.splitlines()) <= 100
    assert all(f"{item.backend} {item.precision}" in text for item in report.variants)


def test_the_overhead_is_the_difference_of_both_in_the_same_rounds() -> None:
    now_ms = [0.0]

    def direct(inputs: Any) -> Any:
        now_ms[0] += 10.0 + 2.0 * (now_ms[0] > 3000.0)  # the machine slows down in the middle

    def layer(inputs: Any) -> Any:
        direct(inputs)
        now_ms[0] += 0.1

    item = measure_overhead("fp32", direct, layer, {}, 0.01, seconds=10.0, clock=lambda: now_ms[0] / 1e3)
    assert item.difference_ms == pytest.approx(0.1)
    assert (item.difference_low_ms, item.difference_high_ms) == pytest.approx((0.1, 0.1))
    assert 1.0 < item.ratio_low <= item.ratio <= item.ratio_high <= 1.0101
    assert item.rounds > 10


def test_the_overhead_is_measured_in_every_precision_that_openvino_runs(tiny: Path) -> None:
    (item,) = measure_overheads(find_engine("tiny", tiny), threads=1, seconds=0.01)
    assert item.precision == "fp32"
    assert min(item.direct_p50_ms, item.layer_p50_ms, item.own_ms) > 0
    console = Console(width=100, record=True, file=io.StringIO())
    print_overheads(find_engine("tiny", tiny), 1, (item,), console)
    assert "…" not in console.export_text()


def test_the_overhead_needs_openvino(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BackendUnavailableError, match=r"measured with OpenVINO: .*pip install openvino"):
        measure_overheads(find_engine("tiny", tiny), threads=1, seconds=0.01)


def test_names_that_do_not_exist_and_nothing_to_time_are_errors(tiny: Path) -> None:
    spec = find_engine("tiny", tiny)
    with pytest.raises(EngineNotFoundError, match="known: auto"):
        time_variants(spec, ("openvno",), count=1)
    with pytest.raises(UsageError, match="no precision fp8"):
        time_variants(spec, precisions=("fp8",), count=1)
    with pytest.raises(BackendUnavailableError, match=r"nothing can run .*null fp32: computes nothing"):
        time_variants(spec, ("null",), count=1)
