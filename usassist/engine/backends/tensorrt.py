"""NVIDIA TensorRT 10.12 to 11: plans for one GPU and one version, built on that GPU."""

from __future__ import annotations

from pathlib import Path

from usassist.engine.backend import Progress, Runner
from usassist.engine.cuda import describe_device
from usassist.engine.plan import BuiltPlan, KeyTable, Plan, PlanBackend
from usassist.engine.spec import EngineSpec
from usassist.engine.trt import build
from usassist.engine.trt.api import TENSORRT, cuda_major, import_trt, why_not_installed
from usassist.engine.trt.runner import TrtRunner

__all__ = ["TensorRtBackend"]


class TensorRtBackend(PlanBackend):
    """TensorRT on an NVIDIA GPU."""

    # `requires` stays empty, one of two module names will do.
    # INT8 last: its gate was passed on a processor, and its speed was not measured.
    precisions = ("fp16", "fp32", "int8")

    def why_not_installed(self) -> str | None:
        """Why TensorRT cannot be imported here, with what to install; None when it can."""
        return why_not_installed(TENSORRT)

    def plan_key(self, precision: str) -> KeyTable:
        """The timing key and the options of the builder.

        Raises
        ------
        BackendUnavailableError
            If there is no TensorRT or no GPU here.
        """
        return {**self.timing_key(precision), "options": dict(build.OPTIONS)}

    def timing_key(self, precision: str) -> KeyTable:
        """GPU, driver and library; the measurements hold for every engine and precision.

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

    def build_plan(self, spec: EngineSpec, path: Path, precision: str, timing: bytes, progress: Progress) -> BuiltPlan:
        """Compile an ONNX file for the GPU of this machine, which takes minutes.

        Raises
        ------
        EngineError
            As :func:`usassist.engine.trt.build.build_plan`.
        """
        describe_device()  # before any object of TensorRT is created
        return build.build_plan(import_trt(TENSORRT), TENSORRT, spec, path, timing, progress)

    def open_plan(self, spec: EngineSpec, plan: Plan) -> Runner:
        """Load a plan.

        Raises
        ------
        EngineError
            As :class:`usassist.engine.trt.runner.TrtRunner`.
        """
        return TrtRunner(import_trt(TENSORRT), TENSORRT, plan.content, plan.tensors)
