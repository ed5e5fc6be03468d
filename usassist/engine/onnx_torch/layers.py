"""Layers with weights, windows or statistics: convolution, pooling, normalisation, matrix product.

torch pads a window layer equally on both sides; ONNX gives each side. Unequal sides are padded beforehand.
"""

from __future__ import annotations

import math

import torch
from torch.nn import functional

from usassist.engine.onnx_torch.node import Builder, Node, Step

__all__ = ["LAYERS"]

_CONV = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_CONV_TRANSPOSE = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d, 3: functional.conv_transpose3d}
_MAX_POOL = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE_POOL = {1: functional.avg_pool1d, 2: functional.avg_pool2d, 3: functional.avg_pool3d}


class _Window:
    """What all window layers have in common, one number per spatial axis.

    Attributes
    ----------
    kernel, stride, dilation : of the window
    before, after : padding; of no use where `automatic`
    """

    def __init__(self, node: Node, kernel: tuple[int, ...]) -> None:
        self.rank = len(kernel)
        if self.rank not in _CONV:
            raise node.refuse(f"it has {self.rank} spatial axes")
        self.kernel = kernel
        self.stride = self._sides(node, "strides", 1)
        self.dilation = self._sides(node, "dilations", 1)
        automatic = node.one_of("auto_pad", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
        pads = node.attribute("pads", ())
        if len(pads) not in (0, 2 * self.rank) or (pads and automatic != "NOTSET") or min(pads, default=0) < 0:
            raise node.refuse(f"pads = {pads} do not fit")
        self.before = pads[: self.rank] or (0,) * self.rank
        self.after = pads[self.rank :] or (0,) * self.rank
        self.automatic = automatic.startswith("SAME")
        self._upper = automatic == "SAME_UPPER"

    def _sides(self, node: Node, name: str, default: int) -> tuple[int, ...]:
        sides = node.attribute(name, (default,) * self.rank)
        if len(sides) != self.rank:
            raise node.refuse(f"{name} = {sides} do not fit a kernel of {self.kernel}")
        return sides

    def padding(self, x: torch.Tensor, *, ceil: bool = False) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Padding before and after for an input of this size; with `ceil` the last window may begin inside only."""
        before, after = list(self.before), list(self.after)
        for axis, length in enumerate(x.shape[2:]):
            stride, reach = self.stride[axis], self.dilation[axis] * (self.kernel[axis] - 1) + 1
            if self.automatic:
                total = max((math.ceil(length / stride) - 1) * stride + reach - length, 0)
                before[axis] = total // 2 if self._upper else total - total // 2
                after[axis] = total - before[axis]
            elif ceil:
                windows = math.ceil((length + before[axis] + after[axis] - reach) / stride) + 1
                if (windows - 1) * stride >= length + before[axis]:
                    windows -= 1
                after[axis] = (windows - 1) * stride + reach - length - before[axis]
        return tuple(before), tuple(after)


def _pad(x: torch.Tensor, before: tuple[int, ...], after: tuple[int, ...], value: float) -> torch.Tensor:
    if not any(before) and not any(after):
        return x
    return functional.pad(
        x, [side for pair in zip(reversed(before), reversed(after), strict=True) for side in pair], "constant", value
    )


def _kernel(node: Node) -> tuple[int, ...]:
    """The kernel of a convolution, from its attribute or its weights, which must agree."""
    weights = node.constant(1)
    declared: tuple[int, ...] = node.attribute("kernel_shape", ())
    found = declared if weights is None else tuple(weights.shape[2:])
    if declared not in ((), found) or not found:
        raise node.refuse(f"kernel_shape {declared} does not fit weights of {found}")
    return found


def _conv(node: Node) -> Step:
    node.takes(2, 3)
    window, groups = _Window(node, _kernel(node)), node.attribute("group", 1)
    function, stride, dilation, padding = _CONV[window.rank], window.stride, window.dilation, window.before
    if window.before == window.after and not window.automatic:
        return lambda x, w, b=None: function(x, w, b, stride, padding, dilation, groups)

    def run(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
        return function(_pad(x, *window.padding(x), 0.0), w, b, stride, 0, dilation, groups)

    return run


def _conv_transpose(node: Node) -> Step:
    node.takes(2, 3)
    window, groups = _Window(node, _kernel(node)), node.attribute("group", 1)
    if window.automatic:
        raise node.refuse("auto_pad = SAME is not supported")
    if node.attribute("output_shape", ()):
        raise node.refuse("output_shape is not supported")
    extra = node.attribute("output_padding", (0,) * window.rank)
    function, stride, dilation = _CONV_TRANSPOSE[window.rank], window.stride, window.dilation
    before, after = window.before, window.after
    if before == after:
        return lambda x, w, b=None: function(x, w, b, stride, before, extra, groups, dilation)

    def run(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
        y = function(x, w, b, stride, 0, extra, groups, dilation)
        for axis, (first, last) in enumerate(zip(before, after, strict=True), 2):
            y = y.narrow(axis, first, y.shape[axis] - first - last)
        return y

    return run


def _max_pool(node: Node) -> Step:
    node.takes(1)
    node.gives(1)
    window = _Window(node, node.required("kernel_shape", tuple))
    ceil = bool(node.one_of("ceil_mode", 0, 1))
    node.one_of("storage_order", 0)
    function, kernel, stride, dilation = _MAX_POOL[window.rank], window.kernel, window.stride, window.dilation
    fits = all(2 * side <= width for side, width in zip(window.before, kernel, strict=True))  # a condition of torch
    if window.before == window.after and fits and not window.automatic and not ceil:
        padding = window.before
        return lambda x: function(x, kernel, stride, padding, dilation)

    def run(x: torch.Tensor) -> torch.Tensor:
        return function(_pad(x, *window.padding(x, ceil=ceil), -math.inf), kernel, stride, 0, dilation)

    return run


def _average_pool(node: Node) -> Step:
    node.takes(1)
    window = _Window(node, node.required("kernel_shape", tuple))
    if set(window.dilation) != {1}:
        raise node.refuse(f"dilations = {window.dilation} are not supported")
    ceil, with_pads = bool(node.one_of("ceil_mode", 0, 1)), bool(node.one_of("count_include_pad", 0, 1))
    if ceil and with_pads:
        raise node.refuse("ceil_mode = 1 with count_include_pad = 1 is not supported")
    function, kernel, stride = _AVERAGE_POOL[window.rank], window.kernel, window.stride
    if not any(window.before + window.after) and not window.automatic and not ceil:
        return lambda x: function(x, kernel, stride)

    def run(x: torch.Tensor) -> torch.Tensor:
        padding = window.padding(x, ceil=ceil)
        y = function(_pad(x, *padding, 0.0), kernel, stride)
        if with_pads:
            return y
        ones = torch.ones((1, 1, *x.shape[2:]), dtype=x.dtype, device=x.device)
        return y / function(_pad(ones, *padding, 0.0), kernel, stride)

    return run


def _global_average_pool(node: Node) -> Step:
    node.takes(1)
    return lambda x: x.mean(tuple(range(2, x.ndim)), keepdim=True)


def _global_max_pool(node: Node) -> Step:
    node.takes(1)
    return lambda x: x.amax(tuple(range(2, x.ndim)), keepdim=True)


def _batch_norm(node: Node) -> Step:
    node.takes(5)
    node.gives(1)
    node.one_of("training_mode", 0)
    node.attribute("momentum", 0.9)
    epsilon = node.attribute("epsilon", 1e-5)
    return lambda x, w, b, mean, var: functional.batch_norm(x, mean, var, w, b, eps=epsilon)


def _instance_norm(node: Node) -> Step:
    node.takes(3)
    epsilon = node.attribute("epsilon", 1e-5)
    # The same as groups of one channel, and torch allows a single value per channel there.
    return lambda x, w, b: torch.group_norm(x, x.shape[1], w, b, epsilon)


def _group_norm(node: Node) -> Step:
    node.takes(3)
    epsilon, groups = node.attribute("epsilon", 1e-5), node.required("num_groups", int)

    def run(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        each = x.shape[1] // groups  # up to opset 20 scale and bias are one per group
        return torch.group_norm(x, groups, w.repeat_interleave(each), b.repeat_interleave(each), epsilon)

    return run


def _layer_norm(node: Node) -> Step:
    node.takes(2, 3)
    node.gives(1)
    node.one_of("stash_type", 1)
    axis, epsilon = node.attribute("axis", -1), node.attribute("epsilon", 1e-5)

    def run(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
        sides = x.shape[axis:]
        return functional.layer_norm(x, sides, w.expand(sides), None if b is None else b.expand(sides), epsilon)

    return run


def _gemm(node: Node) -> Step:
    node.takes(2, 3)
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    turn_a, turn_b = bool(node.one_of("transA", 0, 1)), bool(node.one_of("transB", 0, 1))

    def run(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor | None = None) -> torch.Tensor:
        a, b = a.t() if turn_a else a, b.t() if turn_b else b
        if c is None:
            return a @ b if alpha == 1 else alpha * (a @ b)
        return torch.addmm(c, a, b, beta=beta, alpha=alpha)

    return run


def _matmul(node: Node) -> Step:
    node.takes(2)
    return lambda a, b: torch.matmul(a, b)


LAYERS: dict[str, Builder] = {
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "GlobalMaxPool": _global_max_pool,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "MaxPool": _max_pool,
}
