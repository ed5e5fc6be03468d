"""Elementwise operators and reductions."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from usassist.engine.onnx_torch.graph import TYPES
from usassist.engine.onnx_torch.node import Builder, Node, Step

__all__ = ["ARITHMETIC"]


def _plain(function: Step, inputs: int) -> Builder:
    """An operator without attributes that torch has under another name."""

    def build(node: Node) -> Step:
        node.takes(inputs)
        return function

    return build


def _divide(node: Node) -> Step:
    node.takes(2)

    def run(x: torch.Tensor, y: torch.Tensor) -> Any:
        return torch.div(x, y) if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")

    return run


def _power(node: Node) -> Step:
    node.takes(2)
    return lambda x, y: torch.pow(x, y).to(x.dtype)


def _many(function: Step) -> Builder:
    """An operator of one or more inputs."""

    def build(node: Node) -> Step:
        node.takes(1, len(node.inputs))

        def run(first: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
            for other in rest:
                first = function(first, other)
            return first

        return run

    return build


def _clip(node: Node) -> Step:
    node.takes(1, 3)
    if node.is_constant(1) and node.is_constant(2):
        least, most = node.number(1, None), node.number(2, None)
        if least is None and most is None:
            return lambda x, *_: x
        return lambda x, *_: torch.clamp(x, least, most)

    def run(x: torch.Tensor, least: torch.Tensor | None = None, most: torch.Tensor | None = None) -> torch.Tensor:
        if least is not None:
            x = torch.maximum(x, least)
        return x if most is None else torch.minimum(x, most)

    return run


def _leaky_relu(node: Node) -> Step:
    node.takes(1)
    slope = node.attribute("alpha", 0.01)
    return lambda x: functional.leaky_relu(x, slope)


def _elu(node: Node) -> Step:
    node.takes(1)
    alpha = node.attribute("alpha", 1.0)
    return lambda x: functional.elu(x, alpha)


def _prelu(node: Node) -> Step:
    node.takes(2)
    return lambda x, slope: torch.where(x < 0, x * slope, x)


def _gelu(node: Node) -> Step:
    node.takes(1)
    approximate = node.one_of("approximate", "none", "tanh")
    return lambda x: functional.gelu(x, approximate=approximate)


def _hard_sigmoid(node: Node) -> Step:
    node.takes(1)
    alpha, beta = node.attribute("alpha", 0.2), node.attribute("beta", 0.5)
    return lambda x: torch.clamp(x * alpha + beta, 0, 1)


def _softmax(function: Step) -> Builder:
    def build(node: Node) -> Step:
        node.takes(1)
        axis = node.attribute("axis", -1)
        return lambda x: function(x, axis)

    return build


def _cast(node: Node) -> Step:
    node.takes(1)
    node.one_of("saturate", 1)  # only for 8-bit floats, which are refused
    kind = node.required("to", int)
    if kind not in TYPES:
        raise node.refuse(f"to = {kind} is not supported")
    dtype = TYPES[kind]
    return lambda x: x.to(dtype)


def _reduce(function: Step, axes_since: int) -> Builder:
    """A reduction, whose axes are an input from an opset on and an attribute before it."""

    def build(node: Node) -> Step:
        as_input = node.opset >= axes_since
        node.takes(1, 2 if as_input else 1)
        axes = node.axes(1 if as_input else None)
        keep = bool(node.one_of("keepdims", 1, 0))
        nothing = bool(node.one_of("noop_with_empty_axes", 0, 1)) if as_input else False

        def run(x: torch.Tensor, given: torch.Tensor | None = None) -> torch.Tensor:
            chosen = axes(given)
            if not chosen and nothing:
                return x
            result: torch.Tensor = function(x, chosen or tuple(range(x.ndim)), keep)
            return result

        return run

    return build


def _arg(function: Step) -> Builder:
    def build(node: Node) -> Step:
        node.takes(1)
        axis, keep = node.attribute("axis", 0), bool(node.one_of("keepdims", 1, 0))
        node.one_of("select_last_index", 0)
        return lambda x: function(x, axis, keep)

    return build


def _sum(x: torch.Tensor, axes: tuple[int, ...], keep: bool) -> torch.Tensor:
    return torch.sum(x, axes, keep, dtype=x.dtype)  # torch would widen whole numbers


ARITHMETIC: dict[str, Builder] = {
    "Abs": _plain(torch.abs, 1),
    "Add": _plain(torch.add, 2),
    "And": _plain(torch.logical_and, 2),
    "ArgMax": _arg(torch.argmax),
    "ArgMin": _arg(torch.argmin),
    "Cast": _cast,
    "Ceil": _plain(torch.ceil, 1),
    "Clip": _clip,
    "Div": _divide,
    "Elu": _elu,
    "Equal": _plain(torch.eq, 2),
    "Erf": _plain(torch.erf, 1),
    "Exp": _plain(torch.exp, 1),
    "Floor": _plain(torch.floor, 1),
    "Gelu": _gelu,
    "Greater": _plain(torch.gt, 2),
    "GreaterOrEqual": _plain(torch.ge, 2),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(functional.hardswish, 1),
    "LeakyRelu": _leaky_relu,
    "Less": _plain(torch.lt, 2),
    "LessOrEqual": _plain(torch.le, 2),
    "Log": _plain(torch.log, 1),
    "LogSoftmax": _softmax(torch.log_softmax),
    "Max": _many(torch.maximum),
    "Min": _many(torch.minimum),
    "Mul": _plain(torch.mul, 2),
    "Neg": _plain(torch.neg, 1),
    "Not": _plain(torch.logical_not, 1),
    "Or": _plain(torch.logical_or, 2),
    "PRelu": _prelu,
    "Pow": _power,
    "Reciprocal": _plain(torch.reciprocal, 1),
    "ReduceL2": _reduce(lambda x, axes, keep: torch.linalg.vector_norm(x, dim=axes, keepdim=keep), 18),
    "ReduceMax": _reduce(torch.amax, 18),
    "ReduceMean": _reduce(torch.mean, 18),
    "ReduceMin": _reduce(torch.amin, 18),
    "ReduceSum": _reduce(_sum, 13),
    "Relu": _plain(torch.relu, 1),
    "Round": _plain(torch.round, 1),
    "Sigmoid": _plain(torch.sigmoid, 1),
    "Softmax": _softmax(torch.softmax),
    "Softplus": _plain(functional.softplus, 1),
    "Sqrt": _plain(torch.sqrt, 1),
    "Sub": _plain(torch.sub, 2),
    "Sum": _many(torch.add),
    "Tanh": _plain(torch.tanh, 1),
    "Where": _plain(torch.where, 3),
}
