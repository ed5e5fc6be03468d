"""ONNX to plan, with the real compiler of TensorRT for RTX: it parses, types and compiles without a GPU.

That a plan runs, and how fast, is not shown here; see the tests marked `gpu`.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from usassist.engine import find_engine, list_engines
from usassist.engine.cuda import why_no_cuda
from usassist.engine.engine_toml import load_spec
from usassist.engine.opening import artifact_path
from usassist.engine.plan import BuiltPlan
from usassist.engine.spec import EngineSpec
from usassist.engine.trt.api import RTX, import_trt
from usassist.engine.trt.build import build_plan
from usassist.errors import EngineError, EngineSpecError

pytest.importorskip("tensorrt_rtx_bindings", reason="building plans here needs the extra `tensorrt-rtx`")

EVERY = [(spec, precision) for spec in list_engines() for precision in spec.precisions]
RANGE = "\nmin = [1, 1, 2, 6]\nopt = [1, 1, 4, 6]\nmax = [1, 1, 8, 6]"


def _nothing(_stage: str, _share: float) -> None:
    pass


def _build(spec: EngineSpec, path: Path | None = None, progress=_nothing) -> BuiltPlan:
    return build_plan(import_trt(RTX), RTX, spec, path or spec.artifacts["onnx"][0], b"", progress)


def _edited(tiny: Path, *changes: tuple[str, str]) -> EngineSpec:
    toml = tiny / "tiny/1.2.3/engine.toml"
    text = toml.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    toml.write_text(text)
    return load_spec(toml)


def _model(nodes: list, constants: list = (), side: int | str = 4) -> onnx.ModelProto:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, side, 6])
        for name in ("image", "doubled", "inverse")
    ]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], list(constants))
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("somewhere.else", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _usual(side: int | str = 4) -> onnx.ModelProto:
    return _model(
        [
            helper.make_node("Add", ["image", "image"], ["doubled"]),
            helper.make_node("Reciprocal", ["image"], ["inverse"]),
        ],
        side=side,
    )


@pytest.mark.parametrize(("spec", "precision"), EVERY, ids=[f"{spec.name}-{name}" for spec, name in EVERY])
def test_every_engine_builds_in_every_precision(
    spec: EngineSpec, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if precision == "fp16":
        pytest.importorskip("onnxconverter_common", reason="FP16 is derived with the extra `convert`")
    monkeypatch.setenv("USASSIST_CACHE", str(tmp_path / "cache"))
    plan = _build(spec, artifact_path(spec, "tensorrt-rtx", precision))
    wanted = [(tensor, kind) for kind, side in (("input", spec.inputs), ("output", spec.outputs)) for tensor in side]
    assert sorted(name for name, _, _, _ in plan.tensors) == sorted(tensor.name for tensor, _ in wanted)
    for tensor, kind in wanted:
        ((dtype, sides),) = [(d, s) for name, its, d, s in plan.tensors if (name, its) == (tensor.name, kind)]
        assert tensor.accepts(dtype, tuple(None if side == -1 else side for side in sides))
    assert len(plan.content) > 10_000
    assert plan.timing == b""  # nothing is measured without a GPU


def test_the_plan_of_an_fp16_file_is_not_the_plan_of_its_parent(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("onnxconverter_common", reason="FP16 is derived with the extra `convert`")
    monkeypatch.setenv("USASSIST_CACHE", str(tmp_path / "cache"))
    spec = next(spec for spec, precision in EVERY if precision == "fp16")
    plans = {name: _build(spec, artifact_path(spec, "tensorrt-rtx", name)) for name in ("fp32", "fp16")}
    assert len(plans["fp16"].content) < 0.7 * len(plans["fp32"].content)


def test_progress_only_grows_and_ends_at_one(tiny: Path) -> None:
    reported: list[tuple[str, float]] = []
    _build(_edited(tiny), progress=lambda stage, share: reported.append((stage, share)))
    shares = [share for _, share in reported]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len({stage for stage, _ in reported}) > 3


def test_what_progress_raises_ends_the_build_and_comes_out(tiny: Path) -> None:
    reported: list[str] = []

    def stop(stage: str, _share: float) -> None:
        reported.append(stage)
        if len(reported) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _build(_edited(tiny), progress=stop)
    assert len(reported) == 3


def test_other_threads_go_on_while_a_plan_is_built() -> None:
    spec = find_engine("thyroid_nodule")
    done, ticks = threading.Event(), []

    def tick() -> None:
        while not done.wait(0.001):
            ticks.append(1)

    thread = threading.Thread(target=tick)
    thread.start()
    seen_at: list[int] = []
    _build(spec, progress=lambda _stage, _share: seen_at.append(len(ticks)))
    done.set()
    thread.join()
    assert seen_at[-1] > seen_at[0]


def test_a_free_side_gets_the_range_of_the_spec(tiny: Path) -> None:
    onnx.save(_usual("rows"), tiny / "tiny/1.2.3/model.onnx")
    spec = _edited(
        tiny,
        ("shape = [1, 1, 4, 6]", "shape = [1, 1, -1, 6]"),
        ('layout = "NCHW"\n\n[[o', f'layout = "NCHW"{RANGE}\n\n[[o'),
    )
    plan = _build(spec)
    assert {tuple(sides) for _, _, _, sides in plan.tensors} == {(1, 1, -1, 6)}


def test_a_free_side_without_a_range_is_refused(tiny: Path) -> None:
    onnx.save(_usual("rows"), tiny / "tiny/1.2.3/model.onnx")
    spec = _edited(tiny, ("shape = [1, 1, 4, 6]", "shape = [1, 1, -1, 6]"))
    with pytest.raises(EngineSpecError, match=r"image float32 \[1, 1, \?, 6\] has a free axis and no range; write min"):
        _build(spec)


def test_weights_beside_the_file_are_found_and_missed(tiny: Path) -> None:
    model = _model(
        [
            helper.make_node("Mul", ["image", "factor"], ["doubled"]),
            helper.make_node("Reciprocal", ["image"], ["inverse"]),
        ],
        [numpy_helper.from_array(np.full((1, 1, 4, 6), 2, np.float32), "factor")],
    )
    path = tiny / "tiny/1.2.3/model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    spec = _edited(tiny)
    assert _build(spec).content
    (path.parent / "weights.bin").unlink()
    with pytest.raises(EngineError, match=r"weights\.bin.*fix the export"):
        _build(spec)


@pytest.mark.parametrize(
    ("before", "after"),
    [('name = "image"', 'name = "picture"'), ("shape = [1, 1, 4, 6]", "shape = [1, 1, 4, 7]"), ("float32", "float16")],
)
def test_tensors_that_differ_from_the_spec_are_refused_with_both(tiny: Path, before: str, after: str) -> None:
    with pytest.raises(EngineSpecError, match=r"the graph's inputs are image float32 \[1, 1, 4, 6\]; engine.toml says"):
        _build(_edited(tiny, (before, after)))


@pytest.mark.skipif(why_no_cuda() is None, reason="there is a GPU here")
def test_opening_a_plan_without_a_gpu_is_refused_and_the_interpreter_lives_on() -> None:
    program = (
        "from usassist.engine.trt.api import RTX, import_trt; from usassist.engine.trt.runner import TrtRunner\n"
        "from usassist.errors import BackendUnavailableError\n"
        "try:\n    TrtRunner(import_trt(RTX), RTX, b'plan', [])\n"
        "except BackendUnavailableError as error:\n    print(error)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout == f"{why_no_cuda()}\n"


def _one_line(error: pytest.ExceptionInfo[EngineError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert text.endswith(("; fix the export, or use another --backend", "; use another --backend or --precision"))
    return text


def test_a_file_that_was_cut_off_gives_one_line(tiny: Path) -> None:
    spec = _edited(tiny)
    path = spec.artifacts["onnx"][0]
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(EngineError, match=r"TensorRT for RTX cannot read model\.onnx of tiny@1\.2\.3") as error:
        _build(spec)
    _one_line(error)


def test_an_operation_that_is_not_known_is_named_with_its_node(tiny: Path) -> None:
    model = _model(
        [
            helper.make_node("Add", ["image", "image"], ["doubled"]),
            helper.make_node("Frobnicate", ["image"], ["inverse"], "the_node", domain="somewhere.else"),
        ]
    )
    onnx.save(model, tiny / "tiny/1.2.3/model.onnx")
    with pytest.raises(EngineError, match=r"node 1: Frobnicate the_node") as error:
        _build(_edited(tiny))
    _one_line(error)


def test_zero_points_that_tensorrt_does_not_take_are_named_with_their_node(tiny: Path) -> None:
    model = _model(
        [
            helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["q"], "the_node"),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["doubled"]),
            helper.make_node("Reciprocal", ["image"], ["inverse"]),
        ],
        [numpy_helper.from_array(np.float32(0.01), "scale"), numpy_helper.from_array(np.uint8(7), "zero")],
    )
    onnx.save(model, tiny / "tiny/1.2.3/model.onnx")
    with pytest.raises(EngineError, match="QuantizeLinear") as error:
        _build(_edited(tiny))
    _one_line(error)
