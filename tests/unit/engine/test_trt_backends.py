"""The back ends `tensorrt` and `tensorrt-rtx` as the rest of the program uses them, against doubles."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.unit.engine.gpu_double import LAUNCH_FAILED, Driver, Trt
from usassist.engine import cuda, find_engine, get_backend, open_engine, registry, why_not
from usassist.engine.opening import prepare
from usassist.engine.plan import PlanBackend
from usassist.engine.trt.api import TENSORRT
from usassist.engine.trt.build import build_plan
from usassist.engine.trt.progress import Phases
from usassist.errors import BackendUnavailableError, EngineError, PlanMissingError

TENSORRT_BACK_END, RTX_BACK_END = get_backend("tensorrt"), get_backend("tensorrt-rtx")
assert isinstance(TENSORRT_BACK_END, PlanBackend)


@pytest.fixture
def trt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trt:
    driver = Driver()
    trt = Trt(driver)
    monkeypatch.setattr(cuda, "why_no_cuda", lambda: None)
    monkeypatch.setattr(registry, "why_no_cuda", lambda: None)
    monkeypatch.setattr(cuda, "_load", lambda: driver)
    monkeypatch.setitem(sys.modules, "tensorrt", trt)  # type: ignore[arg-type]
    monkeypatch.setenv("USASSIST_CACHE", str(tmp_path / "cache"))
    return trt


def test_it_builds_once_and_then_opens_what_was_built(trt: Trt, tiny: Path) -> None:
    spec = find_engine("tiny", tiny)
    reported: list[str] = []
    for _ in range(2):
        with open_engine(spec, "tensorrt", progress=lambda stage, _share: reported.append(stage)) as engine:
            assert engine.backend == "tensorrt"
            assert engine.device == "Double 1"
            assert engine.verify() <= 0.001
    assert len(trt.built) == 1
    assert "everything" in reported
    assert not trt.driver.held


def test_a_build_measures_with_what_was_measured_before_and_without_tf32(trt: Trt, tiny: Path) -> None:
    spec = find_engine("tiny", tiny)
    path = spec.artifacts["onnx"][0]
    for before, after in ((b"", b"+measured"), (b"old", b"old+measured"), (b"of another GPU", b"+measured")):
        assert TENSORRT_BACK_END.build_plan(spec, path, "fp32", before, lambda _stage, _share: None).timing == after
    assert all(config.cleared == ["tf32"] for config in trt.built)
    assert all(config.limits == {"workspace": 1 << 30} for config in trt.built)


def test_a_build_that_gives_nothing_says_why(trt: Trt, tiny: Path) -> None:
    spec = find_engine("tiny", tiny)
    trt.fail.add("build")
    with pytest.raises(
        EngineError, match=r"TensorRT cannot compile model\.onnx of tiny.*: no kernel fits; use another"
    ):
        open_engine(spec, "tensorrt")
    assert not trt.driver.held


def test_what_another_driver_gpu_or_version_built_is_not_opened(
    trt: Trt, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_engine("tiny", tiny)
    assert prepare(spec, "tensorrt", "fp32")
    assert not prepare(spec, "tensorrt", "fp32")
    key = TENSORRT_BACK_END.plan_key("fp32")
    monkeypatch.setattr(Trt, "__version__", "10.16.1.12")
    assert TENSORRT_BACK_END.plan_key("fp32") != key
    assert prepare(spec, "tensorrt", "fp32")
    monkeypatch.setattr(Driver, "_cuDriverGetVersion", lambda self, out: setattr(out._obj, "value", 13010))
    assert prepare(spec, "tensorrt", "fp32")
    monkeypatch.setattr(Driver, "_cuDeviceGetName", lambda self, out, size, device: setattr(out, "value", b"Other"))
    assert prepare(spec, "tensorrt", "fp32")


def test_a_plan_that_cannot_be_read_is_thrown_away(trt: Trt, tiny: Path) -> None:
    spec = find_engine("tiny", tiny)
    prepare(spec, "tensorrt", "fp32")
    trt.fail.add("deserialize")
    with pytest.raises(PlanMissingError, match="build it again"):
        open_engine(spec, "tensorrt")
    trt.fail.clear()
    assert prepare(spec, "tensorrt", "fp32"), "it was thrown away, so it is built again"
    open_engine(spec, "tensorrt").close()
    assert not trt.driver.held


def test_a_plan_is_kept_when_the_gpu_had_no_room_for_it(trt: Trt, tiny: Path) -> None:
    spec = find_engine("tiny", tiny)
    prepare(spec, "tensorrt", "fp32")
    trt.fail.add("context")
    with pytest.raises(EngineError, match="end other programs"):
        open_engine(spec, "tensorrt")
    trt.fail.clear()
    assert not prepare(spec, "tensorrt", "fp32")


def test_nothing_of_tensorrt_is_made_without_a_gpu(trt: Trt, tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = find_engine("tiny", tiny)
    monkeypatch.setattr(cuda, "why_no_cuda", lambda: "there is none; buy one")
    monkeypatch.setattr(trt, "Builder", None)
    monkeypatch.setattr(trt, "Runtime", None)
    path = spec.artifacts["onnx"][0]
    with pytest.raises(BackendUnavailableError, match="there is none; buy one"):
        TENSORRT_BACK_END.build_plan(spec, path, "fp32", b"", lambda _stage, _share: None)
    with pytest.raises(BackendUnavailableError, match="there is none; buy one"):
        TENSORRT_BACK_END.plan_key("fp32")
    plan = build_plan(Trt(Driver()), TENSORRT, spec, path, b"", lambda _stage, _share: None)
    with pytest.raises(BackendUnavailableError, match="there is none; buy one"):
        TENSORRT_BACK_END.open_plan(spec, plan)  # type: ignore[arg-type]  # content and tensors are all that is asked for


def test_tensorrt_that_is_not_installed_is_answered_with_the_command(trt: Trt, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    for reason in (why_not("tensorrt"), why_not("tensorrt", build=True)):
        assert reason is not None
        assert reason.endswith("; pip install 'usassist[tensorrt]'")


@pytest.mark.parametrize(
    ("capability", "runs"),
    [
        ((7, 5), False),
        ((8, 0), True),
        ((8, 6), True),
        ((8, 9), True),
        ((9, 0), False),
        ((10, 0), False),
        ((12, 1), True),
    ],
)
def test_tensorrt_for_rtx_refuses_gpus_that_its_plans_are_not_for(
    trt: Trt, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], runs: bool
) -> None:
    def answer(self: Driver, out, which: int, device: int) -> None:
        out._obj.value = capability[which - 75]

    monkeypatch.setattr(Driver, "_cuDeviceGetAttribute", answer)
    reason = RTX_BACK_END.why_not_here()
    assert (reason is None) == runs
    if reason is not None:
        assert f"capability {capability[0]}.{capability[1]}" in reason
        assert reason.endswith("use --backend tensorrt")


def test_a_driver_that_fails_is_a_reason_and_no_error(trt: Trt) -> None:
    trt.driver.fail["cuDriverGetVersion"] = LAUNCH_FAILED
    assert "CUDA_ERROR_LAUNCH_FAILED" in (RTX_BACK_END.why_not_here() or "")


def test_phases_within_phases_add_up_and_never_go_back() -> None:
    reported: list[tuple[str, float]] = []
    phases = Phases(lambda stage, share: reported.append((stage, share)))
    phases.start("all", 2)
    phases.start("part", 4)
    assert phases.step("part", 1)
    assert reported[-1] == ("part", 0.25)
    phases.finish("part")  # early
    phases.start("part", 10)
    assert reported[-1] == ("part", 0.25)
    phases.finish("part")
    phases.step("all", 0)
    assert reported[-1] == ("all", 0.5)
    phases.step("all", 1)
    phases.finish("all")
    phases.start("another", 5)
    assert reported[-1] == ("another", 1.0)
    phases.raise_pending()


def test_an_exception_of_progress_is_kept_until_the_library_is_off_the_stack() -> None:
    reported: list[str] = []

    def fail(stage: str, _share: float) -> None:
        reported.append(stage)
        raise SystemExit(3)

    phases = Phases(fail)
    phases.start("all", 2)
    assert not phases.step("all", 0)
    assert reported == ["all"]
    with pytest.raises(SystemExit):
        phases.raise_pending()
