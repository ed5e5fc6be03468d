"""One node of a graph, as the table of operators sees it while a file is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import onnx
import torch

from usassist.engine.onnx_torch.graph import ADVICE
from usassist.errors import EngineError

__all__ = ["Builder", "Node", "Reader", "Step"]

T = TypeVar("T")

Step = Callable[..., Any]
"""What a node becomes: its inputs as tensors (None = left out) → its output, or a tuple of its outputs."""

Reader = Callable[[torch.Tensor | None], tuple[int, ...]]
"""Gives the integers of an input such as a shape; those of a constant are read once."""


class Node:
    """One node: attributes that are read by name and type, and inputs that are known when the file is opened.

    Parameters
    ----------
    proto : ``NodeProto``
    file : name of the file, for messages
    opset : of the file
    constants : values that do not depend on an input

    Attributes
    ----------
    op : name of the operator, with its domain where it has one
    inputs, outputs : names; empty = left out
    taken : inputs whose constants have become part of the function, and need not be handed to it
    on_host : inputs that are needed as whole numbers at every run, so they must not depend on the data
    """

    def __init__(self, proto: Any, file: str, opset: int, constants: Mapping[str, torch.Tensor]) -> None:
        self.op: str = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}:{proto.op_type}"
        self.name: str = proto.name
        self.opset = opset
        self.inputs: tuple[str, ...] = tuple(proto.input)
        self.outputs: tuple[str, ...] = tuple(proto.output)
        self.taken: set[int] = set()
        self.on_host: set[int] = set()
        self._file = file
        self._constants = constants
        self._attributes: dict[str, Any] = {item.name: item for item in proto.attribute}

    def refuse(self, reason: object) -> EngineError:
        """The error that names file, node and operator."""
        lines = str(reason).strip().splitlines() or [type(reason).__name__]
        first = lines[0]
        return EngineError(
            f"PyTorch cannot run {self._file}: operator {self.op}, node {self.name or self.outputs}: {first}; {ADVICE}"
        )

    def optional(self, name: str, kind: type[T]) -> T | None:
        """The value of an attribute; None where the file does not give it. Each may be read once.

        Raises
        ------
        EngineError
            If the file gives it another type.
        """
        if name not in self._attributes:
            return None
        value = onnx.helper.get_attribute_value(self._attributes.pop(name))
        if isinstance(value, bytes):
            value = value.decode(errors="replace")
        elif isinstance(value, list):
            value = tuple(value)
        if not isinstance(value, kind):
            raise self.refuse(f"{name} is {value}, which has the wrong type")
        return value

    def attribute(self, name: str, default: T) -> T:
        """The value of an attribute, of the type of its default."""
        value = self.optional(name, type(default))
        return default if value is None else value

    def required(self, name: str, kind: type[T]) -> T:
        """The value of an attribute that must be there."""
        value = self.optional(name, kind)
        if value is None:
            raise self.refuse(f"attribute {name} is missing")
        return value

    def one_of(self, name: str, default: T, *known: T) -> T:
        """As `attribute`, and refused when it is neither the default nor one of `known`."""
        value = self.attribute(name, default)
        if value != default and value not in known:
            raise self.refuse(f"{name} = {value} is not supported")
        return value

    def finish(self) -> None:
        """Refuse attributes that were not read: they might change the result."""
        if self._attributes:
            raise self.refuse(f"attribute {', '.join(self._attributes)} is not supported")

    def takes(self, least: int, most: int | None = None) -> None:
        """Refuse another number of inputs."""
        if not least <= len(self.inputs) <= (most or least) or not all(self.inputs[:least]):
            raise self.refuse(f"{len(self.inputs)} inputs do not fit")

    def gives(self, most: int) -> None:
        """Refuse more outputs than are computed."""
        if any(self.outputs[most:]):
            raise self.refuse(f"output {most + 1} is not computed")

    def has(self, index: int) -> bool:
        """True when an input is not left out."""
        return index < len(self.inputs) and self.inputs[index] != ""

    def constant(self, index: int) -> torch.Tensor | None:
        """An input's value where it does not depend on an input of the graph."""
        return self._constants.get(self.inputs[index]) if self.has(index) else None

    def is_constant(self, index: int) -> bool:
        """True when an input is left out or is a constant."""
        return not self.has(index) or self.inputs[index] in self._constants

    def number(self, index: int, default: T) -> float | int | T:
        """The single value of a constant input, which then need not be handed over any more."""
        value = self.constant(index)
        if value is None:
            return default
        self.taken.add(index)
        number: float | int = value.item()
        return number

    def integers(self, index: int) -> Reader:
        """A reader of an input of whole numbers. A constant is read now, and need not be handed over any more."""
        value = self.constant(index)
        if value is None:
            self.on_host.add(index)
            return _read
        self.taken.add(index)
        numbers = _read(value)
        return lambda _: numbers

    def axes(self, index: int | None) -> Reader:
        """A reader of the axes, which are an input `index` or, where that is None, an attribute; () = not given."""
        if index is None:
            numbers: tuple[int, ...] = self.attribute("axes", ())
            return lambda _: numbers
        return self.integers(index) if self.has(index) else lambda _: ()


def _read(value: torch.Tensor | None) -> tuple[int, ...]:
    if value is None:
        raise ValueError("an input that it needs is left out")
    return tuple(int(number) for number in value.reshape(-1).tolist())


Builder = Callable[[Node], Step]
"""What the table holds: a node → its function; raises `Node.refuse` for what torch would compute in another way."""
