"""The table of back ends, and how an engine is opened with one of them.

A back end is a row of :data:`BACKENDS`: a file in ``engine/backends/`` and the device that it runs on. The file offers
``REQUIRES`` (what it imports), ``FORMATS`` (the artifacts it reads, best first), ``PRECISIONS`` (what it runs, in the
order in which ``auto`` takes them) and ``open``. It imports its runtime inside its functions, so that a machine
without that runtime can still list, test and run the others. See ``docs/engines.md``.
"""

from __future__ import annotations

import importlib
import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from usassist.engine.base import Engine
from usassist.engine.cuda import why_no_cuda
from usassist.engine.half import half_artifact, why_no_half
from usassist.engine.int8 import load_calibration
from usassist.engine.plan import build_plan, find_plan, forget_plan, plan_path
from usassist.engine.spec import INT8_ARTIFACT, EngineSpec
from usassist.errors import BackendUnavailableError, EngineError, EngineNotFoundError, PlanMissingError, UsageError

__all__ = [
    "AUTO_ORDER",
    "BACKENDS",
    "PRECISIONS",
    "Backend",
    "Pair",
    "Progress",
    "candidates",
    "is_ready",
    "load_engine",
    "needs_plan",
    "open_artifact",
    "open_checked",
    "open_engine",
    "open_first",
    "prepare",
    "prepared",
    "prepared_path",
    "requires",
    "runs",
    "why_not",
    "why_not_build",
    "why_unavailable",
]

logger = logging.getLogger(__name__)

Progress = Callable[[str, float], None]
"""Told what is being done and how much of it is done, 0 to 1."""

Pair = tuple[str, str]
"""Back end and precision."""


@dataclass(frozen=True, slots=True)
class Backend:
    """One row of the table.

    Attributes
    ----------
    module : the file in ``engine/backends/``
    device : ``cpu``, ``cuda``, or ``none`` where nothing is computed
    install : what to do when its runtime is missing
    """

    module: str
    device: str
    install: str


# In the order in which `auto` tries them.
BACKENDS: dict[str, Backend] = {
    "tensorrt": Backend("tensorrt", "cuda", "pip install 'usassist[tensorrt]'"),
    "tensorrt-rtx": Backend("tensorrt_rtx", "cuda", "pip install 'usassist[tensorrt-rtx]'"),
    "onnxruntime-cuda": Backend("onnxruntime", "cuda", "put onnxruntime-gpu in the place of onnxruntime"),
    "torch-cuda": Backend("torch", "cuda", "pip install 'usassist[torch]'"),
    "openvino": Backend("openvino", "cpu", "pip install openvino"),
    "onnxruntime": Backend("onnxruntime", "cpu", "pip install onnxruntime"),
    "torch": Backend("torch", "cpu", "pip install 'usassist[torch]'"),
    "null": Backend("null", "none", ""),
}
# `auto` takes the first that can run, on the processor the fastest one (see `engine/speed.py`). `null` computes
# nothing and is never taken without being asked for.
AUTO_ORDER = tuple(name for name in BACKENDS if name != "null")
PRECISIONS = ("fp32", "fp16", "int8")

_ADVICE = r"(;|, or) use (another )?--\w+( fp32)?$"  # which `auto` has followed already


def why_unavailable(backend: str) -> str | None:
    """Why a back end cannot run here, with what to install; None when it can.

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    """
    module, row = _module(backend), BACKENDS[backend]
    # The device comes first: a TensorRT runtime without a driver ends the interpreter, and no `except` helps.
    reason = why_no_cuda() if row.device == "cuda" else None
    reason = reason or _missing(module, row)
    if reason is None and hasattr(module, "why_not_here"):
        reason = module.why_not_here(row.device)
    return reason


def why_not_build(backend: str) -> str | None:
    """Why a back end cannot build plans here; None when it can, or when it needs none.

    Some can build where they cannot run: TensorRT for RTX compiles without a GPU.
    """
    if not needs_plan(backend):
        return None
    module, row = _module(backend), BACKENDS[backend]
    reason = why_no_cuda() if module.BUILD_NEEDS_DEVICE else None
    return reason or _missing(module, row)


def needs_plan(backend: str) -> bool:
    """True when a back end runs a plan that has to be built from the ONNX first, which takes a while."""
    return hasattr(_module(backend), "build_plan")


def requires(backend: str) -> tuple[str, ...]:
    """The modules that a back end imports."""
    names: tuple[str, ...] = _module(backend).REQUIRES
    return names


def runs(backend: str, precision: str) -> bool:
    """True when a back end runs artefacts of that precision at all, whether it is installed or not.

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    """
    return precision in _module(backend).PRECISIONS


def why_not(spec: EngineSpec, backend: str, precision: str, *, build: bool = False) -> str | None:
    """Why a back end cannot run an engine in a precision here, with what to do; None when it can, as far as is known.

    Parameters
    ----------
    build : ask whether it can build a plan here, instead of whether it can run

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    """
    reason = why_not_build(backend) if build else why_unavailable(backend)
    if reason is not None:
        return f"back end {backend} cannot {'build' if build else 'run'} here: {reason}"
    if precision not in spec.precisions:
        return _has_not(spec, precision)
    if not runs(backend, precision):
        return f"back end {backend} does not run {precision}; use another --backend, or --precision {spec.precision}"
    artifact = _artifact(spec, backend, precision)
    if artifact is None:
        formats = ", ".join(_module(backend).FORMATS)
        return f"back end {backend} reads {formats}; {spec.engine_id} has none; use another --backend"
    return why_no_half() if _is_derived(spec, precision) else None


def candidates(spec: EngineSpec, backend: str = "auto", precision: str = "auto") -> list[Pair]:
    """Back ends and precisions in the order of the table; whether each can run here is not asked.

    :func:`usassist.engine.speed.by_speed` puts those of ``auto`` into the order of this machine.

    Parameters
    ----------
    backend : a name of :data:`BACKENDS`, or ``auto`` for all of :data:`AUTO_ORDER`
    precision : one of :data:`PRECISIONS`, or ``auto`` for all that the engine has and the back end runs

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    UsageError
        If there is no precision of that name.
    BackendUnavailableError
        If the engine does not have the precision.
    """
    if precision != "auto":
        if precision not in PRECISIONS:
            raise UsageError(f"no precision {precision}; known: auto, {', '.join(sorted(PRECISIONS))}")
        if precision not in spec.precisions:
            raise BackendUnavailableError(_has_not(spec, precision))
    pairs = []
    for name in AUTO_ORDER if backend == "auto" else (backend,):
        offered = [item for item in _module(name).PRECISIONS if item in spec.precisions]
        if precision != "auto":
            offered = [precision] if precision in offered or backend != "auto" else []
        # FP16 is derived where it pays; on a processor it only costs accuracy, so it is never taken by itself there.
        elif BACKENDS[name].device != "cuda":
            offered = [item for item in offered if not _is_derived(spec, item)]
        pairs += [(name, item) for item in offered or [spec.precision]]
    return pairs


def open_engine(
    spec: EngineSpec,
    backend: str = "auto",
    threads: int = 0,
    precision: str = "auto",
    *,
    progress: Progress | None = None,
) -> Engine:
    """Open an engine: weights checked, tensors checked, golden input answered as it must be.

    The golden input is also the warm-up, so the first frame is not slower than the rest. A back end that is named and
    needs a plan builds it first, which takes minutes; ``auto`` takes only what is ready
    (:class:`usassist.engine.failover.FailoverEngine` builds in the background).

    Parameters
    ----------
    spec : from ``find_engine``
    backend : a name of :data:`BACKENDS`, or ``auto`` for the first that can run it, in the order that was measured
        here (:func:`usassist.engine.speed.by_speed`), else of :data:`AUTO_ORDER`
    threads : CPU threads; 0 = as many as the process may use
    precision : one of :data:`PRECISIONS`, or ``auto`` for the first that the engine has and the back end runs. One
        that answers wrong is then passed over, and a line says what runs instead; a precision that is named is used or
        refused.
    progress : told how a build goes

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    UsageError
        If there is no precision of that name.
    BackendUnavailableError
        If the back end, or with ``auto`` every one of them, cannot run here; the message says why each cannot.
    EngineError
        If weights, calibration, tensors or golden output do not agree with the spec.
    """
    from usassist.engine.speed import by_speed  # it times what is opened here

    pairs = candidates(spec, backend, precision)
    pairs = by_speed(spec, pairs, threads) if backend == "auto" else prepared(spec, pairs, progress)
    return open_first(spec, pairs, threads)[1]


def open_first(spec: EngineSpec, pairs: list[Pair], threads: int) -> tuple[int, Engine, list[EngineError]]:
    """Open the first back end and precision that can be opened, and tell what was passed over for it.

    Returns
    -------
    index : which of `pairs`
    engine : opened, and its golden input answered
    errors : why those before it could not be opened, in their order

    Raises
    ------
    BackendUnavailableError
        If none can; the message says why each cannot.
    EngineError
        The reason itself, where there is only one.
    """
    errors: list[EngineError] = []
    for index, (backend, precision) in enumerate(pairs):
        try:
            engine = open_checked(spec, backend, threads, precision)
        except EngineError as error:
            if len(pairs) == 1:
                raise
            errors.append(error)
            continue
        for (name, item), reason in zip(pairs, errors, strict=False):
            # What is not here at all is no news to the user of `auto`; what is here and fails is.
            level = logging.INFO if isinstance(reason, BackendUnavailableError) else logging.WARNING
            why = re.sub(_ADVICE, "", str(reason))
            logger.log(level, "%s answers; %s %s is passed over: %s", engine.backend, name, item, why)
        return index, engine, errors
    reasons = [f"{backend} {precision}: {error}" for (backend, precision), error in zip(pairs, errors, strict=True)]
    raise BackendUnavailableError(f"no back end can run {spec.engine_id}: " + " | ".join(_once(reasons)))


def prepared(spec: EngineSpec, pairs: list[Pair], progress: Progress | None = None) -> list[Pair]:
    """Those of one back end's pairs that can be opened, after the plan of the first has been built where one is needed.

    Raises
    ------
    EngineError
        If the back end cannot run or cannot build here.
    """
    backend, precision = pairs[0]
    reason = why_unavailable(backend)
    if reason is not None:
        raise BackendUnavailableError(f"back end {backend} cannot run here: {reason}")
    prepare(spec, backend, precision, progress)
    return pairs[:1] if needs_plan(backend) else pairs


def open_checked(spec: EngineSpec, backend: str, threads: int, precision: str) -> Engine:
    """Open one back end in one precision, and ask it the golden input.

    A plan that does not answer it as it must is thrown away, so that the next build makes another.

    Raises
    ------
    PlanMissingError
        If its plan has not been built.
    EngineError
        As `open_engine`.
    """
    engine = load_engine(spec, backend, threads, precision)
    if backend == "null":
        return engine
    try:
        difference = engine.verify()
    except EngineError:
        engine.close()
        if needs_plan(backend):
            forget_plan(_module(backend), spec, artifact_path(spec, backend, precision), precision)
        raise
    logger.info("%s on %s: golden output met within %.3g", spec.engine_id, engine.backend, difference)
    return engine


def is_ready(spec: EngineSpec, backend: str, precision: str) -> bool:
    """True when a back end can run an engine in a precision at once: nothing is missing, and its plan is built."""
    if why_not(spec, backend, precision) is not None:
        return False
    if not needs_plan(backend):
        return True
    try:
        return find_plan(_module(backend), spec, artifact_path(spec, backend, precision), precision) is not None
    except EngineError:
        return False


def load_engine(spec: EngineSpec, backend: str, threads: int, precision: str) -> Engine:
    """Open an engine without asking it the golden input. For measuring how long that takes; to run, `open_engine`.

    Raises
    ------
    PlanMissingError
        If its plan has not been built.
    EngineError
        As `open_engine`, except for the golden output.
    """
    reason = why_not(spec, backend, precision)
    if reason is not None:
        raise BackendUnavailableError(reason)
    return open_artifact(spec, backend, threads, precision, artifact_path(spec, backend, precision))


def open_artifact(spec: EngineSpec, backend: str, threads: int, precision: str, path: Path) -> Engine:
    """Open a file that need not be the engine's yet: its tensors are checked against the spec, and nothing else.

    Raises
    ------
    PlanMissingError
        If the back end needs a plan of this file and there is none.
    EngineError
        If the back end cannot load the file, or its tensors differ from the spec.
    """
    module = _module(backend)
    if needs_plan(backend):
        plan = find_plan(module, spec, path, precision)
        if plan is None:
            raise PlanMissingError(
                f"back end {backend} has no plan of {spec.engine_id} in {precision} for this machine; "
                f"build it: usassist engine build {spec.name} --backend {backend} --precision {precision}"
            )
        try:
            session = module.open_plan(spec, plan)
        except PlanMissingError:  # it is there and cannot be read: the next build makes another
            forget_plan(module, spec, path, precision)
            raise
    else:
        session = module.open(spec, path, device=BACKENDS[backend].device, threads=threads, precision=precision)
    try:
        return Engine(spec, backend, session, precision)
    except EngineError:
        session.close()
        raise


def artifact_path(spec: EngineSpec, backend: str, precision: str) -> Path:
    """The file that a back end reads for a precision, with its hash checked; FP16 is derived where there is none.

    Raises
    ------
    EngineError
        If there is none, it is not the file that the spec names, or its calibration does not fit.
    """
    artifact = _artifact(spec, backend, precision)
    if artifact is None:
        raise BackendUnavailableError(why_not(spec, backend, precision) or f"{backend} reads nothing of {spec.name}")
    path = spec.check_weights(artifact)
    if artifact == INT8_ARTIFACT:
        load_calibration(spec)
    return half_artifact(spec, path) if _is_derived(spec, precision) else path


def prepare(spec: EngineSpec, backend: str, precision: str, progress: Progress | None = None) -> bool:
    """Build what a back end needs before it can open an engine, in this process; a moment where it is there already.

    Returns
    -------
    built : False when nothing had to be built

    Raises
    ------
    EngineError
        If it cannot be built here; nothing half-built stays behind.
    """
    if not needs_plan(backend):
        return False
    reason = why_not(spec, backend, precision, build=True)
    if reason is not None:
        raise BackendUnavailableError(reason)
    path = artifact_path(spec, backend, precision)
    return build_plan(_module(backend), spec, path, precision, progress or (lambda _stage, _share: None))


def prepared_path(spec: EngineSpec, backend: str, precision: str) -> Path:
    """Where that lies which :func:`prepare` makes: the plan, or the file that a back end without plans reads.

    Raises
    ------
    EngineError
        As :func:`artifact_path`.
    """
    path = artifact_path(spec, backend, precision)
    return plan_path(_module(backend), spec, path, precision) if needs_plan(backend) else path


def _missing(module: ModuleType, row: Backend) -> str | None:
    for name in module.REQUIRES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            return f"{name} cannot be imported ({error}); {row.install}"
    return module.why_not_installed() if hasattr(module, "why_not_installed") else None


def _has_not(spec: EngineSpec, precision: str) -> str:
    make = "; or make it: usassist engine quantize" if precision == "int8" else ""
    has = " and ".join(spec.precisions)
    return f"{spec.engine_id} has {has}, not {precision}; use --precision {spec.precision}{make}"


def _is_derived(spec: EngineSpec, precision: str) -> bool:
    """True when an artefact of that precision is made from the parent on this machine."""
    return precision == "fp16" != spec.precision


def _artifact(spec: EngineSpec, backend: str, precision: str) -> str | None:
    """The artefact that a back end reads for a precision, or that it is derived from; None when there is none."""
    suffix = "" if precision == spec.precision or _is_derived(spec, precision) else f"_{precision}"
    return next((name + suffix for name in _module(backend).FORMATS if name + suffix in spec.artifacts), None)


def _once(reasons: Iterable[str]) -> list[str]:
    """One reason for each back end: that its runtime is missing need not be said for every precision."""
    return list({reason.split(": ", 1)[1]: reason for reason in reversed(list(reasons))}.values())[::-1]


def _module(backend: str) -> ModuleType:
    if backend not in BACKENDS:
        raise EngineNotFoundError(f"no back end {backend}; known: auto, {', '.join(BACKENDS)}")
    return importlib.import_module(f"usassist.engine.backends.{BACKENDS[backend].module}")
