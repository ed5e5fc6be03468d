"""Doubles of the CUDA driver and of TensorRT that write down every call, compute on numpy, and fail on request.

They answer as the documentation of both says. They show in which order things are asked for and what is given back;
that the real ones answer the same is for the tests marked `gpu`.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from usassist.engine.cuda import FUNCTIONS

OUT_OF_MEMORY, LAUNCH_FAILED, CAPTURE_UNSUPPORTED = 2, 719, 900
ERRORS = {
    OUT_OF_MEMORY: b"CUDA_ERROR_OUT_OF_MEMORY",
    LAUNCH_FAILED: b"CUDA_ERROR_LAUNCH_FAILED",
    CAPTURE_UNSUPPORTED: b"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED",
}
STREAM, CONTEXT = 0x57, 0xC7


class Driver:
    """The driver: memory of the GPU is numpy arrays, a stream does its work when it is waited for."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.fail: dict[str, int] = {}  # function → CUresult
        self.held: dict[tuple[str, int], Any] = {}  # what was taken and not given back
        self.current: list[int] = []
        self.queue: list[Callable[[], None]] = []
        self.capturing: list[Callable[[], None]] | None = None
        self._numbers = itertools.count(0x1000, 0x1000)

    def __getattr__(self, name: str) -> Callable[..., int]:
        types = FUNCTIONS[name]  # an unknown function is an error here too

        def call(*arguments: Any) -> int:
            assert len(arguments) == len(types), name
            plain = tuple(_plain(argument) for argument in arguments)
            self.calls.append((name, *plain))
            if name in self.fail:
                return self.fail[name]
            act = getattr(type(self), f"_{name}", None)
            if act is not None:
                act(self, *arguments)
            return 0

        return call

    @property
    def names(self) -> list[str]:
        """The calls since `forget`, by name, without making the context current and back."""
        return [call[0] for call in self.calls if not call[0].startswith("cuCtx")]

    def forget(self) -> None:
        self.calls.clear()

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        assert self.current == [CONTEXT], "work was enqueued without a current context"
        assert stream == STREAM, "work was enqueued on the default stream"
        (self.queue if self.capturing is None else self.capturing).append(work)

    def _take(self, kind: str, out: Any, content: Any = None) -> None:
        assert self.current == [CONTEXT], f"{kind} was taken without a current context"
        out._obj.value = next(self._numbers)
        self.held[kind, out._obj.value] = content

    def _give(self, kind: str, number: Any) -> None:
        del self.held[kind, _plain(number)]

    def _cuGetErrorName(self, code: int, out: Any) -> None:
        out._obj.value = ERRORS[code]

    def _cuDriverGetVersion(self, out: Any) -> None:
        out._obj.value = 13000

    def _cuDeviceGetCount(self, out: Any) -> None:
        out._obj.value = 1

    def _cuDeviceGetName(self, out: Any, size: int, device: int) -> None:
        out.value = b"Double 1"

    def _cuDeviceGetAttribute(self, out: Any, which: int, device: int) -> None:
        out._obj.value = {75: 8, 76: 6}[which]

    def _cuDevicePrimaryCtxRetain(self, out: Any, device: int) -> None:
        out._obj.value = CONTEXT
        self.held["context", device] = None

    def _cuDevicePrimaryCtxRelease_v2(self, device: int) -> None:
        del self.held["context", device]

    def _cuCtxPushCurrent_v2(self, context: int) -> None:
        assert context == CONTEXT
        self.current.append(context)

    def _cuCtxPopCurrent_v2(self, out: Any) -> None:
        self.current.pop()

    def _cuMemAlloc_v2(self, out: Any, size: int) -> None:
        self._take("memory", out, np.zeros(size, np.uint8))

    def _cuMemFree_v2(self, address: int) -> None:
        self._give("memory", address)

    def _cuMemHostRegister_v2(self, address: int, size: int, flags: int) -> None:
        assert address % 4096 == 0
        self.held["pinned", address] = size

    def _cuMemHostUnregister(self, address: int) -> None:
        self._give("pinned", address)

    def _cuStreamCreate(self, out: Any, flags: int) -> None:
        assert flags == 1, "a blocking stream waits for the default stream"
        out._obj.value = STREAM
        self.held["stream", STREAM] = None

    def _cuStreamDestroy_v2(self, stream: int) -> None:
        self._give("stream", stream)

    def _cuStreamSynchronize(self, stream: int) -> None:
        assert stream == STREAM
        assert self.capturing is None, "waiting is forbidden in a capture"
        while self.queue:
            self.queue.pop(0)()

    def _cuMemcpyHtoDAsync_v2(self, address: int, host: int, size: int, stream: int) -> None:
        memory = self.held["memory", address]
        self.enqueue(stream, lambda: memory[:size].__setitem__(slice(None), _host(host, size)))

    def _cuMemcpyDtoHAsync_v2(self, host: int, address: int, size: int, stream: int) -> None:
        memory = self.held["memory", address]
        self.enqueue(stream, lambda: _host(host, size).__setitem__(slice(None), memory[:size]))

    def _cuStreamBeginCapture_v2(self, stream: int, mode: int) -> None:
        assert (stream, mode) == (STREAM, 1)
        assert not self.queue, "a capture began while work was waiting"
        self.capturing = []

    def _cuStreamEndCapture(self, stream: int, out: Any) -> None:
        work, self.capturing = self.capturing, None
        self._take("graph", out, work)

    def _cuGraphInstantiateWithFlags(self, out: Any, graph: Any, flags: int) -> None:
        self._take("executable", out, self.held["graph", _plain(graph)])

    def _cuGraphDestroy(self, graph: Any) -> None:
        self._give("graph", graph)

    def _cuGraphExecDestroy(self, graph: int) -> None:
        self._give("executable", graph)

    def _cuGraphLaunch(self, graph: int, stream: int) -> None:
        for work in self.held["executable", graph]:
            self.enqueue(stream, work)


class Trt:
    """TensorRT's module, with one engine: `image` in, `doubled` and `inverse` out, all of one shape.

    Parameters
    ----------
    driver : where it computes
    rows : second to last side, -1 = free between 2 and 8
    """

    __name__ = "tensorrt_double"
    __version__ = "10.16.1.11"
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")
    TensorLocation = SimpleNamespace(DEVICE="device", HOST="host")
    DataType = SimpleNamespace(FLOAT="f32", HALF="f16", INT32="i32", INT64="i64", UINT8="u8")

    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    MemoryPoolType = SimpleNamespace(WORKSPACE="workspace")
    BuilderFlag = SimpleNamespace(TF32="tf32")

    class IProgressMonitor:
        def __init__(self) -> None:
            pass

    class ILogger:
        Severity = SimpleNamespace(INTERNAL_ERROR=0, ERROR=1, WARNING=2, INFO=3, VERBOSE=4)

        def __init__(self) -> None:
            pass

    def __init__(self, driver: Driver, rows: int = 4) -> None:
        self.driver = driver
        self.rows = rows
        self.fail: set[str] = set()
        self.logger: Any = None
        self.location = "device"
        self.capturable: bool | None = None  # None: the library does not say
        self.built: list[_Config] = []

    def Runtime(self, logger: Any) -> Any:
        self._note("Runtime")
        self.logger = logger
        if "Runtime" in self.fail:
            raise TypeError("pybind11::init(): factory function returned nullptr")
        return _Runtime(self)

    def Builder(self, logger: Any) -> Any:
        self.logger = logger
        return _Builder(self)

    def OnnxParser(self, network: Any, logger: Any) -> Any:
        return SimpleNamespace(parse_from_file=lambda path: True, num_errors=0)

    def get_nv_onnx_parser_version(self) -> int:
        return 1016

    def complain(self, line: str) -> None:
        self.logger.log(self.ILogger.Severity.ERROR, line)

    def made(self, thing: Any) -> None:
        self.driver.held[type(thing).__name__, id(thing)] = None

    def gone(self, thing: Any) -> None:
        kind = type(thing).__name__
        del self.driver.held[kind, id(thing)]
        self._note(f"del {kind[1:]}")

    def _note(self, *call: Any) -> None:
        assert self.driver.current == [CONTEXT], f"{call[0]} was called without a current context"
        self.driver.calls.append(call)


class _Builder:
    def __init__(self, trt: Trt) -> None:
        self.trt = trt

    def create_network(self, flags: int) -> Any:
        assert flags == 1 << Trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
        tensors = [
            SimpleNamespace(name=name, dtype="f32", shape=(1, 1, self.trt.rows, 6))
            for name in ("image", "doubled", "inverse")
        ]
        return SimpleNamespace(
            num_inputs=1, get_input=lambda index: tensors[index], num_outputs=2, get_output=lambda i: tensors[1 + i]
        )

    def create_builder_config(self) -> Any:
        return _Config()

    def build_serialized_network(self, network: Any, config: _Config) -> bytes | None:
        self.trt.built.append(config)
        config.progress_monitor.phase_start("everything", None, 1)
        config.progress_monitor.step_complete("everything", 0)
        config.progress_monitor.phase_finish("everything")
        if "build" in self.trt.fail:
            self.trt.complain("no kernel\nfits")
            return None
        config.timing.content += b"+measured"
        return b"plan"


class _Config:
    def __init__(self) -> None:
        self.cleared: list[str] = []
        self.limits: dict[str, int] = {}
        self.progress_monitor: Any = None
        self.timing: Any = None

    def set_memory_pool_limit(self, pool: str, size: int) -> None:
        self.limits[pool] = size

    def clear_flag(self, flag: str) -> None:
        self.cleared.append(flag)

    def create_timing_cache(self, content: bytes) -> Any:
        cache = SimpleNamespace(content=content)
        cache.serialize = lambda: cache.content
        return cache

    def set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        assert ignore_mismatch is False
        if cache.content == b"of another GPU":
            return False
        self.timing = cache
        return True


class _Runtime:
    def __init__(self, trt: Trt) -> None:
        self.trt = trt
        trt.made(self)

    def deserialize_cuda_engine(self, content: bytes) -> Any:
        self.trt._note("deserialize_cuda_engine", content)
        if "deserialize" in self.trt.fail:
            self.trt.complain("the stream is\nnot a plan")
            return None
        return _Engine(self.trt)

    def __del__(self) -> None:
        self.trt.gone(self)


class _Engine:
    num_io_tensors = 3

    def __init__(self, trt: Trt) -> None:
        self.trt = trt  # and not the runtime: who uses it must keep that
        self.trt.made(self)

    def get_tensor_name(self, index: int) -> str:
        return ("image", "doubled", "inverse")[index]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name == "image" else "out"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (1, 1, self.trt.rows, 6)

    def get_tensor_dtype(self, name: str) -> str:
        return "f32"

    def get_tensor_location(self, name: str) -> str:
        return self.trt.location

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert (name, profile) == ("image", 0)
        return [(1, 1, 2, 6), (1, 1, 4, 6), (1, 1, 8, 6)]

    def create_execution_context(self) -> Any:
        self.trt._note("create_execution_context")
        if "context" in self.trt.fail:
            self.trt.complain("out of memory")
            return None
        return _Context(self.trt)

    def __del__(self) -> None:
        self.trt.gone(self)


class _Context:
    def __init__(self, trt: Trt) -> None:
        self.trt = trt
        self.trt.made(self)
        self.shape = None if self.trt.rows == -1 else (1, 1, self.trt.rows, 6)
        self.addresses: dict[str, int] = {}
        self.frozen = False
        if self.trt.capturable is not None:
            self.is_stream_capturable = lambda stream, trt=self.trt: trt.capturable

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.trt._note("set_input_shape", name, tuple(shape))
        assert not self.frozen, "a context was changed that a graph was captured from"
        self.shape = tuple(shape)
        return 2 <= shape[2] <= 8

    def infer_shapes(self) -> list[str]:
        return ["image"] if self.shape is None else ["inverse"] if "infer" in self.trt.fail else []

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        assert self.shape is not None
        return self.shape

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.trt._note("set_tensor_address", name, address)
        assert not self.frozen, "a context was changed that a graph was captured from"
        self.addresses[name] = address
        return "address" not in self.trt.fail

    def execute_async_v3(self, stream: int) -> bool:
        self.trt._note("execute_async_v3", stream)
        assert set(self.addresses) == {"image", "doubled", "inverse"}
        if "execute" in self.trt.fail or (
            "captured execute" in self.trt.fail and self.trt.driver.capturing is not None
        ):
            self.trt.complain("a kernel failed")
            return False
        self.frozen = self.frozen or self.trt.driver.capturing is not None
        count = int(np.prod(self.shape)) * 4
        image, doubled, inverse = (
            self.trt.driver.held["memory", self.addresses[name]][:count].view(np.float32)
            for name in ("image", "doubled", "inverse")
        )

        def work() -> None:
            doubled[:] = 2 * image
            inverse[:] = 1 / image

        self.trt.driver.enqueue(stream, work)
        return True

    def __del__(self) -> None:
        self.trt.gone(self)


def _plain(argument: Any) -> Any:
    """The number in an argument of ctypes; None for what is written to."""
    if isinstance(argument, ctypes.c_void_p):
        return argument.value
    return argument if isinstance(argument, int) else None


def _host(address: int, size: int) -> np.ndarray:
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))
