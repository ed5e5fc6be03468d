"""NVIDIA TensorRT for RTX: plans for all RTX GPUs from Ampere on, built anywhere, finished on the GPU when opened."""

from __future__ import annotations

from pathlib import Path

from usassist.engine.base import Session
from usassist.engine.cuda import describe_device
from usassist.engine.plan import BuiltPlan, Plan
from usassist.engine.spec import EngineSpec
from usassist.engine.trt import build
from usassist.engine.trt.api import RTX, cuda_major, import_trt
from usassist.engine.trt.api import why_not_installed as _why_not_installed
from usassist.engine.trt.session import TrtSession
from usassist.errors import EngineError

__all__ = [
    "BUILD_NEEDS_DEVICE",
    "FORMATS",
    "PRECISIONS",
    "REQUIRES",
    "build_plan",
    "open_plan",
    "plan_key",
    "why_not_here",
    "why_not_installed",
]

REQUIRES = ()  # one of two names will do: why_not_installed
FORMATS = ("onnx",)
PRECISIONS = ("fp16", "fp32", "int8")  # INT8 last: its maker promises INT8 speed for matrix products alone
BUILD_NEEDS_DEVICE = False

# What a plan without a list of targets is made for (NVIDIA, TensorRT for RTX, "CPU-Only AOT and TensorRT-RTX Engines").
_CAPABILITIES = ((8, 0), (8, 6), (8, 9))
_ALL_FROM = (12, 0)


def why_not_installed() -> str | None:
    """Why TensorRT for RTX cannot be imported here, with what to install; None when it can."""
    return _why_not_installed(RTX)


def why_not_here(device: str) -> str | None:
    """Why the GPU of this machine cannot run what was built; None when it can."""
    try:
        info = describe_device()
    except EngineError as error:
        return str(error)
    if info.compute_capability in _CAPABILITIES or info.compute_capability >= _ALL_FROM:
        return None
    major, minor = info.compute_capability
    return (
        f"{info.name} has compute capability {major}.{minor}, and TensorRT for RTX runs on 8.0, 8.6, 8.9, 12.0 and "
        "later; use --backend tensorrt"
    )


def plan_key(precision: str) -> dict[str, str | int | float | bool | list[int] | dict[str, str | int | bool]]:
    """All of library and machine that a plan depends on. The GPU is not part of it.

    Raises
    ------
    BackendUnavailableError
        If TensorRT for RTX is not here.
    """
    trt = import_trt(RTX)
    return {
        "runtime": "tensorrt-rtx",
        "version": str(trt.__version__),
        "parser": int(trt.get_nv_onnx_parser_version()),
        "cuda_major": cuda_major(RTX),
        "options": dict(build.OPTIONS),
    }


def build_plan(spec: EngineSpec, onnx_path: Path, precision: str, timing: bytes, progress: build.Progress) -> BuiltPlan:
    """Compile an ONNX file as far as that goes without a GPU, which takes seconds.

    Raises
    ------
    EngineError
        As :func:`usassist.engine.trt.build.build_plan`.
    """
    return build.build_plan(import_trt(RTX), RTX, spec, onnx_path, timing, progress)


def open_plan(spec: EngineSpec, plan: Plan) -> Session:
    """Make a plan ready to run; its kernels are finished for this GPU now and in the first inference.

    Raises
    ------
    EngineError
        As :class:`usassist.engine.trt.session.TrtSession`.
    """
    return TrtSession(import_trt(RTX), RTX, plan.content, plan.tensors)
