"""The runners of the back end: numpy arrays in, numpy arrays out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from usassist.engine.backend import Runner, Tensors
from usassist.engine.onnx_torch.cuda import CudaCalls, GraphRunner
from usassist.engine.onnx_torch.exact import exact
from usassist.engine.onnx_torch.graph import Graph, read_graph
from usassist.engine.onnx_torch.program import Program
from usassist.errors import EngineError

__all__ = ["open_runner", "shared"]


class _CpuRunner:
    device = "CPU"

    def __init__(self, graph: Graph) -> None:
        self.inputs = graph.inputs
        self.outputs = graph.outputs
        self._program = Program(graph, channels_last=True)
        self._lasting = {value.untyped_storage().data_ptr() for value in self._program.constants()}

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        given = {name: shared(inputs[name]) for name in self.inputs}
        others = self._lasting | {value.untyped_storage().data_ptr() for value in given.values()}
        with torch.inference_mode(), exact():
            outputs = self._program.run(given)
            # The caller may write into what it gets, so it gets neither an input nor a constant.
            own = [
                value.clone() if value.untyped_storage().data_ptr() in others else value.contiguous()
                for value in outputs
            ]
        return {name: value.numpy() for name, value in zip(self.outputs, own, strict=True)}

    def close(self) -> None:
        self._program.close()


class _CudaRunner:
    device = "CUDA"

    def __init__(self, graph: Graph, precision: str) -> None:
        self.inputs = graph.inputs
        self.outputs = graph.outputs
        device = f"cuda:{torch.cuda.current_device()}"
        fixed = all(side is not None for _, shape in graph.inputs.values() for side in shape)
        # Tensor cores want the channels of FP16 side by side; see torch's notes on its memory formats.
        program = Program(graph, device, channels_last=precision == "fp16")
        self._runner = GraphRunner(program, tuple(graph.outputs), CudaCalls(device, benchmark=fixed))

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        return self._runner.run({name: inputs[name] for name in self.inputs})

    def close(self) -> None:
        self._runner.close()


def open_runner(path: Path, device: str, threads: int, precision: str) -> Runner:
    """Open an ONNX file on ``cpu`` or ``cuda``.

    Raises
    ------
    EngineError
        If it cannot be read, holds what the table of operators does not know, or CUDA cannot take it.
    """
    graph = read_graph(path)
    if device == "cuda":
        try:
            return _CudaRunner(graph, precision)
        except EngineError:
            raise
        except RuntimeError as error:  # for example when the memory of the GPU is full
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise EngineError(f"PyTorch cannot open {path.name} on CUDA: {first}; use another --backend") from error
    if threads > 0:
        torch.set_num_threads(threads)
    return _CpuRunner(graph)


class _Writable:
    """Says of the memory of an array that it may be written, because torch has no tensors that may only be read."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        address, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
        self._array = array  # keeps the memory alive


def shared(array: npt.NDArray[Any]) -> torch.Tensor:
    """A tensor over the memory of an array, without a copy; no function of the table writes into its inputs."""
    if any(step < 0 for step in array.strides):
        array = np.ascontiguousarray(array)
    return torch.from_numpy(np.asarray(_Writable(array)))
