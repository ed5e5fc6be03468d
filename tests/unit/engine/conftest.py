"""Tiny engines of the tests' own: one doubles and inverts its input, one convolves it in FP32 and in INT8."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.fake_builder import row_of
from usassist.engine import BACKENDS, EngineSpec
from usassist.engine.backend import Runner
from usassist.engine.backends.onnxruntime import OnnxRuntimeBackend
from usassist.engine.engine_toml import load_spec
from usassist.engine.int8 import FrameSet, GateFigure, Int8Calibration, calibration_path, calibration_text

TOML = """
schema = 1
name = "tiny"
version = "1.2.3"
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
shape = [1, 1, 4, 6]
layout = "NCHW"

[[outputs]]
name = "doubled"
dtype = "float32"
shape = [1, 1, 4, 6]
layout = "NCHW"

[[outputs]]
name = "inverse"
dtype = "float32"
shape = [1, 1, 4, 6]
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


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A folder of engines with `tiny` 1.2.3 in it."""
    folder = tmp_path / "engines" / "tiny" / "1.2.3"
    folder.mkdir(parents=True)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 4, 6])
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 4, 6]) for name in ("doubled", "inverse")]
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["image", "image"], ["doubled"]),
            helper.make_node("Reciprocal", ["image"], ["inverse"]),
        ],
        "tiny",
        [image],
        outputs,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "engine.toml").write_text(TOML.format(sha256=digest))
    x = np.linspace(0.1, 1, 24, dtype=np.float32).reshape(1, 1, 4, 6)
    np.savez(folder / "golden.npz", image=x, doubled=2 * x, inverse=1 / x)
    return tmp_path / "engines"


TWIN = """
[artifacts.onnx_int8]
path = "model.int8.onnx"
sha256 = "{sha256}"
"""

TOLERANCE = """
[golden.int8]
mean_abs_diff = { doubled = 0.05, inverse = 0.05 }
"""


@pytest.fixture
def twin(tiny: Path) -> Path:
    """`tiny` with a convolution in each branch instead, and with an INT8 artifact and its calibration file."""
    folder = tiny / "tiny" / "1.2.3"
    x = np.linspace(0.1, 1, 24, dtype=np.float32).reshape(1, 1, 4, 6)
    digests = {}
    for name, quantised in (("model.onnx", False), ("model.int8.onnx", True)):
        onnx.save(_convolutions(quantised=quantised), folder / name)
        digests[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    toml = TOML.format(sha256=digests["model.onnx"])
    twin = TWIN.format(sha256=digests["model.int8.onnx"])
    (folder / "engine.toml").write_text(toml.replace("\n[[inputs]]", f"{twin}\n[[inputs]]") + TOLERANCE)
    np.savez(folder / "golden.npz", image=x, doubled=2 * x, inverse=-x)
    spec = load_spec(folder / "engine.toml")
    calibration = Int8Calibration(
        calibration_id="tiny_1.2.3_int8",
        engine_id=spec.engine_id,
        int8_sha256=digests["model.int8.onnx"],
        measured_on="2026-11-21",
        measured_by="engineer",
        method="by hand",
        settings={"tool": "none"},
        gate={"dice": GateFigure(fp32=0.8, int8=0.79, limit=0.01)},
        frames=(FrameSet(name="none", chosen="none", sha256=("0" * 64,)),),
    )
    path = calibration_path(spec)
    path.parent.mkdir(parents=True)
    path.write_text(calibration_text(calibration))
    return tiny


def _convolutions(*, quantised: bool) -> onnx.ModelProto:
    """`doubled` is 2 x and `inverse` is -x, each by a convolution of 3 by 3 with a single weight."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 4, 6]) for name in ("image", "doubled", "inverse")
    ]
    nodes, constants, image = [], [], "image"
    if quantised:
        constants += [numpy_helper.from_array(np.float32(1 / 127), "s"), numpy_helper.from_array(np.int8(0), "z")]
        nodes += [
            helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"]),
        ]
        image = "dq"
    for name, factor in (("doubled", 2.0), ("inverse", -1.0)):
        kernel = np.zeros((1, 1, 3, 3), np.float32)
        kernel[0, 0, 1, 1] = factor
        if quantised:
            scale = np.float32(abs(factor) / 63)
            constants += [
                numpy_helper.from_array(np.rint(kernel / scale).astype(np.int8), f"{name}_q"),
                numpy_helper.from_array(scale, f"{name}_s"),
            ]
            nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_s", "z"], [f"{name}_w"]))
        else:
            constants.append(numpy_helper.from_array(kernel, f"{name}_w"))
        nodes.append(helper.make_node("Conv", [image, f"{name}_w"], [name], pads=[1, 1, 1, 1]))
    graph = helper.make_graph(nodes, "twin", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


class Faulty(OnnxRuntimeBackend):
    """ONNX Runtime with a fault planted behind it: its outputs go through `fault` first."""

    precisions = ("fp32", "int8")

    def __init__(self) -> None:
        super().__init__("faulty")
        self.fault: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]] = dict

    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        runner = super().open(spec, path, threads=threads, precision=precision)
        run = runner.run
        runner.run = lambda inputs: self.fault({name: array.copy() for name, array in run(inputs).items()})
        return runner


@pytest.fixture
def faulty(monkeypatch: pytest.MonkeyPatch) -> Faulty:
    """A back end `faulty` in the table; without a fault it answers as the reference does."""
    backend = Faulty()
    monkeypatch.setitem(BACKENDS, "faulty", row_of(backend))
    return backend
