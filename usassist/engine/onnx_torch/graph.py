"""Reads an ONNX file: names, types, weights and nodes, checked as far as can be without running it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper

from usassist.errors import EngineError

__all__ = ["ADVICE", "OPSETS", "TYPES", "Graph", "constant", "read_graph"]

OPSETS = range(13, 21)
"""Supported opsets."""

ADVICE = "use --backend onnxruntime"

TYPES: dict[int, torch.dtype] = {
    onnx.TensorProto.FLOAT: torch.float32,
    onnx.TensorProto.FLOAT16: torch.float16,
    onnx.TensorProto.DOUBLE: torch.float64,
    onnx.TensorProto.INT8: torch.int8,
    onnx.TensorProto.UINT8: torch.uint8,
    onnx.TensorProto.INT16: torch.int16,
    onnx.TensorProto.INT32: torch.int32,
    onnx.TensorProto.INT64: torch.int64,
    onnx.TensorProto.BOOL: torch.bool,
}
"""Number of a type in ONNX → type in torch."""

Described = dict[str, tuple[str, tuple[int | None, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """What a file holds.

    Attributes
    ----------
    file : its name, for messages
    opset : of the plain ONNX operators, one of :data:`OPSETS`
    inputs, outputs : name → (dtype name, shape); None = free axis
    constants : the weights, on the CPU
    nodes : ``NodeProto`` in the order in which they run
    """

    file: str
    opset: int
    inputs: Described
    outputs: Described
    constants: dict[str, torch.Tensor]
    nodes: tuple[Any, ...]


def read_graph(path: Path) -> Graph:
    """Read an ONNX file.

    Raises
    ------
    EngineError
        If it cannot be read, is of an opset outside :data:`OPSETS`, or holds values of a type that is not known.
    """
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # the classes of protobuf derive from nothing narrower
        raise EngineError(f"{path.name} is no ONNX file that can be read: {error}; install the engine again") from error
    graph = model.graph
    if not graph.node or not graph.output or graph.sparse_initializer:
        raise EngineError(f"{path.name} has no nodes or no outputs, or sparse weights; install the engine again")
    opsets = {item.domain or "ai.onnx": item.version for item in model.opset_import}
    opset = opsets.get("ai.onnx", 0)
    if opset not in OPSETS:
        raise EngineError(
            f"PyTorch cannot run {path.name}: it is of opset {opset or 'none'}, supported are {OPSETS[0]} to "
            f"{OPSETS[-1]}; {ADVICE}"
        )
    constants = {}
    for weights in graph.initializer:
        try:
            constants[weights.name] = constant(weights)
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise EngineError(f"PyTorch cannot run {path.name}: weights {weights.name}: {error}; {ADVICE}") from error
    return Graph(
        file=path.name,
        opset=opset,
        inputs={
            name: described
            for name, described in (_describe(path.name, value) for value in graph.input)
            if name not in constants
        },
        outputs=dict(_describe(path.name, value) for value in graph.output),
        constants=constants,
        nodes=tuple(graph.node),
    )


def constant(tensor: Any) -> torch.Tensor:
    """A ``TensorProto`` as a tensor of its own on the CPU.

    Raises
    ------
    ValueError
        If its values are outside the file, are cut short, or are of a type that is not known.
    """
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ValueError("the values are in another file, which no hash covers")
    if tensor.data_type not in TYPES:
        raise ValueError(f"type {_type_name(tensor.data_type)} is not supported")
    return torch.from_numpy(numpy_helper.to_array(tensor).copy())


def _describe(file: str, value: Any) -> tuple[str, tuple[str, tuple[int | None, ...]]]:
    kind = value.type.tensor_type.elem_type  # 0 where it is no tensor
    if kind not in TYPES:
        raise EngineError(f"PyTorch cannot run {file}: {value.name} is of type {_type_name(kind)}; {ADVICE}")
    sides = value.type.tensor_type.shape.dim
    shape = tuple(side.dim_value if side.HasField("dim_value") else None for side in sides)
    return value.name, (str(TYPES[kind]).removeprefix("torch."), shape)


def _type_name(kind: int) -> str:
    return str(onnx.TensorProto.DataType.Name(kind)) if kind in onnx.TensorProto.DataType.values() else str(kind)
