"""ONNX Runtime: on the CPU the reference, and the fallback of every other back end; on CUDA where its build has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.common.onnx_runtime import import_onnxruntime
from usassist.engine.backend import Backend, Runner, Tensors
from usassist.engine.spec import EngineSpec
from usassist.errors import BackendUnavailableError, EngineError

__all__ = ["OnnxRuntimeBackend"]

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
}
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class _OnnxRuntimeRunner:
    def __init__(self, path: Path, device: str, threads: int) -> None:
        onnxruntime = import_onnxruntime()

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(path), options, providers=_providers(device))
        except Exception as error:  # the runtime's own classes derive from nothing narrower
            raise EngineError(f"ONNX Runtime cannot load {path.name}: {error}; install the engine again") from error
        if _PROVIDERS[device] not in session.get_providers():  # a provider that does not start is left out
            raise BackendUnavailableError(
                f"ONNX Runtime could not start on {device}; look at its own messages, or use --backend onnxruntime"
            )
        self.device = device.upper()
        self._session: Any = session
        self.inputs = {node.name: _describe(node) for node in session.get_inputs()}
        self.outputs = {node.name: _describe(node) for node in session.get_outputs()}
        self._output_names = list(self.outputs)

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        try:
            values = self._session.run(self._output_names, dict(inputs))
        except Exception as error:  # the runtime's own classes derive from nothing narrower
            raise EngineError(f"ONNX Runtime failed: {error}") from error
        return {name: np.asarray(value) for name, value in zip(self._output_names, values, strict=True)}

    def close(self) -> None:
        self._session = None


class OnnxRuntimeBackend(Backend):
    """ONNX Runtime on ``cpu`` or ``cuda``."""

    requires = ("onnxruntime",)
    precisions = ("fp32", "fp16")  # a symmetric QDQ graph would run in float here, with the rounding as extra work

    def why_not_here(self) -> str | None:
        """Why this build of ONNX Runtime cannot run on the device; None when it can."""
        onnxruntime = import_onnxruntime()

        if _PROVIDERS[self.device] in onnxruntime.get_available_providers():
            return None
        return "this build of ONNX Runtime has no CUDA; pip uninstall onnxruntime, then pip install onnxruntime-gpu"

    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        """Load an ONNX file.

        Raises
        ------
        EngineError
            If ONNX Runtime cannot load it.
        """
        return _OnnxRuntimeRunner(path, self.device, threads)


def _providers(device: str) -> list[Any]:
    if device == "cpu":
        return [_PROVIDERS["cpu"]]
    # TF32 would round FP32 to ten bits; the spec and the golden check mean FP32.
    return [(_PROVIDERS["cuda"], {"use_tf32": "0", "cudnn_conv_algo_search": "EXHAUSTIVE"}), _PROVIDERS["cpu"]]


def _describe(node: Any) -> tuple[str, tuple[int | None, ...]]:
    shape = tuple(side if isinstance(side, int) else None for side in node.shape)
    return _DTYPES.get(node.type, node.type), shape
