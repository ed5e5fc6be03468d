"""A graph as a list of prepared functions, run one after the other.

Per frame there is a loop over the steps and nothing else. Functions are looked up when the file is opened; attributes,
shapes and other constants become part of them, and what depends on no input is computed then. A value is released after
the last step that reads it. On CUDA the loop itself is recorded once as a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from usassist.engine.onnx_torch.arithmetic import ARITHMETIC
from usassist.engine.onnx_torch.graph import Graph
from usassist.engine.onnx_torch.layers import LAYERS
from usassist.engine.onnx_torch.node import Builder, Node, Step
from usassist.engine.onnx_torch.resize import RESIZE
from usassist.engine.onnx_torch.shaping import SHAPING
from usassist.errors import EngineError

__all__ = ["OPERATORS", "Call", "Program", "prepare"]

OPERATORS: dict[str, Builder] = {**ARITHMETIC, **LAYERS, **RESIZE, **SHAPING}
"""Name of an operator in ONNX → what makes a function of torch of a node."""

_SHAPES = ("Shape", "Size")
"""Operators whose result follows from shapes alone: it stays on the host."""

_QUANTISED = ("Quantize", "Dequantize", "DynamicQuantize", "QLinear", "ConvInteger", "MatMulInteger")
"""First letters of the INT8 operators. Refused: torch would compute them in float, with the rounding as extra work."""

# Most processors have no sums of products in FP16, and what torch does instead takes a hundred times as long. So on a
# CPU these are computed in FP32 and rounded once, which is what a GPU does with its sums too.
_SUMS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One function and the names of what it reads and writes; empty = left out.

    Attributes
    ----------
    on_host : its result follows from shapes alone, so it is computed on the CPU whatever the device
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
        If a node cannot be run as ONNX defines it. It names file, node and operator.
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
        on_host = node.op in _SHAPES or all(name in host for name in free)
        if on_host:
            host.update(filter(None, node.outputs))
        moved = tuple(
            index for index, name in enumerate(reads) if not on_host and name in host and index not in node.on_host
        )
        calls.append(Call(node=node, function=function, reads=reads, writes=node.outputs, on_host=on_host, moved=moved))
    return calls, constants


def _function(node: Node) -> Step:
    if node.op.startswith(_QUANTISED):
        raise node.refuse("torch would compute INT8 in float; use --precision fp32")
    if node.op not in OPERATORS:
        raise node.refuse("the operator is not supported")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A call whose values have places in a list; place 0 holds None, for what is left out."""

    node: Node
    function: Callable[..., Any]
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    done_with: tuple[int, ...]


class Program:
    """A graph, ready to run on one device.

    Parameters
    ----------
    graph : from ``read_graph``
    device : ``cpu``, ``cuda`` or ``cuda:0``
    channels_last : memory format of 2-D values; the result is the same

    Raises
    ------
    EngineError
        If the graph holds an operator, or a variant of one, that is not supported. It names file, node and operator.
    """

    def __init__(self, graph: Graph, device: str = "cpu", *, channels_last: bool = False) -> None:
        self._device = torch.device(device)
        self._channels_last = channels_last
        self._closed = False
        self._places: dict[str, int] = {"": 0}
        calls, constants = prepare(graph)
        self._inputs = {name: self._place(name) for name in graph.inputs}
        self._values: list[torch.Tensor | None] = [None] * len(self._places)
        steps = [self._step(call, constants) for call in calls]
        for name in constants.keys() & graph.outputs.keys():
            self._put(name, constants[name])
        missing = graph.outputs.keys() - self._places.keys()
        if missing:
            raise EngineError(f"{graph.file} computes no {', '.join(sorted(missing))}; install the engine again")
        self._outputs = [self._places[name] for name in graph.outputs]
        fixed = {place for place, value in enumerate(self._values) if value is not None}
        self._steps = _let_go(steps, {0, *fixed, *self._outputs})
        self._values += [None] * (len(self._places) - len(self._values))

    def run(self, inputs: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
        """Run it once, under ``torch.inference_mode``.

        Parameters
        ----------
        inputs : by name, on the device

        Returns
        -------
        outputs : in the order of the graph. They may share memory with an input or a constant.

        Raises
        ------
        EngineError
            If torch cannot run a node on this input, or the program is closed.
        """
        if self._closed:
            raise EngineError("the engine is closed; open it again")
        values = self._values.copy()
        for name, place in self._inputs.items():
            values[place] = self._arrange(inputs[name])
        step: _Step | None = None
        try:
            for step in self._steps:
                result = step.function(*[values[place] for place in step.reads])
                if isinstance(result, tuple):
                    for place, value in zip(step.writes, result, strict=False):
                        values[place] = value
                else:
                    values[step.writes[0]] = result
                for place in step.done_with:
                    values[place] = None
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            raise (step.node.refuse(error) if step else error) from error
        return [value.to(self._device) for place in self._outputs if (value := values[place]) is not None]

    def constants(self) -> list[torch.Tensor]:
        """The weights and other values that stay from one run to the next."""
        return [value for value in self._values if value is not None]

    def close(self) -> None:
        """Free the weights."""
        self._closed, self._values, self._steps = True, [], []

    def _arrange(self, value: torch.Tensor) -> torch.Tensor:
        plain = not self._channels_last or value.ndim != 4
        return value if plain else value.contiguous(memory_format=torch.channels_last)

    def _place(self, name: str) -> int:
        return self._places.setdefault(name, len(self._places))

    def _put(self, name: str, value: torch.Tensor) -> int:
        """Place of a constant, where it stays."""
        place = self._place(name)
        self._values += [None] * (place + 1 - len(self._values))
        self._values[place] = value
        return place

    def _step(self, call: Call, constants: dict[str, torch.Tensor]) -> _Step:
        in_float = self._device.type == "cpu" and call.node.op in _SUMS
        reads = []
        for index, name in enumerate(call.reads):
            if name not in constants:
                reads.append(self._place(name))
            elif call.on_host or index in call.node.on_host:
                reads.append(self._put(f"{name} on the host", constants[name]))
            else:
                value = constants[name].to(self._device)
                if in_float:
                    name, value = f"{name} in float", _widened(value)
                is_kernel = call.node.op in ("Conv", "ConvTranspose") and index == 1
                reads.append(self._put(name, self._arrange(value) if is_kernel else value))
        function = _in_float(call.function) if in_float else call.function
        if call.moved and self._device.type != "cpu":
            function = _moving(function, call.moved, self._device)
        # What the file does not name is computed and thrown away, each in a place of its own.
        writes = [self._place(name or f"{id(call)} {index}") for index, name in enumerate(call.writes)]
        return _Step(node=call.node, function=function, reads=tuple(reads), writes=tuple(writes), done_with=())


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype == torch.float16 else value


def _in_float(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(first: torch.Tensor, *rest: torch.Tensor | None) -> Any:
        if first.dtype != torch.float16:
            return function(first, *rest)
        return function(first.float(), *map(_widened, rest)).half()

    return run


def _moving(function: Callable[..., Any], moved: tuple[int, ...], device: torch.device) -> Callable[..., Any]:
    def run(*values: Any) -> Any:
        return function(*(value.to(device) if index in moved else value for index, value in enumerate(values)))

    return run


def _let_go(steps: list[_Step], kept: set[int]) -> list[_Step]:
    """Note for every step which values are read by none after it."""
    done = []
    read_later = set(kept)
    for step in reversed(steps):
        here = {*step.reads, *step.writes} - read_later
        read_later |= here
        done.append(
            _Step(
                node=step.node,
                function=step.function,
                reads=step.reads,
                writes=step.writes,
                done_with=tuple(sorted(here)),
            )
        )
    return done[::-1]
