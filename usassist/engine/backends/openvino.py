"""OpenVINO on the CPU: the default where there is no GPU."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from usassist.engine.base import Session, Tensors
from usassist.engine.spec import EngineSpec
from usassist.errors import EngineError

__all__ = ["FORMATS", "REQUIRES", "open"]

# OpenVINO's Python package reports its use to its maker, from a process that it forks. Nothing leaves this machine
# unless its user says so; without that module OpenVINO falls back to a stub of its own.
sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))

REQUIRES = ("openvino",)
FORMATS = ("onnx",)


class _OpenVinoSession:
    device = "CPU"

    def __init__(self, spec: EngineSpec, path: Path, threads: int) -> None:
        import openvino

        # OpenVINO would run an FP32 graph in BF16 where the processor can; the spec says what was verified.
        options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
        if spec.precision == "fp32":
            options["INFERENCE_PRECISION_HINT"] = "f32"
        if threads:
            options["INFERENCE_NUM_THREADS"] = threads
        try:
            model = openvino.Core().compile_model(str(path), "CPU", options)
            self._request: Any = model.create_infer_request()
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO cannot load {path.name}: {_first_line(error)}; try --backend onnxruntime"
            ) from error
        self.inputs = {port.any_name: _describe(port) for port in model.inputs}
        self.outputs = {port.any_name: _describe(port) for port in model.outputs}
        self._output_names = [port.any_name for port in model.outputs]

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        try:
            self._request.infer(dict(inputs), share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {_first_line(error)}") from error
        return {name: self._request.get_output_tensor(i).data for i, name in enumerate(self._output_names)}

    def close(self) -> None:
        self._request = None


def open(spec: EngineSpec, path: Path, threads: int) -> Session:
    """Load an ONNX file.

    Raises
    ------
    EngineError
        If OpenVINO cannot load it.
    """
    return _OpenVinoSession(spec, path, threads)


def _describe(port: Any) -> tuple[str, tuple[int | None, ...]]:
    shape = tuple(side.get_length() if side.is_static else None for side in port.partial_shape)
    return np.dtype(port.element_type.to_dtype()).name, shape


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
