"""From nodes to prepared calls: functions looked up, constants computed, shapes kept on the host."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from usassist.engine.onnx_torch.graph import Graph
from usassist.engine.onnx_torch.node import Node, Step
from usassist.engine.onnx_torch.operators import OPERATORS, QUANTISED, SHAPES

__all__ = ["Call", "prepare"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One function and the names of what it reads and writes; empty = left out.

    Attributes
    ----------
    on_host : its answer follows from shapes alone, so it is computed on the CPU whatever the device
    moved : places among `reads` of values that are on the host and needed on the device
    """

    node: Node
    function: Callable[..., Any]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    on_host: bool
    moved: tuple[int, ...]


def prepare(graph: Graph) -> tuple[list[Call], dict[str, torch.Tensor]]:
    """Turn the nodes of a graph into calls.

    Returns
    -------
    calls : in the order in which they run
    constants : the weights, and what depends on nothing but them, on the CPU

    Raises
    ------
    EngineError
        If a node cannot be run as ONNX says. It names file, node and operator.
    """
    constants = dict(graph.constants)
    host: set[str] = set()
    known = {"", *graph.inputs, *constants}
    calls = []
    for proto in graph.nodes:
        node = Node(proto, graph.file, graph.opset, constants)
        function = _function(node)
        missing = [name for name in node.inputs if name not in known]
        if missing or known.intersection(filter(None, node.outputs)) or not any(node.outputs):
            raise node.refuse(f"its inputs or outputs {', '.join(missing or node.outputs)} do not fit the graph")
        known.update(node.outputs)
        reads = tuple("" if index in node.taken else name for index, name in enumerate(node.inputs))
        free = [name for name in reads if name and name not in constants]
        if not free and all(name in constants for name in node.inputs if name):
            constants.update(_fold(node, function, reads, constants))
            continue
        for index in node.on_host:
            if reads[index] not in host:
                raise node.refuse(f"its input {reads[index]} depends on the data")
        on_host = node.op in SHAPES or all(name in host for name in free)
        if on_host:
            host.update(filter(None, node.outputs))
        moved = tuple(
            index for index, name in enumerate(reads) if not on_host and name in host and index not in node.on_host
        )
        calls.append(Call(node=node, function=function, reads=reads, writes=node.outputs, on_host=on_host, moved=moved))
    return calls, constants


def _function(node: Node) -> Step:
    if node.op.startswith(QUANTISED):
        raise node.refuse("torch would compute INT8 in float; use --precision fp32")
    if node.op not in OPERATORS:
        raise node.refuse("the operator is not known")
    try:
        function = OPERATORS[node.op](node)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise node.refuse(f"it is malformed: {error}") from error
    node.finish()
    return function


def _fold(
    node: Node, function: Step, reads: tuple[str, ...], constants: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    try:
        with torch.inference_mode():
            result = function(*[constants.get(name) for name in reads])
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise node.refuse(error) from error
    results = result if isinstance(result, tuple) else (result,)
    return {name: value for name, value in zip(node.outputs, results, strict=False) if name}
