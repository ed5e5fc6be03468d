"""Computes nothing: zeros of the declared shapes, to run everything else where no runtime is at hand.

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
        self._zeros: dict[str, npt.NDArray[Any]] = {
            tensor.name: np.zeros([side or 1 for side in tensor.shape], tensor.dtype) for tensor in spec.outputs
        }

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        return self._zeros

    def close(self) -> None:
        pass


def open(spec: EngineSpec, path: Path, threads: int, precision: str) -> Session:
    """Make zeros ready; the weights are not read."""
    return _NullSession(spec)
