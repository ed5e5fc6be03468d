"""An engine for head CT that finds what is as dense as blood, for tests: no training, and its outlines are known.

A voxel is haemorrhage from 46 to 100 HU; a slice has some where a spot of 9 x 9 px of the input is such.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from usassist.engine import EngineSpec, find_engine

__all__ = ["NAME", "install_ct_engine"]

NAME = "ct_dense"

_LABELS = (("haemorrhage", 0.5), ("intraparenchymal", 0.5), ("intraventricular", 0.5), ("extra_axial", 0.5))
_HEAD = """
schema = 1
name = "ct_dense"
version = "1.0.0"
modality = "CT"
task = "detect_segment"
precision = "fp32"
licence = "none"
intended_use = "Tests. Research use only; not a medical device."
rate_hz = 0.1
latency_budget_ms = 10000

[artifacts.onnx]
path = "model.onnx"
sha256 = "{sha256}"

[[inputs]]
name = "image"
dtype = "float32"
shape = [-1, 3, 256, 256]
layout = "NCHW"
min = [1, 3, 256, 256]
opt = [4, 3, 256, 256]
max = [8, 3, 256, 256]

[[outputs]]
name = "mask_prob"
dtype = "float32"
shape = [-1, 1, 256, 256]
layout = "NCHW"

[[outputs]]
name = "slice_prob"
dtype = "float32"
shape = [-1, 4]
layout = "NC"

[preprocess]
color = "GRAY"
input_range = [0.0, 1.0]
mean = [0.0]
std = [1.0]

[golden]
path = "golden.npz"
max_abs_diff = 0.001
"""
_LABEL = """
[[labels]]
id = {id}
name = "{name}"
scheme = "SCT"
value = "1386000"
meaning = "Intracranial haemorrhage"
color_rgb = [255, 64, 64]
score_threshold = {threshold}
"""


def install_ct_engine(folder: Path, *, measured: bool = False) -> EngineSpec:
    """Write the engine into a folder of engines.

    Parameters
    ----------
    measured : the engine states the uncertainty of its outlines
    """
    home = folder / NAME / "1.0.0"
    home.mkdir(parents=True)
    constants = {
        "starts": np.array([1], np.int64),  # the subdural window: 0 to 1 are -20 to 180 HU
        "stops": np.array([2], np.int64),
        "axes": np.array([1], np.int64),
        "low": np.float32((46.0 + 20.0) / 200.0),
        "high": np.float32((100.0 + 20.0) / 200.0),
        "steep": np.float32(200.0),
        "one": np.float32(1.0),
        "half": np.float32(0.5),
        "ten": np.float32(10.0),
        "shares": np.array([[1.0, 0.9, 0.1, 0.2]], np.float32),
        "flat": np.array([-1, 1], np.int64),
    }
    make = helper.make_node
    nodes = [
        make("Slice", ["image", "starts", "stops", "axes"], ["window"]),
        make("AveragePool", ["window"], ["smooth"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        make("Sub", ["smooth", "low"], ["above"]),
        make("Mul", ["above", "steep"], ["above_steep"]),
        make("Sigmoid", ["above_steep"], ["is_above"]),
        make("Sub", ["high", "smooth"], ["below"]),
        make("Mul", ["below", "steep"], ["below_steep"]),
        make("Sigmoid", ["below_steep"], ["is_below"]),
        make("Mul", ["is_above", "is_below"], ["dense"]),
        make("Sub", ["one", "dense"], ["not_dense"]),  # opened, so that the edge of the bone is no blood
        make("MaxPool", ["not_dense"], ["grown"], kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
        make("Sub", ["one", "grown"], ["eroded"]),
        make("MaxPool", ["eroded"], ["mask_prob"], kernel_shape=[5, 5], pads=[2, 2, 2, 2]),
        make("Sub", ["one", "mask_prob"], ["rest"]),
        make("MaxPool", ["rest"], ["rest_wide"], kernel_shape=[9, 9]),
        make("Sub", ["one", "rest_wide"], ["spots"]),
        make("GlobalMaxPool", ["spots"], ["spot"]),
        make("Reshape", ["spot", "flat"], ["spot_flat"]),
        make("Sub", ["spot_flat", "half"], ["spot_less"]),
        make("Mul", ["spot_less", "ten"], ["spot_steep"]),
        make("Sigmoid", ["spot_steep"], ["any"]),
        make("Mul", ["any", "shares"], ["slice_prob"]),
    ]
    shapes: dict[str, list[str | int | None]] = {
        "image": ["n", 3, 256, 256],
        "mask_prob": ["n", 1, 256, 256],
        "slice_prob": ["n", 4],
    }
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, NAME, ends[:1], ends[1:], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, home / "model.onnx")
    image = np.full((1, 3, 256, 256), 0.2, np.float32)
    image[:, :, 100:140, 80:130] = 0.4
    mask, slices = ReferenceEvaluator(str(home / "model.onnx")).run(["mask_prob", "slice_prob"], {"image": image})
    np.savez_compressed(home / "golden.npz", image=image, mask_prob=mask, slice_prob=slices)
    sha256 = hashlib.sha256((home / "model.onnx").read_bytes()).hexdigest()
    text = _HEAD.format(sha256=sha256)
    if measured:
        text += '\n[measurement]\ndiameter_rel_sd = 0.04\nsource = "made up for the test"\n'
    for index, (name, threshold) in enumerate(_LABELS):
        text += _LABEL.format(id=index, name=name, threshold=threshold)
    (home / "engine.toml").write_text(text)
    return find_engine(NAME, folder)
