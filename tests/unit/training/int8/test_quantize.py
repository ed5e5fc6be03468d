"""A tiny convolutional network of the tests' own, quantised in the test."""

from __future__ import annotations

import errno
import os
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("nncf", reason="quantising needs the extra `train`: pip install usassist[train]")

import onnx
from onnx import TensorProto, helper, numpy_helper

from usassist.app.quantization.gate import ACCURACY_LIMIT, Gate
from usassist.app.quantization.quantize import check_can_quantise, quantise_engine
from usassist.engine import find_engine, open_engine
from usassist.engine.int8 import load_calibration
from usassist.engine.qdq import lint_qdq
from usassist.errors import ConfigError, EngineError, EngineSpecError, UsageError
from usassist.training.int8.quantize import (
    CalibrationSet,
    find_float_tail,
    import_quantiser,
    load_thyroid_sets,
    quantise,
    spread_evenly,
)

LAYERS = 11  # the last stays in float

TOML = """
schema = 1
name = "net"
version = "0.1.0"
modality = "US"
task = "segment"
precision = "fp32"
licence = "none"
intended_use = "tests"
rate_hz = 30.0
latency_budget_ms = 33.0

[artifacts.onnx]
path = "model.onnx"
sha256 = "{sha256}"

[[inputs]]
name = "image"
dtype = "float32"
shape = [1, 1, 16, 16]
layout = "NCHW"

[[outputs]]
name = "prob"
dtype = "float32"
shape = [1, 1, 16, 16]
layout = "NCHW"

[preprocess]
color = "GRAY"
input_range = [0.0, 1.0]
mean = [0.0]
std = [1.0]

[[labels]]
id = 0
name = "thing"
scheme = "SCT"
value = "1"
meaning = "Thing"
color_rgb = [1, 2, 3]
score_threshold = 0.5

[golden]
path = "golden.npz"
max_abs_diff = 0.001
"""


def _network(path: Path) -> Path:
    """`LAYERS` convolutions with ReLU in between, then a sigmoid: float32 (1, 1, 16, 16) to (1, 1, 16, 16)."""
    rng = np.random.default_rng(5)
    nodes, weights, name, channels = [], [], "image", 1
    for layer in range(LAYERS):
        last = layer == LAYERS - 1
        wide = 1 if last else 8
        weight = rng.normal(0.0, np.sqrt(2.0 / (9 * channels)), (wide, channels, 3, 3)).astype(np.float32)
        bias = rng.normal(0.0, 0.1, wide).astype(np.float32)
        weights += [numpy_helper.from_array(weight, f"w{layer}"), numpy_helper.from_array(bias, f"b{layer}")]
        inputs = [name, f"w{layer}", f"b{layer}"]
        nodes.append(helper.make_node("Conv", inputs, [f"c{layer}"], f"conv{layer}", pads=[1, 1, 1, 1]))
        name = f"c{layer}"
        if not last:
            nodes.append(helper.make_node("Relu", [name], [f"r{layer}"], f"relu{layer}"))
            name, channels = f"r{layer}", wide
    nodes.append(helper.make_node("Sigmoid", [name], ["prob"], "sigmoid"))
    ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 1, 16, 16]) for end in ("image", "prob")]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def _inputs(count: int = 8) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"image": rng.random((1, 1, 16, 16), np.float32)} for _ in range(count)]


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _network(tmp_path_factory.mktemp("net") / "model.onnx")


@pytest.fixture(scope="module")
def quantised(parent: Path) -> bytes:
    return quantise(parent, _inputs())


def test_the_same_frames_give_the_same_bytes(parent: Path, quantised: bytes) -> None:
    assert quantise(parent, _inputs()) == quantised


def test_the_last_convolution_and_all_after_it_stay_in_float(parent: Path, quantised: bytes) -> None:
    assert find_float_tail(onnx.load(parent)) == [f"conv{LAYERS - 1}", "sigmoid"]
    graph = onnx.load_from_string(quantised).graph
    maker = {name: node.op_type for node in graph.node for name in node.output}
    made = {node.name: maker.get(node.input[1]) for node in graph.node if node.op_type == "Conv"}
    assert made.pop(f"conv{LAYERS - 1}") is None
    assert set(made.values()) == {"DequantizeLinear"}


def test_openvino_runs_at_least_nine_of_ten_convolutions_in_int8_and_none_of_the_parent(
    parent: Path, quantised: bytes, tmp_path: Path
) -> None:
    from usassist.engine.backends.openvino import MIN_INT8_SHARE, count_int8

    openvino = pytest.importorskip("openvino")
    core = openvino.Core()
    if "INT8" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("OpenVINO runs nothing in INT8 on this processor")
    path = tmp_path / "model.int8.onnx"
    path.write_bytes(quantised)
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    assert count_int8(core.compile_model(str(parent), "CPU", options)) == (0, LAYERS)
    in_int8, layers = count_int8(core.compile_model(str(path), "CPU", options))
    assert layers == LAYERS
    assert in_int8 >= MIN_INT8_SHARE * layers


def test_the_outputs_stay_close_to_the_parents(parent: Path, quantised: bytes) -> None:
    import onnxruntime

    providers = ["CPUExecutionProvider"]
    sessions = [onnxruntime.InferenceSession(model, providers=providers) for model in (str(parent), quantised)]
    inputs = _inputs(1)[0]
    expected, found = (session.run(None, inputs)[0] for session in sessions)
    assert 0.0 < float(np.abs(found - expected).mean()) < 0.05


def test_the_result_is_symmetric_qdq(quantised: bytes) -> None:
    assert lint_qdq(quantised) == []


def test_a_digest_is_that_of_the_pixels() -> None:
    import hashlib

    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    frames = CalibrationSet(name="n", chosen="c", images=(image, image.T))
    expected = tuple(hashlib.sha256(bytes(values)).hexdigest() for values in (image.ravel(), image.T.ravel()))
    assert frames.digests() == expected


@pytest.fixture
def engines(parent: Path, tmp_path: Path) -> Path:
    """A folder of engines with the network in it, its output read as a score."""
    import hashlib

    import onnxruntime

    folder = tmp_path / "engines" / "net" / "0.1.0"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(parent.read_bytes())
    image = _inputs(1)[0]["image"]
    session = onnxruntime.InferenceSession(str(parent), providers=["CPUExecutionProvider"])
    np.savez(folder / "golden.npz", image=image, prob=session.run(None, {"image": image})[0])
    text = TOML.format(sha256=hashlib.sha256(parent.read_bytes()).hexdigest())
    (folder / "engine.toml").write_text(text)
    return tmp_path / "engines"


def _sets() -> list[CalibrationSet]:
    rng = np.random.default_rng(2)
    images = tuple(rng.integers(0, 256, (16, 16), np.uint8) for _ in range(8))
    return [CalibrationSet(name="noise", chosen="all", images=images)]


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _gate(fall: float) -> Gate:
    return Gate(
        kind="accuracy",
        judge=lambda engine: {"dice": 0.8 if engine.precision == "fp32" else 0.8 - fall},
        limit=ACCURACY_LIMIT,
        method="by decree",
    )


def test_an_engine_that_passes_the_gate_gets_its_int8_and_opens_with_it(engines: Path) -> None:
    before = (engines / "net/0.1.0/engine.toml").read_text()
    done = quantise_engine(find_engine("net", engines), _sets(), _gate(0.01), threads=1)
    spec = find_engine("net", engines)
    assert spec.precisions == ("fp32", "int8")
    assert {path.relative_to(engines.parent).as_posix() for path in done.files} == {
        "engines/net/0.1.0/model.int8.onnx",
        "engines/net/0.1.0/engine.toml",
        "calibration/int8/net_0.1.0.toml",
    }
    with open_engine(spec, "openvino", precision="int8") as engine:
        assert engine.backend == "openvino-int8"
    calibration = load_calibration(spec)
    assert calibration.gate["dice"].int8 == 0.79
    assert [frames.sha256 for frames in calibration.frames] == [frames.digests() for frames in _sets()]
    after = (engines / "net/0.1.0/engine.toml").read_text()
    document = tomllib.loads(after)
    del document["artifacts"]["onnx_int8"], document["golden"]["int8"]
    assert document == tomllib.loads(before)
    assert after.startswith(before[: before.index("[[inputs]]")])
    assert after.index("[artifacts.onnx]") < after.index("[artifacts.onnx_int8]") < after.index("[[inputs]]")


def test_an_engine_that_fails_the_gate_is_refused_with_the_figures_and_nothing_is_written(engines: Path) -> None:
    before = _tree(engines.parent)
    with pytest.raises(EngineError, match=r"dice 0.8000 in FP32 and 0.7899 in INT8; none may fall by more than 0.01"):
        quantise_engine(find_engine("net", engines), _sets(), _gate(0.0101), threads=1)
    assert _tree(engines.parent) == before


def test_int8_is_made_again_only_on_request_and_is_identical(engines: Path) -> None:
    quantise_engine(find_engine("net", engines), _sets(), _gate(0.0), threads=1)
    before = _tree(engines.parent)
    with pytest.raises(UsageError, match="use --replace"):
        quantise_engine(find_engine("net", engines), _sets(), _gate(0.0), threads=1)
    quantise_engine(find_engine("net", engines), _sets(), _gate(0.0), threads=1, replace=True)
    assert _tree(engines.parent) == before


def test_a_golden_tolerance_that_zeros_would_meet_everywhere_is_refused(engines: Path) -> None:
    path = engines / "net/0.1.0/golden.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **(arrays | {"prob": arrays["prob"] * 1e-6}))
    toml = engines / "net/0.1.0/engine.toml"
    toml.write_text(toml.read_text().replace("max_abs_diff = 0.001", "max_abs_diff = 9.0"))
    with pytest.raises(EngineSpecError, match="an answer of zeros would pass"):
        quantise_engine(find_engine("net", engines), _sets(), _gate(0.0), threads=1)


def test_a_copy_with_its_int8_does_not_change_the_engine(engines: Path, tmp_path: Path) -> None:
    before = _tree(engines)
    done = quantise_engine(find_engine("net", engines), _sets(), _gate(0.0), threads=1, out=tmp_path / "copy")
    assert _tree(engines) == before
    assert set(_tree(tmp_path / "copy")) == {path.relative_to(tmp_path / "copy").as_posix() for path in done.files}
    assert (tmp_path / "copy/engines/net/0.1.0/golden.npz").is_file()
    spec = find_engine("net", tmp_path / "copy/engines")
    with open_engine(spec, "openvino", precision="int8") as engine:
        assert engine.precision == "int8"
    with pytest.raises(UsageError, match="already; name another with --out"):
        quantise_engine(find_engine("net", engines), _sets(), _gate(0.0), threads=1, out=tmp_path / "copy")


@pytest.mark.parametrize("place", [None, "copy"])
def test_a_full_disk_is_one_line_and_changes_nothing(
    engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str | None
) -> None:
    out = None if place is None else tmp_path / place
    spec = find_engine("net", engines)
    before = _tree(tmp_path)
    real = shutil.copyfile

    def copy(source: Path, target: Path, **options: Any) -> object:
        if Path(target).name.startswith(".net_0.1.0.toml."):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(source, target, **options)

    monkeypatch.setattr(shutil, "copyfile", copy)
    with pytest.raises(EngineError, match="cannot be written: No space left on device; free some space"):
        quantise_engine(spec, _sets(), _gate(0.0), threads=1, out=out)
    assert _tree(tmp_path) == before
    assert not (tmp_path / "copy").exists()
    assert not (tmp_path / "calibration").exists()


def test_a_read_only_folder_is_refused_before_any_work(
    engines: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = find_engine("net", engines)
    monkeypatch.setattr(os, "access", lambda path, _mode: not Path(path).is_relative_to(engines))
    with pytest.raises(UsageError, match="cannot be written by this user; use --out FOLDER"):
        check_can_quantise(spec)
    check_can_quantise(spec, out=tmp_path / "copy")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('precision = "fp32"', 'precision = "fp16"', "only FP32 engines can be quantised"),
        ('modality = "US"', 'modality = "CT"', "not a 2-D ultrasound engine with one fixed input"),
        (
            'shape = [1, 1, 16, 16]\nlayout = "NCHW"',
            'shape = [1, 1, 1, 16, 16]\nlayout = "NCDHW"',
            "not a 2-D ultrasound engine with one fixed input",
        ),
    ],
)
def test_an_engine_that_cannot_be_quantised_is_refused(engines: Path, old: str, new: str, message: str) -> None:
    path = engines / "net/0.1.0/engine.toml"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UsageError, match=message):
        check_can_quantise(find_engine("net", engines))


def test_indices_are_evenly_spaced_and_no_more_than_available() -> None:
    assert spread_evenly(10, 4) == [0, 2, 5, 7]
    assert spread_evenly(3, 4) == [0, 1, 2]


def test_without_nncf_the_error_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ConfigError, match=r"pip install 'usassist\[train\]'"):
        import_quantiser()


def test_a_missing_data_set_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="thyroid_ddti is missing"):
        load_thyroid_sets(tmp_path)
