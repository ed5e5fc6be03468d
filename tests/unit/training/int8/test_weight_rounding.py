"""Weights in 7 bits: scales, codes, and biases that make up for what rounding takes."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("onnx", reason="graphs are read with onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from usassist.training.int8.weight_rounding import compute_weight_scales, round_weights


def test_a_scale_uses_both_ends_of_the_range_and_clips_if_that_reduces_the_error() -> None:
    rows = np.array([[63.0, -1.0, 0.0], [-64.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    scales = compute_weight_scales(rows)
    np.testing.assert_allclose(scales[:2], 1.0)
    assert scales[2] > 0
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.normal(0.0, 1.0, (8, 400)), np.full((8, 1), 6.0)], axis=1)
    scales = compute_weight_scales(rows)

    def error(steps: np.ndarray) -> np.ndarray:
        codes = np.clip(np.rint(rows / steps[:, None]), -64, 63)
        return ((codes * steps[:, None] - rows) ** 2).sum(axis=1)

    whole = np.maximum(rows.max(axis=1) / 63, rows.min(axis=1) / -64)
    assert (scales <= whole).all()
    assert (error(scales) <= error(whole)).all()
    assert error(scales).sum() < error(whole).sum()


def _graphs(groups: int) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """A 1x1 convolution of 4 to 4 channels behind a convolution of one weight; and both with wide 8-bit weights."""
    rng = np.random.default_rng(groups)
    weight = rng.normal(0.3, 0.2, (4, 4 // groups, 1, 1)).astype(np.float32)
    weight[2] = 0.0
    constants = {"w0": np.ones((4, 4, 1, 1), np.float32), "b0": np.arange(4.0, dtype=np.float32), "w1": weight}
    constants["b1"] = np.zeros(4, np.float32)
    convolutions = [("image", "0", 1, "c0"), ("c0", "1", groups, "out")]
    models = []
    for quantised in (False, True):
        tensors, nodes = dict(constants), []
        if quantised:
            tensors |= {"z": np.zeros(4, np.int8)}
        for source, name, group, out in convolutions:
            read = f"w{name}"
            if quantised:
                scale = np.maximum(np.abs(constants[read]).max(axis=(1, 2, 3)), 1e-6) / np.float32(127)
                del tensors[read]
                tensors[f"{read}_q"] = np.rint(constants[read] / scale.reshape(-1, 1, 1, 1)).astype(np.int8)
                tensors[f"{read}_s"] = scale.astype(np.float32)
                nodes.append(
                    helper.make_node("DequantizeLinear", [f"{read}_q", f"{read}_s", "z"], [f"{read}_f"], axis=0)
                )
                read = f"{read}_f"
            nodes.append(helper.make_node("Conv", [source, read, f"b{name}"], [out], group=group))
        ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, [1, 4, 5, 5]) for end in ("image", "out")]
        items = [numpy_helper.from_array(value, key) for key, value in tensors.items()]
        graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], items)
        models.append(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))
    return models[0], models[1]


@pytest.mark.parametrize("groups", [1, 2])
def test_the_mean_output_of_the_parent_is_kept_with_7_bit_weights(groups: int) -> None:
    import onnxruntime

    parent, quantised = _graphs(groups)
    rng = np.random.default_rng(7)
    inputs = [{"image": rng.random((1, 4, 5, 5), np.float32)} for _ in range(6)]
    round_weights(parent, quantised, inputs)
    constants = {item.name: numpy_helper.to_array(item) for item in quantised.graph.initializer}
    for name in ("w0", "w1"):
        assert constants[f"{name}_q"].dtype == np.int8
        assert constants[f"{name}_q"].min() >= -64
        assert 40 < constants[f"{name}_q"].max() <= 63
    assert np.any(constants["b1"] != 0)

    def mean(model: onnx.ModelProto) -> np.ndarray:
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        return np.mean([session.run(None, frame)[0].mean(axis=(0, 2, 3)) for frame in inputs], axis=0)

    np.testing.assert_allclose(mean(quantised), mean(parent), atol=1e-5)
    without = onnx.ModelProto()
    without.CopyFrom(quantised)
    for item in without.graph.initializer:
        if item.name == "b1":
            item.CopyFrom(numpy_helper.from_array(np.zeros(4, np.float32), "b1"))
    assert np.abs(mean(without) - mean(parent)).max() > 1e-4


def test_a_weight_without_a_counterpart_in_the_parent_is_not_changed() -> None:
    parent, quantised = _graphs(1)
    parent.graph.node[1].output[0] = parent.graph.output[0].name = "elsewhere"

    def codes() -> bytes:
        return bytes(next(item for item in quantised.graph.initializer if item.name == "w1_q").SerializeToString())

    before = codes()
    round_weights(parent, quantised, [{"image": np.ones((1, 4, 5, 5), np.float32)}])
    assert codes() == before
