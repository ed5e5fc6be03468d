"""NVIDIA TensorRT for RTX: plans for all RTX GPUs from Ampere on, built anywhere, finished on the GPU when opened."""

from __future__ import annotations

from pathlib import Path

from usassist.engine.backend import Progress, Runner
from usassist.engine.cuda import describe_device
from usassist.engine.plan import BuiltPlan, KeyTable, Plan, PlanBackend
from usassist.engine.spec import EngineSpec
from usassist.engine.trt import build
from usassist.engine.trt.api import RTX, cuda_major, import_trt, why_not_installed
from usassist.engine.trt.runner import TrtRunner
from usassist.errors import EngineError

__all__ = ["TensorRtRtxBackend"]

# What a plan without a list of targets is made for (NVIDIA, TensorRT for RTX, "CPU-Only AOT and TensorRT-RTX Engines").
_CAPABILITIES = ((8, 0), (8, 6), (8, 9))
_ALL_FROM = (12, 0)


class TensorRtRtxBackend(PlanBackend):
    """TensorRT for RTX on an NVIDIA GPU."""

    # `requires` stays empty, one of two module names will do.
    precisions = ("fp16", "fp32", "int8")  # INT8 last: its maker promises INT8 speed for matrix products alone
    build_needs_device = False

    def why_not_installed(self) -> str | None:
        """Why TensorRT for RTX cannot be imported here, with what to install; None when it can."""
        return why_not_installed(RTX)

    def why_not_here(self) -> str | None:
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

    def plan_key(self, precision: str) -> KeyTable:
        """Library and options; the GPU is not part of it.

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

    def build_plan(self, spec: EngineSpec, path: Path, precision: str, timing: bytes, progress: Progress) -> BuiltPlan:
        """Compile an ONNX file as far as that goes without a GPU, which takes seconds.

        Raises
        ------
        EngineError
            As :func:`usassist.engine.trt.build.build_plan`.
        """
        return build.build_plan(import_trt(RTX), RTX, spec, path, timing, progress)

    def open_plan(self, spec: EngineSpec, plan: Plan) -> Runner:
        """Load a plan; its kernels are finished for this GPU now and in the first inference.

        Raises
        ------
        EngineError
            As :class:`usassist.engine.trt.runner.TrtRunner`.
        """
        return TrtRunner(import_trt(RTX), RTX, plan.content, plan.tensors)
