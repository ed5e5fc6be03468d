"""PyTorch: the engine's own ONNX file, run operator by operator; on CUDA as a recorded graph.

There is no second file of weights, and no conversion that would have to be kept in step: see
:mod:`usassist.engine.onnx_torch`. On the CPU it is the third choice, there for machines that have PyTorch and nothing
else. On CUDA it needs no plan, so it runs from the first second.

Two things of PyTorch belong to the whole process. The number of CPU threads is set when `threads` is positive, and
stays set. What rounding FP32 may have is set to IEEE single precision while an inference runs, and put back after it,
so that a training in the same process keeps its TF32.
"""

from __future__ import annotations

from pathlib import Path

from usassist.engine.base import Session
from usassist.engine.spec import EngineSpec

__all__ = ["FORMATS", "PRECISIONS", "REQUIRES", "open", "why_not_here"]

REQUIRES = ("torch", "onnx")
FORMATS = ("onnx",)
# No INT8: it would be computed in float. FP16 is first for the sake of CUDA; a derived one is not taken on a CPU.
PRECISIONS = ("fp16", "fp32")


def open(spec: EngineSpec, path: Path, *, device: str, threads: int, precision: str) -> Session:
    """Load an ONNX file.

    Parameters
    ----------
    threads : CPU threads of PyTorch in this whole process; 0 = leave them as they are

    Raises
    ------
    EngineError
        If PyTorch cannot run it; the message names the operator.
    """
    from usassist.engine.onnx_torch.session import open_session

    return open_session(path, device, threads, precision)


def why_not_here(device: str) -> str | None:
    """Why it cannot run on a device here; None when it can, as far as its build goes."""
    import torch

    if device != "cuda" or torch.cuda.is_available():
        return None
    if torch.version.cuda is None and torch.version.hip is None:
        return "this build of PyTorch has no CUDA; install the one for your driver, see pytorch.org/get-started"
    return "PyTorch finds no GPU that it can use; compare the driver's version with the one that PyTorch was built for"
