"""CUDA: a program is recorded once for each shape of its inputs, and then replayed.

Everything that a frame needs is allocated before the first: pinned memory on the host, inputs and outputs on the
device, a stream of its own, the recorded graph. A frame is copy in, replay, copy out, synchronise.

All calls of ``torch.cuda`` go through :class:`CudaCalls`, so that their order can be tested where
there is no GPU.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from usassist.engine.backend import Tensors
from usassist.engine.onnx_torch.exact import exact
from usassist.engine.onnx_torch.program import Program

__all__ = ["MAX_GRAPHS", "WARM_UPS", "Calls", "CudaCalls", "GraphRunner"]

logger = logging.getLogger(__name__)

MAX_GRAPHS = 4
"""Shapes that are kept ready, least recently used dropped first. Each holds memory of the device."""

WARM_UPS = 3
"""Runs before recording: libraries choose algorithms and take workspace then, which must not be recorded."""

_recording = threading.Lock()  # torch allows one recording at a time in a process

Compute = Callable[[], list[torch.Tensor]]


class Calls(Protocol):
    """The calls of CUDA; all on one stream."""

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Pinned memory of the host."""
        ...

    def buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """Memory of the device."""
        ...

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """Queue a copy between host and device."""
        ...

    def compute(self, function: Compute) -> list[torch.Tensor]:
        """Queue work, one kernel after the other."""
        ...

    def record(self, function: Compute) -> tuple[Any, list[torch.Tensor]]:
        """Record work as a graph without doing it; raises RuntimeError where it cannot be recorded."""
        ...

    def replay(self, graph: Any) -> None:
        """Queue recorded work."""
        ...

    def synchronize(self) -> None:
        """Wait until all that was queued is done; raises RuntimeError if any of it failed."""
        ...

    def free(self) -> None:
        """Return unused memory to the driver."""
        ...


class CudaCalls:
    """The real ones.

    Parameters
    ----------
    device : for example ``cuda:0``
    benchmark : let cuDNN try its algorithms in the warm-up, for shapes that stay as they are
    """

    def __init__(self, device: str, *, benchmark: bool) -> None:
        self._device = torch.device(device)
        self._benchmark = benchmark
        cuda: Any = torch.cuda
        self._stream = cuda.Stream(self._device)

    def pinned(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """As :class:`Calls`."""
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def buffer(self, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
        """As :class:`Calls`."""
        with torch.cuda.stream(self._stream):
            return torch.empty(shape, dtype=dtype, device=self._device)

    def copy(self, target: torch.Tensor, source: torch.Tensor) -> None:
        """As :class:`Calls`."""
        with torch.cuda.stream(self._stream):
            target.copy_(source, non_blocking=True)

    def compute(self, function: Compute) -> list[torch.Tensor]:
        """As :class:`Calls`."""
        with torch.cuda.stream(self._stream), exact(benchmark=self._benchmark):
            return function()

    def record(self, function: Compute) -> tuple[Any, list[torch.Tensor]]:
        """As :class:`Calls`."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may use CUDA meanwhile, for example to build a plan; it does not concern this recording.
        recording = torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local")
        # The stream is entered here too: where a recording fails, torch does not put back the one that was before.
        with _recording, torch.cuda.stream(self._stream), exact(benchmark=self._benchmark), recording:
            outputs = function()
        return graph, outputs

    def replay(self, graph: Any) -> None:
        """As :class:`Calls`."""
        with torch.cuda.stream(self._stream):
            graph.replay()

    def synchronize(self) -> None:
        """As :class:`Calls`."""
        self._stream.synchronize()

    def free(self) -> None:
        """As :class:`Calls`."""
        torch.cuda.empty_cache()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """All that one shape of the inputs needs. The arrays are the pinned tensors, seen by numpy."""

    host_inputs: dict[str, torch.Tensor]
    arrays_in: dict[str, npt.NDArray[Any]]
    inputs: dict[str, torch.Tensor]
    compute: Compute
    graph: Any | None
    outputs: list[torch.Tensor]
    host_outputs: list[torch.Tensor]
    arrays_out: dict[str, npt.NDArray[Any]]


class GraphRunner:
    """Runs a program on CUDA.

    Parameters
    ----------
    program : on the device
    output_names : in the order in which the program gives them
    calls : of CUDA
    """

    def __init__(self, program: Program, output_names: tuple[str, ...], calls: Calls) -> None:
        self._program = program
        self._names = output_names
        self._calls = calls
        self._ready: OrderedDict[tuple[Any, ...], _Ready] = OrderedDict()

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        """Run it once; the arrays given back are overwritten by the next call of the same shape."""
        key = tuple((name, array.shape, array.dtype.str) for name, array in inputs.items())
        with torch.inference_mode():
            ready = self._ready.get(key) or self._make_ready(key, inputs)
            self._ready.move_to_end(key)
            self._copy_in(ready.arrays_in, ready.host_inputs, ready.inputs, inputs)
            outputs = ready.outputs
            if ready.graph is None:
                outputs = self._calls.compute(ready.compute)
            else:
                self._calls.replay(ready.graph)
            for host, value in zip(ready.host_outputs, outputs, strict=True):
                self._calls.copy(host, value)
            self._calls.synchronize()
        return ready.arrays_out

    def close(self) -> None:
        """Free graphs, buffers and weights. May be called twice."""
        self._ready.clear()
        self._program.close()
        self._calls.free()

    def _copy_in(
        self,
        arrays: Mapping[str, npt.NDArray[Any]],
        host: Mapping[str, torch.Tensor],
        device: Mapping[str, torch.Tensor],
        inputs: Tensors,
    ) -> None:
        for name, array in arrays.items():
            np.copyto(array, inputs[name])
            self._calls.copy(device[name], host[name])

    def _make_ready(self, key: tuple[Any, ...], inputs: Tensors) -> _Ready:
        while len(self._ready) >= MAX_GRAPHS:
            self._ready.popitem(last=False)
        kinds = {name: torch.from_numpy(np.empty(0, array.dtype)).dtype for name, array in inputs.items()}
        host = {name: self._calls.pinned(array.shape, kinds[name]) for name, array in inputs.items()}
        device = {name: self._calls.buffer(array.shape, kinds[name]) for name, array in inputs.items()}
        arrays = {name: value.numpy() for name, value in host.items()}

        def compute() -> list[torch.Tensor]:
            return [value.contiguous() for value in self._program.run(device)]

        self._copy_in(arrays, host, device, inputs)
        for _ in range(WARM_UPS):
            outputs = self._calls.compute(compute)
        self._calls.synchronize()
        graph = None
        try:
            graph, outputs = self._calls.record(compute)
        except RuntimeError as error:
            logger.warning("a CUDA graph cannot be recorded, kernels are launched one by one: %s", error)
        host_outputs = [self._calls.pinned(tuple(value.shape), value.dtype) for value in outputs]
        ready = _Ready(
            host_inputs=host,
            arrays_in=arrays,
            inputs=device,
            compute=compute,
            graph=graph,
            outputs=outputs if graph is not None else [],
            host_outputs=host_outputs,
            arrays_out=dict(zip(self._names, (value.numpy() for value in host_outputs), strict=True)),
        )
        self._ready[key] = ready
        return ready
