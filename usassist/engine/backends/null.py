"""Computes nothing: zeros of the declared shapes, to run everything else where no runtime is at hand.

A free axis of an output is as long as the axis of the same letter of the first input that has it, or 1.

Every result made with it is published as ``no_result`` with the cause ``null_engine``, so that it can never be taken
for an empty scene.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.engine.backend import Backend, Runner, Tensors
from usassist.engine.spec import EngineSpec
from usassist.errors import EngineError

__all__ = ["NullBackend"]


class _NullRunner:
    device = "none"

    def __init__(self, spec: EngineSpec) -> None:
        self.inputs = {tensor.name: (tensor.dtype, tensor.shape) for tensor in spec.inputs}
        self.outputs = {tensor.name: (tensor.dtype, tensor.shape) for tensor in spec.outputs}
        self._spec = spec
        self._closed = False
        self._zeros: dict[str, npt.NDArray[Any]] = {}

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        if self._closed:
            raise EngineError("the engine is closed; open it again")
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
            else:
                self._zeros[tensor.name].fill(0)  # the caller may have written into it
        return self._zeros

    def close(self) -> None:
        self._closed = True


class NullBackend(Backend):
    """Zeros; the weights are not read."""

    precisions = ("fp32", "fp16", "int8")

    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        """Prepare the zeros."""
        return _NullRunner(spec)
