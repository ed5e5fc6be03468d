"""Each rule of symmetric QDQ, with a graph that breaks it and no other."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("onnx", reason="the lint reads graphs with onnx")

import onnx
from onnx import TensorProto, helper, numpy_helper

from usassist.engine.qdq import check_qdq, lint_qdq
from usassist.errors import BackendUnavailableError, EngineSpecError

Edit = Callable[[onnx.ModelProto], object]


def _model() -> onnx.ModelProto:
    """A convolution of 2 to 4 channels and one back from 4 to 3, with weights per output channel and float biases."""
    rng = np.random.default_rng(4)
    constants = {
        "s": np.float32(0.01),
        "z": np.int8(0),
        "w0": rng.integers(-64, 64, (4, 2, 3, 3)).astype(np.int8),
        "w0_s": np.linspace(0.01, 0.04, 4, dtype=np.float32),
        "w0_z": np.zeros(4, np.int8),
        "b0": np.ones(4, np.float32),
        "w1": rng.integers(-64, 64, (4, 3, 2, 2)).astype(np.int8),
        "w1_s": np.linspace(0.01, 0.03, 3, dtype=np.float32),
        "w1_z": np.zeros(3, np.int8),
        "b1": np.ones(3, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q0"], "quantise0"),
        helper.make_node("DequantizeLinear", ["q0", "s", "z"], ["dq0"], "dequantise0"),
        helper.make_node("DequantizeLinear", ["w0", "w0_s", "w0_z"], ["f0"], "weight0", axis=0),
        helper.make_node("Conv", ["dq0", "f0", "b0"], ["c0"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("QuantizeLinear", ["c0", "s", "z"], ["q1"], "quantise1"),
        helper.make_node("DequantizeLinear", ["q1", "s", "z"], ["dq1"], "dequantise1"),
        helper.make_node("DequantizeLinear", ["w1", "w1_s", "w1_z"], ["f1"], "weight1", axis=1),
        helper.make_node("ConvTranspose", ["dq1", "f1", "b1"], ["prob"], "deconv"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("image", "prob")]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def _lint(model: onnx.ModelProto) -> list[str]:
    return lint_qdq(bytes(model.SerializeToString()))


def _node(model: onnx.ModelProto, name: str) -> Any:
    return next(node for node in model.graph.node if node.name == name)


def _set(model: onnx.ModelProto, name: str, value: npt.ArrayLike) -> None:
    item = next((item for item in model.graph.initializer if item.name == name), None)
    item = model.graph.initializer.add() if item is None else item
    item.CopyFrom(numpy_helper.from_array(np.asarray(value), name))


def _own_pair(model: onnx.ModelProto, **constants: npt.ArrayLike) -> None:
    """Give the first pair of the graph a scale and a zero point of its own."""
    for place, name in ((1, "own_s"), (2, "own_z")):
        if name in constants:
            _set(model, name, constants[name])
            for node in ("quantise0", "dequantise0"):
                _node(model, node).input[place] = name


def _four_bits(model: onnx.ModelProto) -> None:
    for name, dims in (("w0", [4, 2, 3, 3]), ("w0_z", [4])):
        item = next(item for item in model.graph.initializer if item.name == name)
        item.CopyFrom(helper.make_tensor(name, TensorProto.INT4, dims, [0] * int(np.prod(dims))))


def _eight_bit_float(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("own_z", TensorProto.FLOAT8E4M3FN, [], [0.0]))
    for node in ("quantise0", "dequantise0"):
        _node(model, node).input[2] = "own_z"


def _axis(model: onnx.ModelProto) -> None:
    """Of a transposed convolution, as of a plain one; with as many channels in as out the lengths still fit."""
    _set(model, "w1", np.ones((3, 3, 2, 2), np.int8))
    _node(model, "weight1").attribute[0].i = 0


def _blocks(model: onnx.ModelProto) -> None:
    _set(model, "w0_s", np.full((4, 1, 3, 3), 0.01, np.float32))
    _set(model, "w0_z", np.zeros((4, 1, 3, 3), np.int8))
    node = _node(model, "weight0")
    node.attribute[0].i = 1
    node.attribute.append(helper.make_attribute("block_size", 2))


def _quantised_bias(model: onnx.ModelProto) -> None:
    _set(model, "b0", np.ones(4, np.int8))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["b0", "s", "z"], ["b0_f"], "bias0"))
    _node(model, "conv").input[2] = "b0_f"


def _bias_of_32_bits(model: onnx.ModelProto) -> None:
    _set(model, "n", np.ones(4, np.int32))
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", ["n", "s", "n_z"], ["n_f"], "bias0"))
    _set(model, "n_z", np.int32(0))
    _node(model, "conv").input[2] = "n_f"


def _own_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    model.graph.node.append(helper.make_node("Polish", ["prob"], ["shiny"], "polish", domain="com.acme"))


def _branch(model: onnx.ModelProto) -> None:
    """The bad node lies in a branch of the graph."""
    _own_domain(model)
    odd = model.graph.node.pop()
    ends = [helper.make_tensor_value_info("shiny", TensorProto.FLOAT, None)]
    inner = helper.make_graph([odd], "inner", [], ends)
    _set(model, "yes", np.array(True))
    branches = {"then_branch": inner, "else_branch": inner}
    model.graph.node.append(helper.make_node("If", ["yes"], ["best"], "choice", **branches))


def _function(model: onnx.ModelProto) -> None:
    opsets = [helper.make_opsetid("", 20)]
    body = [helper.make_node("Relu", ["x"], ["y"])]
    model.functions.append(helper.make_function("com.acme", "Polish", ["x"], ["y"], body, opsets))


def _dynamic(model: onnx.ModelProto) -> None:
    outputs = ["dynamic", "scale", "zero"]
    model.graph.node.append(helper.make_node("DynamicQuantizeLinear", ["image"], outputs, "dynamic"))


def _integer_operator(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("ConvInteger", ["w1", "w0"], ["sum"], "integers"))


def _read_elsewhere(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Relu", ["q0"], ["other"], "relu"))


def _no_pair(model: onnx.ModelProto) -> None:
    _node(model, "dequantise0").input[0] = "given"
    model.graph.node.remove(_node(model, "quantise0"))


def _other_scale(model: onnx.ModelProto) -> None:
    _set(model, "own_s", np.float32(0.02))
    _node(model, "dequantise0").input[1] = "own_s"


def _computed_scale(model: onnx.ModelProto) -> None:
    for node in ("quantise0", "dequantise0"):
        _node(model, node).input[1] = "computed"


def _channels_of_no_weight(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("DequantizeLinear", ["w0", "w0_s", "w0_z"], ["g"], "table", axis=0))
    model.graph.node.append(helper.make_node("Relu", ["g"], ["h"], "relu"))


def _wide_in_the_file(model: onnx.ModelProto) -> None:
    _float_weight(model, largest=0.65)


def _float_weight(model: onnx.ModelProto, largest: float) -> None:
    """Let the file quantise the first weight itself; its smallest scale is 0.01."""
    _set(model, "w0", np.full((4, 2, 3, 3), largest, np.float32))
    model.graph.node.insert(
        0, helper.make_node("QuantizeLinear", ["w0", "w0_s", "w0_z"], ["w0_q"], "quantise_w", axis=0)
    )
    _node(model, "weight0").input[0] = "w0_q"


BROKEN: list[tuple[str, Edit, int, str]] = [
    ("an old operator set", lambda m: setattr(m.opset_import[0], "version", 17), 1, "operator set is 17"),
    ("an unused domain", lambda m: m.opset_import.append(helper.make_opsetid("com.acme", 1)), 1, "strip it"),
    ("an operator of another domain", _own_domain, 1, "polish is of the domain com.acme"),
    ("the same in a branch", _branch, 2, "polish is of the domain com.acme"),
    ("a function", _function, 1, "Polish is a function"),
    ("a dynamic range", _dynamic, 1, "dynamic is DynamicQuantizeLinear"),
    ("an integer operator", _integer_operator, 1, "integers is ConvInteger"),
    ("uint8", lambda m: _own_pair(m, own_z=np.uint8(0)), 2, "quantise0: its values are uint8; quantise to int8"),
    ("int4", _four_bits, 1, "weight0: its values are int4"),
    ("float8", _eight_bit_float, 2, "quantise0: its values are float8"),
    ("a zero point", lambda m: _own_pair(m, own_z=np.int8(3)), 2, "quantise0: its zero point is not 0"),
    ("no zero point", lambda m: _node(m, "weight0").input.pop(), 1, "weight0: it has no constant zero point"),
    ("a negative scale", lambda m: _set(m, "w0_s", -np.ones(4, np.float32)), 1, "weight0: a scale is not finite"),
    ("a scale of 0", lambda m: _set(m, "w0_s", np.zeros(4, np.float32)), 1, "weight0: a scale is not finite"),
    ("a scale of NaN", lambda m: _set(m, "w0_s", np.full(4, np.nan, np.float32)), 1, "weight0: a scale is not finite"),
    ("a computed scale", _computed_scale, 2, "quantise0: its scale is computed"),
    (
        "an activation per channel",
        lambda m: _own_pair(m, own_s=np.full(2, 0.01, np.float32), own_z=np.zeros(2, np.int8)),
        2,
        "quantise0: an activation has a scale per channel",
    ),
    ("the axis of the other kind", _axis, 1, "weight1: its scales are along axis 0; put them along axis 1"),
    ("scales in blocks", _blocks, 1, "weight0: its 36 scales are not along axis 1"),
    ("channels of no weight", _channels_of_no_weight, 1, "table: it has a scale per channel and is read as no weight"),
    ("a quantised bias", _quantised_bias, 1, "conv: its bias is quantised"),
    ("a bias of 32 bits", _bias_of_32_bits, 2, "bias0: its values are int32"),
    ("a reader besides", _read_elsewhere, 1, "quantise0: its output is not only read by DequantizeLinear"),
    ("half a pair", _no_pair, 1, "dequantise0: it reads neither a QuantizeLinear nor a constant"),
    (
        "weights of 8 bits",
        lambda m: _set(m, "w0", np.full((4, 2, 3, 3), 64, np.int8)),
        1,
        "conv: its weights run from 64",
    ),
    ("the least of 8 bits", lambda m: _set(m, "w1", np.full((4, 3, 2, 2), -65, np.int8)), 1, "from -65 to -65"),
    ("weights of 8 bits that are quantised in the file", _wide_in_the_file, 1, "keep them within -64 to 63"),
    ("two scales in a pair", _other_scale, 1, "quantise0: the DequantizeLinear behind it has another scale"),
]


def test_a_symmetric_graph_is_clean() -> None:
    assert _lint(_model()) == []
    check_qdq(bytes(_model().SerializeToString()))


@pytest.mark.parametrize(("edit", "count", "text"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_graph_that_breaks_one_rule_is_found_out_and_by_no_other_rule(edit: Edit, count: int, text: str) -> None:
    model = _model()
    edit(model)
    findings = _lint(model)
    assert len(findings) == count, findings
    assert any(text in finding for finding in findings), findings
    assert all(";" in finding for finding in findings)  # what is wrong; what to do


def test_a_graph_in_float_is_found_out() -> None:
    nodes = [helper.make_node("Relu", ["image"], ["prob"], "relu")]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("image", "prob")]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:])
    assert _lint(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])) == [
        "no convolution has both inputs quantised; quantise image and weights"
    ]


def test_weights_that_are_quantised_in_the_file_and_constants_that_are_nodes_are_clean() -> None:
    model = _model()
    constant = helper.make_node("Constant", [], ["z"], "zero", value=numpy_helper.from_array(np.asarray(np.int8(0))))
    model.graph.initializer.remove(next(item for item in model.graph.initializer if item.name == "z"))
    _float_weight(model, largest=0.63)
    model.graph.node.insert(0, constant)
    assert _lint(model) == []


@pytest.mark.parametrize(("operator", "axis", "attributes"), [("MatMul", 1, {}), ("Gemm", 0, {"transB": 1})])
def test_the_scales_of_a_matrix_lie_along_its_output_columns(
    operator: str, axis: int, attributes: dict[str, int]
) -> None:
    shape = (5, 3) if axis == 1 else (3, 5)

    def lint(along: int) -> list[str]:
        count = shape[along]
        constants = {
            "s": np.float32(0.01),
            "z": np.int8(0),
            "w": np.ones(shape, np.int8),
            "w_s": np.full(count, 0.01, np.float32),
            "w_z": np.zeros(count, np.int8),
        }
        nodes = [
            helper.make_node("QuantizeLinear", ["image", "s", "z"], ["q"], "quantise"),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["dq"], "dequantise"),
            helper.make_node("DequantizeLinear", ["w", "w_s", "w_z"], ["f"], "weight", axis=along - 2),
            helper.make_node(operator, ["dq", "f"], ["prob"], "product", **attributes),
        ]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("image", "prob")]
        tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
        graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], tensors)
        return _lint(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10))

    assert lint(axis) == []
    assert len(lint(1 - axis)) == 1
    assert f"put them along axis {axis}" in lint(1 - axis)[0]


def test_the_check_tells_the_first_findings_in_one_line_and_counts_the_rest(tmp_path: Path) -> None:
    model = _model()
    for name in ("w0_s", "w1_s", "s"):
        item = next(item for item in model.graph.initializer if item.name == name)
        _set(model, name, -numpy_helper.to_array(item))
    onnx.save(model, tmp_path / "model.onnx")
    assert len(lint_qdq(tmp_path / "model.onnx")) == 6
    with pytest.raises(EngineSpecError, match=r"quantise0: .*; dequantise0: .*; weight0: .*; and 3 more\. Make the"):
        check_qdq(tmp_path / "model.onnx")


def test_what_is_no_onnx_or_not_there_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\xff" * 64)
    for path in (tmp_path / "model.onnx", tmp_path / "missing.onnx"):
        with pytest.raises(EngineSpecError, match=r"the INT8 graph cannot be read: .*; install the engine again"):
            lint_qdq(path)


def test_without_onnx_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *arguments: Any, **options: Any) -> Any:
        if name == "onnx":
            raise ImportError("No module named 'onnx'")
        return real(name, *arguments, **options)

    content = bytes(_model().SerializeToString())
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(BackendUnavailableError, match="pip install onnx"):
        lint_qdq(content)
