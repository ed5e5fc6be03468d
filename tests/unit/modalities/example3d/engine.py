"""Makes the engine of the example: a mean of 3 x 3 x 3 voxels, and a steep sigmoid at the middle of the window."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from usassist.engine import EngineSpec, find_engine

_TOML = """
schema = 1
name = "bright"
version = "1.0.0"
modality = "CT"
task = "segment"
precision = "fp32"
licence = "none"
intended_use = "tests"
rate_hz = 0.1
latency_budget_ms = 10000

[artifacts.onnx]
path = "model.onnx"
sha256 = "{sha256}"

[[inputs]]
name = "image"
dtype = "float32"
shape = [-1, 1, -1, -1, -1]
layout = "NCDHW"
min = [1, 1, 4, 8, 8]
opt = [2, 1, 8, 16, 16]
max = [4, 1, 16, 32, 32]

[[outputs]]
name = "score"
dtype = "float32"
shape = [-1, 1, -1, -1, -1]
layout = "NCDHW"

[preprocess]
color = "GRAY"
input_range = [-1.0, 1.0]
mean = [0.0]
std = [1.0]

[measurement]
diameter_rel_sd = 0.04
source = "made up for the test"

[[labels]]
id = 0
name = "bright"
scheme = "SCT"
value = "50960005"
meaning = "Hemorrhage"
color_rgb = [200, 100, 50]
score_threshold = 0.5

[golden]
path = "golden.npz"
max_abs_diff = 0.0001
"""


def install(folder: Path) -> EngineSpec:
    """Write the engine into a folder of engines."""
    home = folder / "bright" / "1.0.0"
    home.mkdir(parents=True)
    kernel = np.full((1, 1, 3, 3, 3), 20.0 / 27.0, np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "kernel"], ["mean"], pads=[1] * 6),
        helper.make_node("Sigmoid", ["mean"], ["score"]),
    ]
    shape = ["n", 1, "z", "y", "x"]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("image", "score")]
    graph = helper.make_graph(nodes, "bright", ends[:1], ends[1:], [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, home / "model.onnx")
    image = np.random.default_rng(1).uniform(-1, 1, (1, 1, 8, 8, 8)).astype(np.float32)
    (score,) = ReferenceEvaluator(str(home / "model.onnx")).run(["score"], {"image": image})
    np.savez(home / "golden.npz", image=image, score=score)
    sha256 = hashlib.sha256((home / "model.onnx").read_bytes()).hexdigest()
    (home / "engine.toml").write_text(_TOML.format(sha256=sha256))
    return find_engine("bright", folder)
