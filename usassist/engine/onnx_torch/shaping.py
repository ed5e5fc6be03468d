"""Operators that move, join, spread, pad and select values, and those that compute with shapes."""

from __future__ import annotations

import numpy as np
import onnx
import torch
from torch.nn import functional

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


def _split(node: Node) -> Step:
    node.takes(1, 2)
    axis, count = node.attribute("axis", 0), len(node.outputs)
    if node.opset >= 18:
        node.one_of("num_outputs", count)
    read = node.axes(1)

    def run(x: torch.Tensor, lengths: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        given = read(lengths)
        if not given:  # equal parts, of which the last may be shorter
            part = -(-x.shape[axis] // count)
            given = (*[part] * (count - 1), x.shape[axis] - part * (count - 1))
        return tuple(torch.split_with_sizes(x, given, axis))

    return run


def _slice(node: Node) -> Step:
    node.takes(3, 5)
    starts, ends, axes = node.integers(1), node.integers(2), node.axes(3)
    steps = node.axes(4)

    def run(x: torch.Tensor, *given: torch.Tensor | None) -> torch.Tensor:
        first, last, along, by = (
            read(value) for read, value in zip((starts, ends, axes, steps), (*given, None, None), strict=False)
        )
        index = [slice(None)] * x.ndim
        flipped = []
        for axis, start, end, step in zip(
            along or range(len(first)), first, last, by or (1,) * len(first), strict=True
        ):
            if step > 0:
                index[axis] = slice(start, end, step)
                continue
            taken = range(*slice(start, end, step).indices(x.shape[axis]))  # torch has no steps backwards
            index[axis] = slice(taken[-1], taken[0] + 1, -step) if taken else slice(0, 0)
            flipped.append(axis)
        x = x[tuple(index)]
        return x.flip(flipped) if flipped else x

    return run


def _gather(node: Node) -> Step:
    node.takes(2)
    axis = node.attribute("axis", 0)
    value = node.constant(1)
    if value is not None and value.ndim == 0:
        index = int(node.number(1, 0))
        return lambda x, _: x.select(axis, index)

    def run(x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        along = axis % x.ndim
        places = torch.where(indices < 0, indices + x.shape[along], indices)
        picked = x.index_select(along, places.reshape(-1))
        return picked.reshape(*x.shape[:along], *indices.shape, *x.shape[along + 1 :])

    return run


def _top_k(node: Node) -> Step:
    node.takes(2)
    if not node.is_constant(1):
        raise node.refuse("K is not fixed")
    count = int(node.number(1, 0))
    axis, largest = node.attribute("axis", -1), bool(node.one_of("largest", 1, 0))
    node.one_of("sorted", 1, 0)

    def run(x: torch.Tensor, _: None) -> tuple[torch.Tensor, ...]:
        # torch.topk leaves open which of equal values it takes; ONNX takes those that come first.
        values, places = torch.sort(x, dim=axis, descending=largest, stable=True)
        return values.narrow(axis, 0, count), places.narrow(axis, 0, count)

    return run


_PAD_MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}


def _pad(node: Node) -> Step:
    node.takes(2, 4)
    mode = _PAD_MODES[node.one_of("mode", "constant", *_PAD_MODES)]
    pads = node.integers(1)
    if not node.is_constant(2):
        raise node.refuse("the value to pad with is not fixed")
    value = node.number(2, 0)
    if node.has(3) and node.opset < 18:
        raise node.refuse("4 inputs do not fit")
    axes = node.axes(3)

    def run(x: torch.Tensor, *given: torch.Tensor | None) -> torch.Tensor:
        sides = pads(given[0])
        along = axes(given[2] if len(given) > 2 else None) or tuple(range(x.ndim))
        by_axis = [(0, 0)] * x.ndim
        for axis, before, after in zip(along, sides[: len(along)], sides[len(along) :], strict=True):
            by_axis[axis] = (before, after)
        if mode == "constant":
            return functional.pad(x, _last_first(by_axis), mode, value)
        if by_axis[:2] != [(0, 0)] * 2:
            raise ValueError(f"mode {mode} pads batch or channels")
        return functional.pad(x, _last_first(by_axis[2:]), mode)

    return run


def _last_first(by_axis: list[tuple[int, int]]) -> list[int]:
    return [side for pair in reversed(by_axis) for side in pair]


SHAPING: dict[str, Builder] = {
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Dropout": _dropout,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Identity": _identity,
    "Pad": _pad,
    "Range": _range,
    "Reshape": _reshape,
    "Shape": _shape,
    "Size": _size,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "TopK": _top_k,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
