"""Stands for TensorRT where there is no GPU: its plans are the ONNX itself, and ONNX Runtime runs them.

With it the whole path of a plan (build in a child process, cache, opening beside a stream, take-over, failure) runs for
real on any machine; what it cannot show is TensorRT. Environment: ``DOUBLE_BUILD_S``, how long a build takes;
``DOUBLE_FAIL_AT``, number of the execution that fails, from 1.
"""

from __future__ import annotations

import ctypes
import enum
import os
import time
from typing import Any

import numpy as np
import onnxruntime

__version__ = "11.4.0.0"
_MAGIC = b"a plan of the double\n"
_DTYPES = {"tensor(float)": "FLOAT", "tensor(float16)": "HALF", "tensor(int32)": "INT32", "tensor(int64)": "INT64"}
_NUMPY = {"FLOAT": np.float32, "HALF": np.float16, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8}


class DataType(enum.Enum):
    FLOAT, HALF, INT32, INT64, UINT8 = range(5)


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class TensorLocation(enum.Enum):
    DEVICE, HOST = range(2)


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 1


class BuilderFlag(enum.IntEnum):
    TF32 = 7


class MemoryPoolType(enum.Enum):
    WORKSPACE = 0


class ILogger:
    class Severity(enum.Enum):
        INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)


class IProgressMonitor:
    pass


def get_nv_onnx_parser_version() -> int:
    return 110400


class _Tensor:
    def __init__(self, node: Any) -> None:
        self.name = node.name
        self.dtype = DataType[_DTYPES[node.type]]
        self.shape = tuple(side if isinstance(side, int) else -1 for side in node.shape)


class _Network:
    def load(self, content: bytes) -> None:
        session = _open(content)
        self.content = content
        self.inputs = [_Tensor(node) for node in session.get_inputs()]
        self.outputs = [_Tensor(node) for node in session.get_outputs()]
        self.num_inputs, self.num_outputs = len(self.inputs), len(self.outputs)

    def get_input(self, index: int) -> _Tensor:
        return self.inputs[index]

    def get_output(self, index: int) -> _Tensor:
        return self.outputs[index]


class OnnxParser:
    num_errors = 0

    def __init__(self, network: _Network, logger: ILogger) -> None:
        self._network = network

    def parse_from_file(self, path: str) -> bool:
        with open(path, "rb") as file:
            self._network.load(file.read())
        return True


class _TimingCache:
    def serialize(self) -> bytes:
        return b"timings of the double"


class _Config:
    progress_monitor: Any = None

    def set_memory_pool_limit(self, pool: MemoryPoolType, size: int) -> None:
        pass

    def clear_flag(self, flag: BuilderFlag) -> None:
        pass

    def create_timing_cache(self, content: bytes) -> _TimingCache:
        return _TimingCache()

    def set_timing_cache(self, cache: _TimingCache, ignore_mismatch: bool) -> bool:
        return True


class Builder:
    def __init__(self, logger: ILogger) -> None:
        pass

    def create_network(self, flags: int) -> _Network:
        return _Network()

    def create_builder_config(self) -> _Config:
        return _Config()

    def build_serialized_network(self, network: _Network, config: _Config) -> bytes | None:
        steps, monitor = 50, config.progress_monitor
        monitor.phase_start("Building", None, steps)
        for step in range(steps):
            time.sleep(float(os.environ.get("DOUBLE_BUILD_S", "0")) / steps)
            if not monitor.step_complete("Building", step):
                return None
        monitor.phase_finish("Building")
        return _MAGIC + network.content


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        pass

    def deserialize_cuda_engine(self, content: bytes) -> _Engine | None:
        return _Engine(content[len(_MAGIC) :]) if content.startswith(_MAGIC) else None


class _Engine:
    def __init__(self, content: bytes) -> None:
        self.session = _open(content)
        inputs = [(node.name, True, _Tensor(node)) for node in self.session.get_inputs()]
        outputs = [(node.name, False, _Tensor(node)) for node in self.session.get_outputs()]
        self.tensors = {name: (is_input, tensor) for name, is_input, tensor in inputs + outputs}
        self.num_io_tensors = len(self.tensors)

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if self.tensors[name][0] else TensorIOMode.OUTPUT

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.tensors[name][1].shape

    def get_tensor_dtype(self, name: str) -> DataType:
        return self.tensors[name][1].dtype

    def get_tensor_location(self, name: str) -> TensorLocation:
        return TensorLocation.DEVICE

    def create_execution_context(self) -> _Context:
        return _Context(self)


class _Context:
    executions = 0

    def __init__(self, engine: _Engine) -> None:
        self._engine = engine
        self._addresses: dict[str, int] = {}

    def infer_shapes(self) -> list[str]:
        return []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._engine.get_tensor_shape(name)

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        _Context.executions += 1
        if _Context.executions == int(os.environ.get("DOUBLE_FAIL_AT", "0")):
            return False
        tensors = self._engine.tensors
        inputs = {name: self._array(name) for name, (is_input, _) in tensors.items() if is_input}
        outputs = [name for name, (is_input, _) in tensors.items() if not is_input]
        for name, value in zip(outputs, self._engine.session.run(outputs, inputs), strict=True):
            self._array(name)[...] = value
        return stream != 0

    def _array(self, name: str) -> Any:
        tensor = self._engine.tensors[name][1]
        dtype = np.dtype(_NUMPY[tensor.dtype.name])
        size = int(np.prod(tensor.shape)) * dtype.itemsize
        memory = (ctypes.c_char * size).from_address(self._addresses[name])
        return np.frombuffer(memory, dtype).reshape(tensor.shape)


def _open(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
