"""PyTorch: the engine's own ONNX file, run operator by operator; on CUDA as a recorded graph.

There is no second file of weights and no conversion to keep in step: see :mod:`usassist.engine.onnx_torch`. On the CPU
it is the third choice, for machines that have PyTorch and nothing else. On CUDA it needs no plan, so it runs from the
first second.

Two settings of PyTorch belong to the whole process. The number of CPU threads is set when `threads` is positive, and
stays set. The rounding allowed in FP32 is set to IEEE single precision while an inference runs and restored after it,
so that a training in the same process keeps its TF32.
"""

from __future__ import annotations

from pathlib import Path

from usassist.engine.backend import Backend, Runner
from usassist.engine.spec import EngineSpec

__all__ = ["TorchBackend"]


class TorchBackend(Backend):
    """PyTorch on ``cpu`` or ``cuda``."""

    requires = ("torch", "onnx")
    # No INT8: it would be computed in float. FP16 is first for CUDA; a derived one is not taken on a CPU.
    precisions = ("fp16", "fp32")

    def why_not_here(self) -> str | None:
        """Why this build of PyTorch cannot run on the device; None when it can."""
        import torch

        if self.device != "cuda" or torch.cuda.is_available():
            return None
        if torch.version.cuda is None and torch.version.hip is None:
            return "this build of PyTorch has no CUDA; install the one for your driver, see pytorch.org/get-started"
        return "PyTorch finds no GPU that it can use; compare the driver's version with the one PyTorch was built for"

    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        """Load an ONNX file.

        Parameters
        ----------
        threads : CPU threads of PyTorch in this whole process; 0 = leave them as they are

        Raises
        ------
        EngineError
            If PyTorch cannot run it; the message names the operator.
        """
        from usassist.engine.onnx_torch.runner import open_runner

        return open_runner(path, self.device, threads, precision)
