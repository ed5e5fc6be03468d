"""The table of operators: its name in ONNX → what makes a function of torch of a node."""

from __future__ import annotations

from usassist.engine.onnx_torch.arithmetic import ARITHMETIC
from usassist.engine.onnx_torch.layers import LAYERS
from usassist.engine.onnx_torch.node import Builder
from usassist.engine.onnx_torch.picking import PICKING
from usassist.engine.onnx_torch.resize import RESIZE
from usassist.engine.onnx_torch.shaping import SHAPING

__all__ = ["OPERATORS", "QUANTISED", "SHAPES"]

OPERATORS: dict[str, Builder] = {**ARITHMETIC, **LAYERS, **PICKING, **RESIZE, **SHAPING}

SHAPES = ("Shape", "Size")
"""Operators whose answer is known from the shapes alone: it stays on the host."""

QUANTISED = ("Quantize", "Dequantize", "DynamicQuantize", "QLinear", "ConvInteger", "MatMulInteger")
"""How the operators of INT8 begin. Refused: torch would compute them in float, with the rounding as extra work."""
