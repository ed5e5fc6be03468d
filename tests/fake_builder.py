"""A back end ``fake`` that builds plans: each is a long text made of its ONNX file, so that a wrong one shows.

The environment variable ``FAKE_BUILD`` sets what it does: ``ok``, ``slow``, ``hang``, ``deaf`` (native code
keeps the interpreter), ``refuse``, ``mistake``, ``talk`` (native code writes to standard output), ``crash`` or ``oom``.
Processes that are started by a test get it through a ``sitecustomize`` module, see :func:`environment`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from usassist.engine import Backend, registry
from usassist.engine.plan import BuiltPlan, Plan, PlanBackend
from usassist.engine.spec import EngineSpec
from usassist.errors import EngineError

STEPS = 20
REPEATS = 200_000  # of 64 bytes: storing it takes a moment


def plan_content(onnx: Path) -> bytes:
    """The plan of an ONNX file."""
    return hashlib.sha256(onnx.read_bytes()).hexdigest().encode() * REPEATS


class FakeBackend(PlanBackend):
    """The back end; `builds` lists what it has built in this process, `version` is part of its keys."""

    precisions = ("fp32", "fp16", "int8")
    build_needs_device = False

    def __init__(self) -> None:
        super().__init__("fake", device="none")
        self.builds: list[Any] = []
        self.version = "1.0"
        self.result: Callable[[BuiltPlan], BuiltPlan] = lambda built: built

    def plan_key(self, precision: str) -> dict[str, Any]:
        return {"runtime": "fake", "version": self.version, "gpu": "none", "precision": precision}

    def build_plan(
        self,
        spec: EngineSpec,
        path: Path,
        precision: str,
        timing: bytes,
        progress: Callable[[str, float], None],
    ) -> BuiltPlan:
        self.builds.append((precision, timing))
        _behave(os.environ.get("FAKE_BUILD", "ok"), progress)
        tensors = [
            (tensor.name, kind, tensor.dtype, [-1 if side is None else side for side in tensor.shape])
            for kind, group in (("input", spec.inputs), ("output", spec.outputs))
            for tensor in group
        ]
        return self.result(BuiltPlan(content=plan_content(path), timing=timing + b"t", tensors=tensors))

    def open_plan(self, spec: EngineSpec, plan: Plan) -> _Runner:
        return _Runner(spec)


def row_of(backend: Backend) -> registry.Row:
    """A row of the table that gives this instance."""
    module: Any = ModuleType(f"tests_back_end_{backend.name}")
    module.get = lambda name, *, device, install: backend
    sys.modules[module.__name__] = module
    return registry.Row(f"{module.__name__}:get", backend.device, backend.install)


def install() -> None:
    """Put it in the table of back ends of this process, before all others."""
    others = dict(registry.BACKENDS)
    registry.BACKENDS.clear()
    registry.BACKENDS.update({"fake": row_of(FakeBackend())} | others)
    registry.AUTO_ORDER = ("fake", *registry.AUTO_ORDER)


def environment(folder: Path, behaviour: str = "ok") -> dict[str, str]:
    """What a process needs to know `fake`; its cache lies in `folder`."""
    site = folder / "site"
    site.mkdir(exist_ok=True)
    (site / "sitecustomize.py").write_text("from tests.fake_builder import install\n\ninstall()\n")
    path = os.pathsep.join((str(site), str(Path(__file__).resolve().parent.parent)))
    return {"PYTHONPATH": path, "FAKE_BUILD": behaviour, "USASSIST_CACHE": str(folder / "cache")}


class _Runner:
    device = "none"

    def __init__(self, spec: EngineSpec) -> None:
        self.inputs = {tensor.name: (tensor.dtype, tensor.shape) for tensor in spec.inputs}
        self.outputs = {tensor.name: (tensor.dtype, tensor.shape) for tensor in spec.outputs}

    def run(self, inputs: Any) -> dict[str, np.ndarray]:
        return {"doubled": 2 * inputs["image"], "inverse": 1 / inputs["image"]}

    def close(self) -> None:
        pass


def _behave(behaviour: str, progress: Callable[[str, float], None]) -> None:
    if behaviour == "refuse":
        raise EngineError("the fake builder does not like this engine; give it another")
    if behaviour == "mistake":
        raise ZeroDivisionError("a mistake in the back end")
    if behaviour == "crash":
        os.kill(os.getpid(), signal.SIGSEGV)
    if behaviour == "oom":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "talk":
        os.write(1, b'{"event": "done", "built": true, "path": "not mine"}\nnative words\n')
    if behaviour in ("hang", "deaf"):
        progress("hanging", 0.25)
    if behaviour == "hang":
        time.sleep(600.0)
    if behaviour == "deaf":
        ctypes.PyDLL(None).sleep(600)
    for step in range(STEPS):
        progress("compiling", step / STEPS)
        if behaviour == "slow":
            time.sleep(0.01)
