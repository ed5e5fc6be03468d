"""The table of back ends, and how an engine is opened with one of them.

A back end is one file in ``engine/backends/`` that offers four names: ``REQUIRES`` (what it imports), ``FORMATS``
(the artifacts it reads, best first), ``PRECISIONS`` (what it runs) and ``open(spec, path, threads, precision) ->
Session``. It imports its runtime inside ``open``, so that a machine without that runtime can still list, test and run
the others. See ``docs/engines.md``.
"""

from __future__ import annotations

import importlib
import logging
from pathlib import Path
from types import ModuleType

from usassist.engine.base import Engine
from usassist.engine.int8 import load_calibration
from usassist.engine.spec import INT8_ARTIFACT, EngineSpec
from usassist.errors import BackendUnavailableError, EngineError, EngineNotFoundError, UsageError

__all__ = [
    "AUTO_ORDER",
    "BACKENDS",
    "PRECISIONS",
    "load_engine",
    "open_artifact",
    "open_engine",
    "runs",
    "why_not",
    "why_unavailable",
]

logger = logging.getLogger(__name__)

# name → what to install when it is missing
BACKENDS: dict[str, str] = {
    "openvino": "pip install openvino",
    "onnxruntime": "pip install onnxruntime",
    "null": "",
}
# `auto` takes the first that can run. `null` computes nothing and is never taken without being asked for.
AUTO_ORDER = ("openvino", "onnxruntime")
# `auto` takes the first that the engine has and the back end runs.
PRECISIONS = ("int8", "fp32", "fp16")


def why_unavailable(backend: str) -> str | None:
    """Why a back end cannot run here, with what to install; None when it can.

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    """
    for name in _module(backend).REQUIRES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            return f"{name} cannot be imported ({error}); {BACKENDS[backend]}"
    return None


def runs(backend: str, precision: str) -> bool:
    """True when a back end runs artefacts of that precision at all, whether it is installed or not.

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    """
    return precision in _module(backend).PRECISIONS


def why_not(spec: EngineSpec, backend: str, precision: str) -> str | None:
    """Why a back end cannot run an engine in a precision here, with what to do; None when it can, as far as is known.

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    """
    reason = why_unavailable(backend)
    if reason is not None:
        return f"back end {backend} cannot run here: {reason}"
    if precision not in spec.precisions:
        return _has_not(spec, precision)
    if not runs(backend, precision):
        return f"back end {backend} does not run {precision}; use another --backend, or --precision {spec.precision}"
    if _artifact(spec, backend, precision) is None:
        formats = ", ".join(_module(backend).FORMATS)
        return f"back end {backend} reads {formats}; {spec.engine_id} has none; use another --backend"
    return None


def open_engine(spec: EngineSpec, backend: str = "auto", threads: int = 0, precision: str = "auto") -> Engine:
    """Open an engine: weights checked, tensors checked, golden input answered as it must be.

    The golden input is also the warm-up, so the first frame is not slower than the rest.

    Parameters
    ----------
    spec : from ``find_engine``
    backend : a name of :data:`BACKENDS`, or ``auto`` for the first of :data:`AUTO_ORDER` that can run it
    threads : CPU threads; 0 = as many as the process may use
    precision : ``fp32`` or ``int8``, or ``auto`` for ``int8`` where the engine has it and the back end runs it, else
        the parent's. What cannot be used is then left with a warning; a precision that is named is used or refused.

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
    if precision != "auto" and precision not in PRECISIONS:
        raise UsageError(f"no precision {precision}; known: auto, {', '.join(sorted(PRECISIONS))}")
    if backend != "auto":
        return _open(spec, backend, threads, precision)
    if precision not in ("auto", *spec.precisions):
        raise BackendUnavailableError(_has_not(spec, precision))
    reasons = []
    for name in AUTO_ORDER:
        try:
            return _open(spec, name, threads, precision)
        except EngineError as error:
            logger.warning("back end %s cannot run %s: %s", name, spec.engine_id, error)
            reasons.append(f"{name}: {error}")
    raise BackendUnavailableError(f"no back end can run {spec.engine_id}: " + " | ".join(reasons))


def load_engine(spec: EngineSpec, backend: str, threads: int, precision: str) -> Engine:
    """Open an engine without asking it the golden input. For measuring how long that takes; to run, `open_engine`.

    Raises
    ------
    EngineError
        As `open_engine`, except for the golden output.
    """
    reason = why_not(spec, backend, precision)
    artifact = _artifact(spec, backend, precision)
    if reason is not None or artifact is None:
        raise BackendUnavailableError(reason or f"back end {backend} reads nothing of {spec.engine_id}")
    path = spec.check_weights(artifact)
    if precision == "int8" and artifact == INT8_ARTIFACT:
        load_calibration(spec)
    return open_artifact(spec, backend, threads, precision, path)


def open_artifact(spec: EngineSpec, backend: str, threads: int, precision: str, path: Path) -> Engine:
    """Open a file that need not be the engine's yet: its tensors are checked against the spec, and nothing else.

    Raises
    ------
    EngineError
        If the back end cannot load the file, or its tensors differ from the spec.
    """
    session = _module(backend).open(spec, path, threads, precision)
    try:
        return Engine(spec, backend, session, precision)
    except EngineError:
        session.close()
        raise


def _open(spec: EngineSpec, backend: str, threads: int, precision: str) -> Engine:
    if precision != "auto":
        return _open_checked(spec, backend, threads, precision)
    usable = [name for name in PRECISIONS if name in spec.precisions and runs(backend, name)]
    for name in usable[:-1]:
        try:
            return _open_checked(spec, backend, threads, name)
        except EngineError as error:
            if why_unavailable(backend) is not None:
                raise
            logger.warning("back end %s cannot run %s in %s: %s", backend, spec.engine_id, name, error)
    return _open_checked(spec, backend, threads, usable[-1] if usable else spec.precision)


def _open_checked(spec: EngineSpec, backend: str, threads: int, precision: str) -> Engine:
    engine = load_engine(spec, backend, threads, precision)
    if backend != "null":
        try:
            difference = engine.verify()
        except EngineError:
            engine.close()
            raise
        logger.info("%s on %s: golden output met within %.3g", spec.engine_id, engine.backend, difference)
    return engine


def _has_not(spec: EngineSpec, precision: str) -> str:
    make = "; or make it: usassist engine quantize" if precision == "int8" else ""
    has = " and ".join(spec.precisions)
    return f"{spec.engine_id} has {has}, not {precision}; use --precision {spec.precision}{make}"


def _artifact(spec: EngineSpec, backend: str, precision: str) -> str | None:
    """Name of the artefact that a back end reads for a precision; None when there is none."""
    suffix = "" if precision == spec.precision else f"_{precision}"
    return next((name + suffix for name in _module(backend).FORMATS if name + suffix in spec.artifacts), None)


def _module(backend: str) -> ModuleType:
    if backend not in BACKENDS:
        raise EngineNotFoundError(f"no back end {backend}; known: auto, {', '.join(BACKENDS)}")
    return importlib.import_module(f"usassist.engine.backends.{backend}")
