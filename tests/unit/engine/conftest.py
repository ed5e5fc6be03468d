"""A tiny engine of the tests' own: doubles its input and takes the mean."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

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
