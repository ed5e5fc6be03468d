"""NVIDIA TensorRT 10.12 to 11: plans for one GPU and one version, built on that GPU."""

from __future__ import annotations

from pathlib import Path

from usassist.engine.base import Session
from usassist.engine.cuda import describe_device
from usassist.engine.plan import BuiltPlan, Plan
from usassist.engine.spec import EngineSpec
from usassist.engine.trt import build
from usassist.engine.trt.api import TENSORRT, cuda_major, import_trt
from usassist.engine.trt.api import why_not_installed as _why_not_installed
from usassist.engine.trt.session import TrtSession

__all__ = [
    "BUILD_NEEDS_DEVICE",
    "FORMATS",
    "PRECISIONS",
    "REQUIRES",
    "build_plan",
    "open_plan",
    "plan_key",
    "timing_key",
    "why_not_installed",
]

REQUIRES = ()  # one of two names will do: why_not_installed
FORMATS = ("onnx",)
PRECISIONS = ("fp16", "fp32", "int8")  # INT8 last: its gate is passed on a processor, and its speed was not measured
BUILD_NEEDS_DEVICE = True


def why_not_installed() -> str | None:
    """Why TensorRT cannot be imported here, with what to install; None when it can."""
    return _why_not_installed(TENSORRT)


def plan_key(precision: str) -> dict[str, str | int | float | bool | list[int] | dict[str, str | int | bool]]:
    """All of library and machine that a plan depends on: the same GPU, driver, version and options.

    Raises
    ------
    BackendUnavailableError
        If there is no TensorRT or no GPU here.
    """
    return {**timing_key(), "options": dict(build.OPTIONS)}


def timing_key() -> dict[str, str | int | float | bool | list[int] | dict[str, str | int | bool]]:
    """All that the builder's measurements depend on; they hold for every engine and precision.

    Raises
    ------
    BackendUnavailableError
        If there is no TensorRT or no GPU here.
    """
    device, trt = describe_device(), import_trt(TENSORRT)
    return {
        "runtime": "tensorrt",
        "version": str(trt.__version__),
        "parser": int(trt.get_nv_onnx_parser_version()),
        "cuda_major": cuda_major(TENSORRT),
        "driver": list(device.driver),
        "gpu": device.name,
        "compute_capability": list(device.compute_capability),
    }


def build_plan(spec: EngineSpec, onnx_path: Path, precision: str, timing: bytes, progress: build.Progress) -> BuiltPlan:
    """Compile an ONNX file for the GPU of this machine, which takes minutes.

    Raises
    ------
    EngineError
        As :func:`usassist.engine.trt.build.build_plan`.
    """
    describe_device()  # before anything of TensorRT is made
    return build.build_plan(import_trt(TENSORRT), TENSORRT, spec, onnx_path, timing, progress)


def open_plan(spec: EngineSpec, plan: Plan) -> Session:
    """Make a plan ready to run.

    Raises
    ------
    EngineError
        As :class:`usassist.engine.trt.session.TrtSession`.
    """
    return TrtSession(import_trt(TENSORRT), TENSORRT, plan.content, plan.tensors)
