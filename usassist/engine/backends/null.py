"""Computes nothing: zeros of the declared shapes, to run everything else where no runtime is at hand.

A free side of an output is as long as the axis of the same letter of the first input that has it, or 1.

Every result made with it is published as ``no_result`` with the cause ``null_engine``, so that it can never be taken
for an empty scene.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine.base import Session, Tensors
from usassist.engine.spec import EngineSpec

__all__ = ["FORMATS", "PRECISIONS", "REQUIRES", "open"]

REQUIRES = ()
FORMATS = ("onnx",)
PRECISIONS = ("fp32", "fp16", "int8")


class _NullSession:
    device = "none"

    def __init__(self, spec: EngineSpec) -> None:
        self.inputs = {tensor.name: (tensor.dtype, tensor.shape) for tensor in spec.inputs}
        self.outputs = {tensor.name: (tensor.dtype, tensor.shape) for tensor in spec.outputs}
        self._spec = spec
        self._zeros: dict[str, npt.NDArray[Any]] = {}

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        sides: dict[str, int] = {}
        for tensor in self._spec.inputs:
            for letter, side in zip(tensor.layout, inputs[tensor.name].shape, strict=True):
                sides.setdefault(letter, side)
        for tensor in self._spec.outputs:
            shape = tuple(
                sides.get(letter, 1) if side is None else side
                for letter, side in zip(tensor.layout, tensor.shape, strict=True)
            )
            if tensor.name not in self._zeros or self._zeros[tensor.name].shape != shape:
                self._zeros[tensor.name] = np.zeros(shape, tensor.dtype)
        return self._zeros

    def close(self) -> None:
        pass


def open(spec: EngineSpec, path: Path, *, device: str, threads: int, precision: str) -> Session:
    """Make zeros ready; the weights are not read."""
    return _NullSession(spec)
