"""Tensors as TensorRT describes them, converted to the terms of this project."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from usassist.errors import EngineError

__all__ = ["IoTensor", "io_tensors", "numpy_dtype"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IoTensor:
    """An input or output of a plan.

    Attributes
    ----------
    name : as in the graph
    is_input : False for an output
    dtype : numpy name
    shape : -1 = free axis
    max_shape : the largest shape of an input; of an output the same as `shape`
    """

    name: str
    is_input: bool
    dtype: str
    shape: tuple[int, ...]
    max_shape: tuple[int, ...]

    @property
    def described(self) -> tuple[str, tuple[int | None, ...]]:
        """Type and shape, as `Runner.inputs` holds them."""
        return self.dtype, tuple(None if side == -1 else side for side in self.shape)

    def size(self, shape: tuple[int, ...]) -> int:
        """Bytes of it in a shape."""
        return int(np.prod(shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


def numpy_dtype(trt: Any, dtype: Any) -> str:
    """Numpy's name of one of TensorRT's types.

    Raises
    ------
    EngineError
        If numpy has none, or no engine may use it.
    """
    names = {
        trt.DataType.FLOAT: "float32",
        trt.DataType.HALF: "float16",
        trt.DataType.INT32: "int32",
        trt.DataType.INT64: "int64",
        trt.DataType.UINT8: "uint8",
    }
    if dtype not in names:
        raise EngineError(f"an input or output has type {dtype}; an engine may use {', '.join(names.values())}")
    return names[dtype]


def io_tensors(trt: Any, engine: Any) -> list[IoTensor]:
    """All inputs and outputs of a plan.

    Raises
    ------
    EngineError
        If one of them cannot be on the GPU, or has a type that no engine may use.
    """
    tensors = []
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
        shape = tuple(int(side) for side in engine.get_tensor_shape(name))
        if engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
            raise EngineError(f"{name} holds a shape, not data, and is not on the GPU; export without such tensors")
        largest = engine.get_tensor_profile_shape(name, 0)[2] if is_input and -1 in shape else shape
        tensors.append(
            IoTensor(
                name=name,
                is_input=is_input,
                dtype=numpy_dtype(trt, engine.get_tensor_dtype(name)),
                shape=shape,
                max_shape=tuple(int(side) for side in largest),
            )
        )
    return tensors
