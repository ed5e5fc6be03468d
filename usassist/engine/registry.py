"""The table of back ends, and how an engine is opened with one of them.

A back end is one file in ``engine/backends/`` that offers three names: ``REQUIRES`` (what it imports), ``FORMATS``
(the artifacts it reads, best first) and ``open(spec, path, threads) -> Session``. It imports its runtime inside
``open``, so that a machine without that runtime can still list, test and run the others. See ``docs/engines.md``.
"""

from __future__ import annotations

import importlib
import logging
from types import ModuleType

from usassist.engine.base import Engine
from usassist.engine.spec import EngineSpec
from usassist.errors import BackendUnavailableError, EngineError, EngineNotFoundError

__all__ = ["AUTO_ORDER", "BACKENDS", "open_engine", "why_unavailable"]

logger = logging.getLogger(__name__)

# name → what to install when it is missing
BACKENDS: dict[str, str] = {
    "openvino": "pip install openvino",
    "onnxruntime": "pip install onnxruntime",
    "null": "",
}
# `auto` takes the first that can run. `null` computes nothing and is never taken without being asked for.
AUTO_ORDER = ("openvino", "onnxruntime")


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


def open_engine(spec: EngineSpec, backend: str = "auto", threads: int = 0) -> Engine:
    """Open an engine: weights checked, tensors checked, golden input answered as it must be.

    The golden input is also the warm-up, so the first frame is not slower than the rest.

    Parameters
    ----------
    spec : from ``find_engine``
    backend : a name of :data:`BACKENDS`, or ``auto`` for the first of :data:`AUTO_ORDER` that can run it
    threads : CPU threads; 0 = as many as the process may use

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    BackendUnavailableError
        If the back end, or with ``auto`` every one of them, cannot run here; the message says why each cannot.
    EngineError
        If weights, tensors or golden output do not agree with the spec.
    """
    if backend != "auto":
        return _open(spec, backend, threads)
    reasons = []
    for name in AUTO_ORDER:
        try:
            return _open(spec, name, threads)
        except EngineError as error:
            logger.warning("back end %s cannot run %s: %s", name, spec.engine_id, error)
            reasons.append(f"{name}: {error}")
    raise BackendUnavailableError(f"no back end can run {spec.engine_id}: " + " | ".join(reasons))


def _open(spec: EngineSpec, backend: str, threads: int) -> Engine:
    module = _module(backend)
    reason = why_unavailable(backend)
    if reason is not None:
        raise BackendUnavailableError(f"back end {backend} cannot run here: {reason}")
    artifact = next((name for name in module.FORMATS if name in spec.artifacts), None)
    if artifact is None:
        raise BackendUnavailableError(
            f"back end {backend} reads {', '.join(module.FORMATS)}; {spec.engine_id} has none"
        )
    engine = Engine(spec, backend, module.open(spec, spec.check_weights(artifact), threads))
    if backend != "null":
        try:
            difference = engine.verify()
        except EngineError:
            engine.close()
            raise
        logger.info("%s on %s: golden output met within %.3g", spec.engine_id, backend, difference)
    return engine


def _module(backend: str) -> ModuleType:
    if backend not in BACKENDS:
        raise EngineNotFoundError(f"no back end {backend}; known: auto, {', '.join(BACKENDS)}")
    return importlib.import_module(f"usassist.engine.backends.{backend}")
