from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from usassist.engine import find_engine
from usassist.engine.bench import bench
from usassist.errors import BackendUnavailableError, EngineNotFoundError, UsageError


def test_everything_is_timed_or_left_out_with_a_reason(twin: Path) -> None:
    report = bench(find_engine("tiny", twin), threads=1, count=12)
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
    assert report.reference == ("onnxruntime", "fp32")
    assert next(item.ratio for item in report.variants if (item.backend, item.precision) == report.reference) == 1.0
    assert report.rounds == 2


def test_a_clock_that_steps_evenly_gives_even_figures_and_ends_the_rounds(tiny: Path) -> None:
    steps = itertools.count()
    report = bench(find_engine("tiny", tiny), ("onnxruntime",), ("fp32",), seconds=0.1, clock=lambda: next(steps) / 100)
    (item,) = report.variants
    assert (item.p50_ms, item.p99_ms, item.per_s) == pytest.approx((10.0, 10.0, 100.0))
    assert (item.cold_open_ms, item.first_ms) == pytest.approx((10.0, 10.0))
    assert (report.rounds, item.count, item.ratio) == (1, 10, 1.0)


def test_the_fastest_is_one_that_met_its_golden_output(tiny: Path) -> None:
    path = tiny / "tiny/1.2.3/golden.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"doubled": arrays["doubled"] + 1}))
    report = bench(find_engine("tiny", tiny), ("openvino", "onnxruntime"), count=1)
    assert report.fastest is None
    assert all("differs from its golden output" in (item.golden_error or "") for item in report.variants)
    np.savez(path, **arrays)
    report = bench(find_engine("tiny", tiny), ("openvino", "onnxruntime"), count=1)
    assert report.fastest == (report.variants[0].backend, report.variants[0].precision)


def test_names_that_do_not_exist_and_nothing_to_time_are_errors(tiny: Path) -> None:
    spec = find_engine("tiny", tiny)
    with pytest.raises(EngineNotFoundError, match="known: auto"):
        bench(spec, ("openvno",), count=1)
    with pytest.raises(UsageError, match="no precision fp8"):
        bench(spec, precisions=("fp8",), count=1)
    with pytest.raises(BackendUnavailableError, match=r"nothing can run .*null fp32: computes nothing"):
        bench(spec, ("null",), count=1)
