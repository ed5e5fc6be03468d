"""Operators that move, join and spread values, and those that compute with shapes."""

from __future__ import annotations

import numpy as np
import onnx
import torch

from usassist.engine.onnx_torch.graph import constant
from usassist.engine.onnx_torch.node import Builder, Node, Step

__all__ = ["SHAPING"]


def _constant(node: Node) -> Step:
    node.takes(0)
    value = node.optional("value", onnx.TensorProto)
    if value is not None:
        tensor = constant(value)
    else:
        found = [
            torch.tensor(given, dtype=torch.float32 if "float" in name else torch.int64)
            for name, kind in (
                ("value_float", float),
                ("value_floats", tuple),
                ("value_int", int),
                ("value_ints", tuple),
            )
            if (given := node.optional(name, kind)) is not None
        ]
        if len(found) != 1:
            raise node.refuse("it must have exactly one value, of numbers")
        tensor = found[0]
    return lambda: tensor


def _identity(node: Node) -> Step:
    node.takes(1)
    return lambda x: x


def _dropout(node: Node) -> Step:
    node.takes(1, 3)
    node.gives(1)
    node.attribute("seed", 0)
    if not node.is_constant(2) or node.number(2, False):
        raise node.refuse("it is set to training")
    return lambda x, *_: x


def _shape(node: Node) -> Step:
    node.takes(1)
    start, end = (node.attribute("start", 0), node.optional("end", int)) if node.opset >= 15 else (0, None)
    return lambda x: torch.tensor(tuple(x.shape)[start:end], dtype=torch.int64)


def _size(node: Node) -> Step:
    node.takes(1)
    return lambda x: torch.tensor(x.numel(), dtype=torch.int64)


def _reshape(node: Node) -> Step:
    node.takes(2)
    read = node.integers(1)
    keeps_zero = bool(node.one_of("allowzero", 0, 1)) if node.opset >= 14 else False

    def run(x: torch.Tensor, shape: torch.Tensor | None) -> torch.Tensor:
        sides = read(shape)
        if not keeps_zero and 0 in sides:
            sides = tuple(side or x.shape[axis] for axis, side in enumerate(sides))
        return x.reshape(sides)

    return run


def _flatten(node: Node) -> Step:
    node.takes(1)
    axis = node.attribute("axis", 1)

    def run(x: torch.Tensor) -> torch.Tensor:
        rows = 1
        for side in x.shape[: axis if axis >= 0 else x.ndim + axis]:
            rows *= side
        return x.reshape(rows, -1) if x.numel() else x.reshape(rows, x.numel() // max(1, rows))

    return run


def _transpose(node: Node) -> Step:
    node.takes(1)
    order: tuple[int, ...] = node.attribute("perm", ())
    return lambda x: x.permute(order or tuple(reversed(range(x.ndim))))


def _unsqueeze(node: Node) -> Step:
    node.takes(2)
    read = node.integers(1)

    def run(x: torch.Tensor, axes: torch.Tensor | None) -> torch.Tensor:
        given = read(axes)
        rank = x.ndim + len(given)
        for axis in sorted(axis % rank for axis in given):
            x = x.unsqueeze(axis)
        return x

    return run


def _squeeze(node: Node) -> Step:
    node.takes(1, 2)
    read = node.axes(1)

    def run(x: torch.Tensor, axes: torch.Tensor | None = None) -> torch.Tensor:
        given = read(axes)
        if any(x.shape[axis] != 1 for axis in given):
            raise ValueError(f"axes {given} of shape {tuple(x.shape)} are not all of length 1")
        return x.squeeze(given) if given else x.squeeze()

    return run


def _concat(node: Node) -> Step:
    node.takes(1, len(node.inputs))
    axis = node.required("axis", int)
    return lambda *parts: torch.cat(parts, axis)


def _expand(node: Node) -> Step:
    node.takes(2)
    read = node.integers(1)
    return lambda x, shape: x.expand(np.broadcast_shapes(tuple(x.shape), read(shape)))


def _constant_of_shape(node: Node) -> Step:
    node.takes(1)
    value = node.optional("value", onnx.TensorProto)
    fill = torch.zeros(1) if value is None else constant(value)
    read = node.integers(0)
    return lambda shape: fill.reshape(()).expand(read(shape))


def _range(node: Node) -> Step:
    node.takes(3)
    return lambda start, end, step: torch.arange(start.item(), end.item(), step.item(), dtype=start.dtype)


SHAPING: dict[str, Builder] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Identity": _identity,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
