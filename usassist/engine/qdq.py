"""Lint for INT8 ONNX: is it symmetric QDQ, the one form that every back end runs?

OpenVINO and ONNX Runtime accept much more than TensorRT does. A file that breaks a rule below runs on one of them, and
is refused by another, or silently computed in float there. The rules are those of TensorRT's explicit
quantisation (NVIDIA, *Working with Quantized Types*), the operator set from which FP16 and INT8 go together, and the
range of weights in which every processor computes the same.

That range is 7 bits. An x86 processor without VNNI adds two products of an unsigned and a signed byte in 16 bits
(``vpmaddubsw``), and what does not fit there becomes 32,767: 2 x 255 x 127 does not, 2 x 255 x 64 = 32,640 does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.errors import BackendUnavailableError, EngineSpecError

__all__ = ["MAX_CODE", "MIN_CODE", "MIN_OPSET", "check_qdq", "lint_qdq"]

Array = npt.NDArray[Any]

MIN_OPSET = 19
"""From here on the scales may be of either float type."""
MIN_CODE, MAX_CODE = -64, 63
"""Weights within this range cannot saturate 16-bit sums of two products."""

_STANDARD = ("", "ai.onnx")
_WEIGHT_AXIS = {"Conv": 0, "ConvTranspose": 1, "Gemm": 1, "MatMul": 1}  # of the output channels, in the second input
_OTHER_SCHEMES = ("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul")
_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Graph:
    """Lookup tables for the rules.

    Attributes
    ----------
    nodes : of the graph and of those in it
    constants : name → value
    maker : name → the node that gives it
    readers : name → the nodes that take it, each with the place
    ends : names of the graph's outputs
    """

    nodes: list[Any]
    constants: dict[str, Array]
    maker: dict[str, Any]
    readers: dict[str, list[tuple[Any, int]]]
    ends: set[str]


def check_qdq(source: Path | bytes) -> None:
    """Refuse a file in which :func:`lint_qdq` finds something.

    Raises
    ------
    EngineSpecError
        With the first findings, or if it is no ONNX.
    BackendUnavailableError
        If onnx is not installed.
    """
    findings = lint_qdq(source)
    if findings:
        more = f"; and {len(findings) - _SHOWN} more" if len(findings) > _SHOWN else ""
        raise EngineSpecError(
            f"the INT8 graph is not symmetric QDQ: {'; '.join(findings[:_SHOWN])}{more}. Make the INT8 again: "
            "usassist engine quantize"
        )


def lint_qdq(source: Path | bytes) -> list[str]:
    """List everything that keeps a file from being symmetric QDQ.

    Parameters
    ----------
    source : an ONNX file, or its content

    Returns
    -------
    findings : one line each, with the node and what to do; empty when there is none

    Raises
    ------
    EngineSpecError
        If it is no ONNX.
    BackendUnavailableError
        If onnx is not installed.
    """
    onnx = _import_onnx()
    try:
        model = onnx.load_from_string(source) if isinstance(source, bytes) else onnx.load(str(source))
    except Exception as error:  # the classes of protobuf derive from nothing narrower
        raise EngineSpecError(f"the INT8 graph cannot be read: {error}; install the engine again") from error
    graph = _look_up(onnx, model.graph)
    findings = list(_model_findings(model, {node.domain for node in graph.nodes}))
    for node in graph.nodes:
        if node.domain not in _STANDARD:
            findings.append(f"{_name(node)} is of the domain {node.domain}; export it with standard operators")
        elif node.op_type in _OTHER_SCHEMES:
            findings.append(f"{_name(node)} is {node.op_type}; write it as QuantizeLinear and DequantizeLinear")
        elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            findings += [f"{_name(node)}: {text}" for text in _pair_findings(node, graph)]
        elif node.op_type in _WEIGHT_AXIS and len(node.input) > 2 and _is_dequantised(node.input[2], graph):
            findings.append(f"{_name(node)}: its bias is quantised; keep biases in float")
    findings += [text for node in graph.nodes for text in _range_findings(node, graph)]
    if not any(_runs_in_int8(node, graph) for node in graph.nodes):
        findings.append("no convolution has both inputs quantised; quantise image and weights")
    return findings


def _model_findings(model: Any, used: set[str]) -> Iterator[str]:
    opset = next((entry.version for entry in model.opset_import if entry.domain in _STANDARD), 0)
    if opset < MIN_OPSET:
        yield f"the operator set is {opset}; export with {MIN_OPSET} or later"
    for entry in model.opset_import:
        if entry.domain not in _STANDARD and entry.domain not in used:
            yield f"the domain {entry.domain} is imported and not used; strip it"
    for function in model.functions:
        yield f"{function.name} is a function of the file's own; export it with standard operators"


def _pair_findings(node: Any, graph: _Graph) -> Iterator[str]:
    """What is wrong with one QuantizeLinear or DequantizeLinear."""
    quantises = node.op_type == "QuantizeLinear"
    zero = graph.constants.get(node.input[2]) if len(node.input) > 2 else None
    if zero is None:
        yield "it has no constant zero point; give it one, int8 and 0"
    elif zero.dtype != np.int8:
        yield f"its values are {zero.dtype}; quantise to int8"
    elif zero.any():
        yield "its zero point is not 0; quantise symmetrically"
    value = graph.constants.get(node.input[0])
    if not quantises and value is not None and value.dtype != np.int8 and (zero is None or zero.dtype == np.int8):
        yield f"its values are {value.dtype}; quantise to int8"
    yield from _scale_findings(node, graph)
    if quantises:
        readers = [reader for reader, place in graph.readers.get(node.output[0], []) if place == 0]
        if not readers or node.output[0] in graph.ends or any(item.op_type != "DequantizeLinear" for item in readers):
            yield "its output is not only read by DequantizeLinear; keep the two together"
        elif any(not _same_range(node, item, graph) for item in readers):
            yield "the DequantizeLinear behind it has another scale; give both the same"
    elif value is None:
        maker = graph.maker.get(node.input[0])
        if maker is None or maker.op_type != "QuantizeLinear":
            yield "it reads neither a QuantizeLinear nor a constant; put a QuantizeLinear before it"


def _scale_findings(node: Any, graph: _Graph) -> Iterator[str]:
    scale = graph.constants.get(node.input[1])
    if scale is None:
        yield "its scale is computed; give it a constant one"
        return
    if not np.isfinite(scale).all() or not (scale > 0).all():
        yield "a scale is not finite and above 0; calibrate it again"
    if scale.size == 1:
        return
    weight = graph.constants.get(node.input[0])
    if weight is None:
        maker = graph.maker.get(node.input[0])  # a float constant, quantised in the file: QuantizeLinear comes first
        weight = graph.constants.get(maker.input[0]) if maker is not None and "Quant" in maker.op_type else None
    if weight is None:
        yield "an activation has a scale per channel; give it one per tensor"
        return
    axis = int(_attribute(node, "axis", 1)) % max(1, weight.ndim)
    if scale.ndim != 1 or len(scale) != weight.shape[axis] or _attribute(node, "block_size", 0):
        yield f"its {scale.size} scales are not along axis {axis}; give one per tensor or per output channel"
        return
    wanted = {_channel_axis(reader, place, weight.ndim) for reader, place in _users(node, graph)}
    if None in wanted or not wanted:
        yield "it has a scale per channel and is read as no weight; give it one per tensor"
    elif wanted != {axis}:
        right = " or ".join(str(item) for item in sorted(item for item in wanted if item is not None))
        yield f"its scales are along axis {axis}; put them along axis {right}, the output channels"


def _range_findings(node: Any, graph: _Graph) -> Iterator[str]:
    """Weights of one operator that some processors would saturate."""
    pair = graph.maker.get(node.input[1]) if node.op_type in _WEIGHT_AXIS and len(node.input) > 1 else None
    if pair is None or pair.op_type != "DequantizeLinear":
        return
    codes = _codes(pair, graph)
    if codes is None or not codes.size:
        return
    least, most = int(codes.min()), int(codes.max())
    if least < MIN_CODE or most > MAX_CODE:
        yield (
            f"{_name(node)}: its weights run from {least} to {most}, which saturates on processors without VNNI; keep "
            f"them within {MIN_CODE} to {MAX_CODE}"
        )


def _codes(pair: Any, graph: _Graph) -> Array | None:
    """The int8 values that a DequantizeLinear reads, also where the file quantises a float constant to them."""
    codes = graph.constants.get(pair.input[0])
    if codes is not None:
        return codes if codes.dtype == np.int8 else None  # another type is another finding
    maker = graph.maker.get(pair.input[0])
    value = graph.constants.get(maker.input[0]) if maker is not None and maker.op_type == "QuantizeLinear" else None
    scale = graph.constants.get(maker.input[1]) if maker is not None and value is not None else None
    if value is None or scale is None or not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    if scale.size > 1:
        axis = int(_attribute(maker, "axis", 1)) % max(1, value.ndim)
        if scale.ndim != 1 or len(scale) != value.shape[axis]:
            return None
        scale = scale.reshape([-1 if side == axis else 1 for side in range(value.ndim)])
    return np.clip(np.rint(value.astype(np.float64) / scale), -128, 127)


def _users(node: Any, graph: _Graph) -> list[tuple[Any, int]]:
    """What reads a weight, behind the DequantizeLinear of a pair."""
    readers = graph.readers.get(node.output[0], [])
    if node.op_type == "DequantizeLinear":
        return readers
    return [user for reader, _ in readers if reader.op_type == "DequantizeLinear" for user in _users(reader, graph)]


def _channel_axis(node: Any, place: int, sides: int) -> int | None:
    """The axis of the output channels of the weight that a node reads in a place; None where that is no weight."""
    if node.op_type not in _WEIGHT_AXIS or place != 1:
        return None
    if node.op_type == "MatMul":
        return sides - 1
    if node.op_type == "Gemm" and _attribute(node, "transB", 0):
        return 0
    return _WEIGHT_AXIS[node.op_type]


def _same_range(first: Any, second: Any, graph: _Graph) -> bool:
    if first.input[1] == second.input[1]:
        return True
    one, other = (graph.constants.get(node.input[1]) for node in (first, second))
    return one is not None and other is not None and np.array_equal(one, other)


def _runs_in_int8(node: Any, graph: _Graph) -> bool:
    return node.op_type in _WEIGHT_AXIS and all(_is_dequantised(name, graph) for name in node.input[:2])


def _is_dequantised(name: str, graph: _Graph) -> bool:
    return name in graph.maker and graph.maker[name].op_type == "DequantizeLinear"


def _look_up(onnx: ModuleType, graph: Any) -> _Graph:
    found = _Graph(nodes=[], constants={}, maker={}, readers={}, ends=set())
    for inner in _graphs(graph):
        found.constants.update({item.name: onnx.numpy_helper.to_array(item) for item in inner.initializer})
        found.ends.update(item.name for item in inner.output)
        for node in inner.node:
            if node.op_type == "Constant" and node.attribute[0].HasField("t"):
                found.constants[node.output[0]] = onnx.numpy_helper.to_array(node.attribute[0].t)
                continue
            found.nodes.append(node)
            found.maker.update({name: node for name in node.output})
            for place, name in enumerate(node.input):
                found.readers.setdefault(name, []).append((node, place))
    return found


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph, and those in the branches and loops of it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _attribute(node: Any, name: str, default: int) -> int:
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def _name(node: Any) -> str:
    return str(node.name or f"{node.op_type} of {node.output[0]}")


def _import_onnx() -> ModuleType:
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError as error:
        raise BackendUnavailableError(f"onnx cannot be imported ({error}); run: pip install onnx") from error
    return onnx
