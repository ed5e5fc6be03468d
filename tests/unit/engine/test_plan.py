"""Plans are found by everything that decides what they are, and built once."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.fake_builder import FakeBackend, plan_content
from usassist.engine import find_engine
from usassist.engine.cache import Cache
from usassist.engine.int8 import calibration_path
from usassist.engine.plan import BuiltPlan, build_plan, find_plan, forget_plan, plan_path
from usassist.engine.spec import EngineSpec, TensorSpec
from usassist.errors import CacheError, EngineError, EngineSpecError


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USASSIST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def spec(tiny: Path) -> EngineSpec:
    return find_engine("tiny", tiny)


@pytest.fixture
def path(spec: EngineSpec) -> Path:
    return spec.check_weights("onnx")


def _quiet(stage: str, share: float) -> None:
    pass


def test_a_plan_is_built_once_and_then_found(backend: FakeBackend, spec: EngineSpec, path: Path) -> None:
    assert find_plan(backend, spec, path, "fp32") is None
    reported: list[tuple[str, float]] = []
    assert build_plan(backend, spec, path, "fp32", lambda *report: reported.append(report))
    assert not build_plan(backend, spec, path, "fp32", _quiet)
    plan = find_plan(backend, spec, path, "fp32")
    assert plan is not None
    assert plan.content == plan_content(path)
    assert plan.path == plan_path(backend, spec, path, "fp32")
    assert [row[:3] for row in plan.tensors] == [
        ("image", "input", "float32"),
        ("doubled", "output", "float32"),
        ("inverse", "output", "float32"),
    ]
    assert plan.header["facts"]["engine"] == spec.engine_id
    assert plan.header["key"]["runtime"]["version"] == "1.0"
    assert len(backend.builds) == 1
    assert reported[0] == ("compiling", 0.0)
    assert reported[-1][0] == "storing"


def test_a_plan_of_something_else_is_not_found(
    backend: FakeBackend, spec: EngineSpec, path: Path, tmp_path: Path
) -> None:
    build_plan(backend, spec, path, "fp32", _quiet)
    other_file = tmp_path / "other.onnx"
    other_file.write_bytes(path.read_bytes() + b"\0")
    other_range = dataclasses.replace(
        spec.inputs[0],
        shape=(1, 1, None, 6),
        **{f"{name}_shape": (1, 1, 4, 6) for name in ("min", "opt", "max")},
    )
    newer, foreign = FakeBackend(), type("Other", (FakeBackend,), {"__module__": "another_package"})()
    newer.version = "1.1"
    assert find_plan(backend, spec, other_file, "fp32") is None
    assert find_plan(backend, spec, path, "fp16") is None
    assert find_plan(backend, dataclasses.replace(spec, inputs=(other_range,)), path, "fp32") is None
    assert find_plan(newer, spec, path, "fp32") is None
    assert find_plan(foreign, spec, path, "fp32") is None
    moved = tmp_path / "moved.onnx"
    shutil.copy(path, moved)
    assert find_plan(backend, spec, moved, "fp32") is not None


def test_an_int8_plan_belongs_to_its_calibration(backend: FakeBackend, twin: Path) -> None:
    spec = find_engine("tiny", twin)
    path = spec.check_weights("onnx_int8")
    build_plan(backend, spec, path, "int8", _quiet)
    assert find_plan(backend, spec, path, "int8") is not None
    calibration = calibration_path(spec)
    calibration.write_text(calibration.read_text().replace("by hand", "by another hand"))
    assert find_plan(backend, spec, path, "int8") is None
    calibration.unlink()
    with pytest.raises(EngineSpecError, match="cannot be read"):
        find_plan(backend, spec, path, "int8")


def test_a_damaged_plan_counts_as_missing_and_is_built_again(
    backend: FakeBackend, spec: EngineSpec, path: Path
) -> None:
    build_plan(backend, spec, path, "fp32", _quiet)
    stored = plan_path(backend, spec, path, "fp32")
    stored.write_bytes(stored.read_bytes()[:-1])
    assert build_plan(backend, spec, path, "fp32", _quiet)
    assert find_plan(backend, spec, path, "fp32") is not None


def test_a_plan_with_other_tensors_than_the_spec_is_forgotten(
    backend: FakeBackend, spec: EngineSpec, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build_plan(backend, spec, path, "fp32", _quiet)
    renamed = dataclasses.replace(spec.outputs[0], name="tripled")
    wider = dataclasses.replace(spec.outputs[0], shape=(1, 1, 4, 7))
    one_more = TensorSpec(name="more", dtype="float32", shape=(1,), layout="N")
    for outputs in ((renamed, spec.outputs[1]), (wider, spec.outputs[1]), (*spec.outputs, one_more)):
        build_plan(backend, spec, path, "fp32", _quiet)
        assert find_plan(backend, dataclasses.replace(spec, outputs=outputs), path, "fp32") is None
        assert not plan_path(backend, spec, path, "fp32").exists()
    assert "has other tensors" in caplog.text


def test_a_build_with_other_tensors_than_the_spec_is_refused(
    backend: FakeBackend, spec: EngineSpec, path: Path
) -> None:
    backend.result = lambda built: dataclasses.replace(built, tensors=[("image", "input", "float16", [1])])
    with pytest.raises(
        EngineSpecError, match=r"plan's tensors are image float16 \[1\]; engine.toml says image float32"
    ):
        build_plan(backend, spec, path, "fp32", _quiet)
    assert find_plan(backend, spec, path, "fp32") is None


def test_a_plan_that_was_forgotten_is_built_again(backend: FakeBackend, spec: EngineSpec, path: Path) -> None:
    forget_plan(backend, spec, path, "fp32")
    build_plan(backend, spec, path, "fp32", _quiet)
    forget_plan(backend, spec, path, "fp32")
    assert find_plan(backend, spec, path, "fp32") is None
    assert build_plan(backend, spec, path, "fp32", _quiet)


def test_timings_of_one_build_go_into_the_next(
    backend: FakeBackend, spec: EngineSpec, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They hold for every precision; a back end that does not say so has them for its whole key."""
    keys = {"runtime": "fake", "version": "1.0", "gpu": "none"}
    monkeypatch.setattr(backend, "timing_key", lambda precision: keys)
    build_plan(backend, spec, path, "fp32", _quiet)
    build_plan(backend, spec, path, "fp16", _quiet)
    forget_plan(backend, spec, path, "fp32")
    keys["version"] = "1.1"
    build_plan(backend, spec, path, "fp32", _quiet)
    assert backend.builds == [("fp32", b""), ("fp16", b"t"), ("fp32", b"")]


def test_timings_that_were_damaged_are_not_given_to_the_builder(
    backend: FakeBackend, spec: EngineSpec, path: Path
) -> None:
    build_plan(backend, spec, path, "fp32", _quiet)
    folder = plan_path(backend, spec, path, "fp32").parent
    timing = min(folder.glob("*.entry"), key=lambda entry: entry.stat().st_size)
    timing.write_bytes(timing.read_bytes()[:-1] + b"x")
    forget_plan(backend, spec, path, "fp32")
    build_plan(backend, spec, path, "fp32", _quiet)
    assert backend.builds == [("fp32", b""), ("fp32", b"")]


def test_timings_that_cannot_be_kept_do_not_fail_the_build(
    backend: FakeBackend,
    spec: EngineSpec,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    real = Cache.store

    def store(self: Cache, key: Any, content: bytes, facts: Any) -> Path:
        if facts["kind"] == "timing":
            raise CacheError("full")
        return real(self, key, content, facts)

    monkeypatch.setattr(Cache, "store", store)
    assert build_plan(backend, spec, path, "fp32", _quiet)
    assert find_plan(backend, spec, path, "fp32") is not None
    assert "timings of this build are not kept: full" in caplog.text


def test_a_build_that_fails_leaves_nothing(backend: FakeBackend, spec: EngineSpec, path: Path, tmp_path: Path) -> None:
    def fail(_: BuiltPlan) -> BuiltPlan:
        raise EngineError("it does not like this engine; give it another")

    backend.result = fail
    with pytest.raises(EngineError, match="does not like"):
        build_plan(backend, spec, path, "fp32", _quiet)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_build_that_waits_for_another_reports_it_and_does_not_build(
    backend: FakeBackend,
    spec: EngineSpec,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = FakeBackend()
    real = Cache.locked

    def locked(self: Cache, key: Any, on_wait: Any) -> Any:
        if not other.builds:  # another process builds it, and has finished when we get the lock
            other.builds.append("begun")
            build_plan(other, spec, path, "fp32", _quiet)
            on_wait()
        return real(self, key, on_wait)

    monkeypatch.setattr(Cache, "locked", locked)
    reported: list[tuple[str, float]] = []
    with caplog.at_level(logging.WARNING):
        assert not build_plan(backend, spec, path, "fp32", lambda *report: reported.append(report))
    assert backend.builds == []
    assert reported == [("waiting for another process", 0.0)]
    assert "waiting for it" in caplog.text
