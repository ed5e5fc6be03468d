"""Plans: what a back end compiles from the ONNX for one machine, found in the cache or built into it."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from usassist.engine.backend import Backend, Progress, Runner
from usassist.engine.cache import Cache, open_cache
from usassist.engine.cache_entry import Entry, file_sha256
from usassist.engine.int8 import calibration_path
from usassist.engine.qdq import check_qdq
from usassist.engine.spec import EngineSpec
from usassist.errors import CacheError, EngineSpecError, PlanMissingError

__all__ = [
    "BuiltPlan",
    "KeyTable",
    "Plan",
    "PlanBackend",
    "PlanTensors",
    "build_plan",
    "find_plan",
    "forget_plan",
    "plan_path",
]

logger = logging.getLogger(__name__)

_SCHEMA = 1

PlanTensors = list[tuple[str, str, str, list[int]]]
"""One row for each tensor: name, ``input`` or ``output``, numpy name of its type, shape with -1 for a free axis."""

KeyTable = dict[str, str | int | float | bool | list[int] | dict[str, str | int | bool]]
"""Part of a cache key; JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPlan:
    """Result of :meth:`PlanBackend.build_plan`.

    Attributes
    ----------
    content : the plan
    timing : measurements of the builder for the next build; may be empty
    tensors : of the plan, as the runtime reports them
    """

    content: bytes
    timing: bytes
    tensors: PlanTensors


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A stored plan, made for this machine and this engine.

    Attributes
    ----------
    content : the plan
    header : ``key`` (everything that decides what the plan is), ``facts``, ``sha256`` and ``created`` (UTC)
    tensors : of the plan; they agree with the spec
    path : of the file
    """

    content: bytes
    header: Mapping[str, Any]
    tensors: PlanTensors
    path: Path


class PlanBackend(Backend):
    """A back end that runs plans: files that are compiled from the ONNX for one machine, which takes a while.

    Attributes
    ----------
    build_needs_device : False where it can build without its device
    """

    build_needs_device: ClassVar[bool] = True

    @abstractmethod
    def plan_key(self, precision: str) -> KeyTable:
        """Everything of library and machine that a plan depends on.

        Raises
        ------
        BackendUnavailableError
            If the library or the device is not here.
        """

    def timing_key(self, precision: str) -> KeyTable:
        """Everything that the builder's measurements depend on; as a rule less than `plan_key`."""
        return self.plan_key(precision)

    @abstractmethod
    def build_plan(self, spec: EngineSpec, path: Path, precision: str, timing: bytes, progress: Progress) -> BuiltPlan:
        """Compile an ONNX file.

        Parameters
        ----------
        timing : measurements of an earlier build with the same `timing_key`, or empty
        progress : receives what is being done and how much of it is done; what it raises ends the build

        Raises
        ------
        EngineError
            If it cannot be compiled.
        """

    @abstractmethod
    def open_plan(self, spec: EngineSpec, plan: Plan) -> Runner:
        """Load a plan.

        Raises
        ------
        PlanMissingError
            If the plan cannot be read; it is then deleted, and the next build makes another.
        EngineError
            If it cannot be loaded.
        """

    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        """Load the plan of an ONNX file from the cache; `threads` has no meaning.

        Raises
        ------
        PlanMissingError
            If it has not been built, or cannot be read.
        EngineError
            As :meth:`open_plan`.
        """
        plan = find_plan(self, spec, path, precision)
        if plan is None:
            raise PlanMissingError(
                f"back end {self.name} has no plan of {spec.engine_id} in {precision} for this machine; "
                f"build it: usassist engine build {spec.name} --backend {self.name} --precision {precision}"
            )
        try:
            return self.open_plan(spec, plan)
        except PlanMissingError:
            forget_plan(self, spec, path, precision)
            raise


def find_plan(backend: PlanBackend, spec: EngineSpec, path: Path, precision: str) -> Plan | None:
    """The plan that a back end runs instead of an ONNX file; None when it has not been built here.

    Parameters
    ----------
    backend : that runs it
    spec : the engine
    path : the ONNX file
    precision : part of the key; the file itself defines what is computed in it

    Raises
    ------
    CacheError
        If the cache folder cannot be used.
    EngineSpecError
        If the INT8 calibration is missing.
    """
    return _find(open_cache(), _plan_key(backend, spec, path, precision), spec)


def build_plan(backend: PlanBackend, spec: EngineSpec, path: Path, precision: str, progress: Progress) -> bool:
    """Build a plan into the cache, unless it is there. Waits where another process is building it.

    Parameters
    ----------
    backend, spec, path, precision : as of :func:`find_plan`
    progress : receives what is being done, and how much of it is done, 0 to 1

    Returns
    -------
    built : False when it was there already

    Raises
    ------
    CacheError
        If it cannot be stored; nothing half-written stays behind.
    EngineError
        If the back end cannot build it, or its tensors differ from the spec.
    """
    cache, key = open_cache(), _plan_key(backend, spec, path, precision)
    if _find(cache, key, spec) is not None:
        return False
    with cache.locked(key, lambda: _report_waiting(progress)):
        if _find(cache, key, spec) is not None:
            return False
        timing_key = _timing_key(backend, precision)
        timing = cache.load(timing_key)
        before = timing.content if timing is not None else b""
        started_s = time.monotonic()
        if precision == "int8":
            check_qdq(path)
        built = backend.build_plan(spec, path, precision, before, progress)
        build_s = time.monotonic() - started_s
        if not _fits(built.tensors, spec):
            listed = "; ".join(f"{name} {dtype} {sides}" for name, _, dtype, sides in built.tensors)
            raise EngineSpecError(
                f"engine {spec.engine_id}: the plan's tensors are {listed}; engine.toml says "
                f"{'; '.join(map(str, (*spec.inputs, *spec.outputs)))}; correct engine.toml or the export"
            )
        progress("storing", 0.0)
        facts = {"engine": spec.engine_id, "precision": precision, "tensors": built.tensors}
        cache.store(key, built.content, {"kind": "plan", **facts, "build_s": round(build_s, 3)})
        if built.timing and built.timing != before:
            try:
                cache.store(timing_key, built.timing, {"kind": "timing"})
            except CacheError as error:  # the plan is there; without the timings the next build only takes longer
                logger.warning("the timings of this build are not kept: %s", error)
    return True


def forget_plan(backend: PlanBackend, spec: EngineSpec, path: Path, precision: str) -> None:
    """Remove a plan from the cache, so that the next build makes another. Parameters as of :func:`find_plan`."""
    open_cache().forget(_plan_key(backend, spec, path, precision))


def plan_path(backend: PlanBackend, spec: EngineSpec, path: Path, precision: str) -> Path:
    """Path of a plan, whether it exists or not. Parameters as of :func:`find_plan`."""
    return open_cache().path(_plan_key(backend, spec, path, precision))


def _find(cache: Cache, key: Mapping[str, Any], spec: EngineSpec) -> Plan | None:
    entry = cache.load(key)
    if entry is None:
        return None
    tensors = _tensors(entry)
    if tensors is None or not _fits(tensors, spec):
        logger.warning("cache: %s has other tensors than %s; it is removed", entry.path.name, spec.engine_id)
        cache.forget(key)
        return None
    return Plan(content=entry.content, header=entry.header, tensors=tensors, path=entry.path)


def _tensors(entry: Entry) -> PlanTensors | None:
    try:
        return [
            (str(name), str(kind), str(dtype), [int(side) for side in sides])
            for name, kind, dtype, sides in entry.header["facts"]["tensors"]
        ]
    except (KeyError, TypeError, ValueError):
        return None


def _fits(tensors: PlanTensors, spec: EngineSpec) -> bool:
    """True when a plan has the tensors of the spec and no others."""
    wanted = {(tensor.name, "input"): tensor for tensor in spec.inputs}
    wanted |= {(tensor.name, "output"): tensor for tensor in spec.outputs}
    return sorted(wanted) == sorted((name, kind) for name, kind, _, _ in tensors) and all(
        wanted[name, kind].accepts(dtype, tuple(None if side == -1 else side for side in sides))
        for name, kind, dtype, sides in tensors
    )


def _plan_key(backend: PlanBackend, spec: EngineSpec, path: Path, precision: str) -> dict[str, Any]:
    return {
        "kind": "plan",
        "schema": _SCHEMA,
        "module": type(backend).__module__,
        "runtime": backend.plan_key(precision),
        "onnx_sha256": _sha256(path),
        "precision": precision,
        "calibration_sha256": _sha256(calibration_path(spec)) if precision == "int8" else None,
        "inputs": [
            [tensor.name, tensor.dtype, list(tensor.shape), tensor.min_shape, tensor.opt_shape, tensor.max_shape]
            for tensor in spec.inputs
        ],
    }


def _timing_key(backend: PlanBackend, precision: str) -> dict[str, Any]:
    return {
        "kind": "timing",
        "schema": _SCHEMA,
        "module": type(backend).__module__,
        "runtime": backend.timing_key(precision),
    }


def _report_waiting(progress: Progress) -> None:
    logger.warning("another process builds the same plan; waiting for it")
    progress("waiting for another process", 0.0)


def _sha256(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise EngineSpecError(f"{path} cannot be read: {error.strerror}; install the engine again") from error
