"""A graph as a list of prepared functions, run one after the other.

Per frame there is a loop over the steps and nothing else: attributes, shapes and other constants became part of the
functions when the file was opened, and what depends on no input was computed then. A value is let go after the last
step that reads it. On CUDA the loop itself is gone too, because what it does is recorded once as a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from usassist.engine.onnx_torch.graph import Graph
from usassist.engine.onnx_torch.node import Node
from usassist.engine.onnx_torch.prepare import Call, prepare
from usassist.errors import EngineError

__all__ = ["Program"]


# Most processors have no sums of products in FP16, and what torch does instead takes a hundred times as long. So on a
# CPU these are computed in FP32 and rounded once, which is what a GPU does with its sums too.
_SUMS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


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
    channels_last : keep the channels of a place of a 2-D value side by side in memory; the answer is the same

    Raises
    ------
    EngineError
        If the graph holds an operator, or a way of an operator, that is not known. It names file, node and operator.
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
        """Let the weights go."""
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
    """Say of every step which values nobody reads after it."""
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
