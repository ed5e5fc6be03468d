"""How an engine is opened with one back end: find the file, check its hash, build a plan, run the golden input.

:func:`usassist.engine.registry.open_engine` is what most callers need; the steps are here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from pathlib import Path

from usassist.engine.backend import Progress
from usassist.engine.base import Engine
from usassist.engine.half import half_artifact
from usassist.engine.int8 import load_calibration
from usassist.engine.plan import PlanBackend, build_plan, find_plan, forget_plan, plan_path
from usassist.engine.registry import Pair, get_backend, why_not
from usassist.engine.spec import INT8_ARTIFACT, EngineSpec
from usassist.errors import BackendUnavailableError, EngineError

__all__ = [
    "artifact_path",
    "is_ready",
    "load_engine",
    "open_artifact",
    "open_checked",
    "open_first",
    "prepare",
    "prepared",
    "prepared_path",
]

logger = logging.getLogger(__name__)

_ADVICE = r"(;|, or) use (another )?--\w+( fp32)?$"  # what `auto` does anyway


def open_first(spec: EngineSpec, pairs: list[Pair], threads: int) -> tuple[int, Engine, list[EngineError]]:
    """Open the first back end and precision that can be opened.

    Returns
    -------
    index : which of `pairs`
    engine : opened, and its golden output met
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
            # A back end that is not installed is expected under `auto`; one that is installed and fails is not.
            level = logging.INFO if isinstance(reason, BackendUnavailableError) else logging.WARNING
            why = re.sub(_ADVICE, "", str(reason))
            logger.log(level, "using %s; %s %s is skipped: %s", engine.backend, name, item, why)
        return index, engine, errors
    reasons = [f"{backend} {precision}: {error}" for (backend, precision), error in zip(pairs, errors, strict=True)]
    raise BackendUnavailableError(f"no back end can run {spec.engine_id}: " + " | ".join(_once(reasons)))


def open_checked(spec: EngineSpec, backend: str, threads: int, precision: str) -> Engine:
    """Open one back end in one precision, and run the golden input.

    A plan that misses the golden output is deleted, so that the next build makes another.

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
        found = get_backend(backend)
        if isinstance(found, PlanBackend):
            forget_plan(found, spec, artifact_path(spec, backend, precision), precision)
        raise
    logger.info("%s on %s: golden output met within %.3g", spec.engine_id, engine.backend, difference)
    return engine


def load_engine(spec: EngineSpec, backend: str, threads: int, precision: str) -> Engine:
    """Open an engine without running the golden input. For measuring how long that takes; to run, `open_engine`.

    Raises
    ------
    PlanMissingError
        If its plan has not been built.
    EngineError
        As `open_engine`, except for the golden output.
    """
    reason = why_not(backend, spec, precision)
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
    runner = get_backend(backend).open(spec, path, threads=threads, precision=precision)
    try:
        return Engine(spec, backend, runner, precision)
    except EngineError:
        runner.close()
        raise


def artifact_path(spec: EngineSpec, backend: str, precision: str) -> Path:
    """The file that a back end reads for a precision, with its hash checked; FP16 is derived where there is none.

    Raises
    ------
    EngineError
        If there is none, it is not the file that the spec names, or its calibration does not fit.
    """
    artifact = spec.artifact_for(precision, get_backend(backend).formats)
    if artifact is None:
        raise BackendUnavailableError(why_not(backend, spec, precision) or f"{backend} reads nothing of {spec.name}")
    path = spec.check_weights(artifact)
    if artifact == INT8_ARTIFACT:
        load_calibration(spec)
    return half_artifact(spec, path) if spec.is_derived(precision) else path


def is_ready(spec: EngineSpec, backend: str, precision: str) -> bool:
    """True when a back end can run an engine in a precision at once: nothing is missing, and its plan is built."""
    if why_not(backend, spec, precision) is not None:
        return False
    found = get_backend(backend)
    if not isinstance(found, PlanBackend):
        return True
    try:
        return find_plan(found, spec, artifact_path(spec, backend, precision), precision) is not None
    except EngineError:
        return False


def prepared(spec: EngineSpec, pairs: list[Pair], progress: Progress | None = None) -> list[Pair]:
    """Those of one back end's pairs that can be opened, after the plan of the first has been built where one is needed.

    Raises
    ------
    EngineError
        If the back end cannot run or cannot build here.
    """
    backend, precision = pairs[0]
    reason = why_not(backend)
    if reason is not None:
        raise BackendUnavailableError(f"back end {backend} cannot run here: {reason}")
    prepare(spec, backend, precision, progress)
    return pairs[:1] if isinstance(get_backend(backend), PlanBackend) else pairs


def prepare(spec: EngineSpec, backend: str, precision: str, progress: Progress | None = None) -> bool:
    """Build what a back end needs before it can open an engine, in this process; returns at once where it is built.

    Returns
    -------
    built : False when nothing had to be built

    Raises
    ------
    EngineError
        If it cannot be built here; nothing half-built stays behind.
    """
    found = get_backend(backend)
    if not isinstance(found, PlanBackend):
        return False
    reason = why_not(backend, spec, precision, build=True)
    if reason is not None:
        raise BackendUnavailableError(reason)
    path = artifact_path(spec, backend, precision)
    return build_plan(found, spec, path, precision, progress or (lambda _stage, _share: None))


def prepared_path(spec: EngineSpec, backend: str, precision: str) -> Path:
    """Path of the result of :func:`prepare`: the plan, or the file that a back end without plans reads.

    Raises
    ------
    EngineError
        As :func:`artifact_path`.
    """
    path, found = artifact_path(spec, backend, precision), get_backend(backend)
    return plan_path(found, spec, path, precision) if isinstance(found, PlanBackend) else path


def _once(reasons: Iterable[str]) -> list[str]:
    """One reason for each back end: a missing runtime is not repeated for every precision."""
    return list({reason.split(": ", 1)[1]: reason for reason in reversed(list(reasons))}.values())[::-1]
