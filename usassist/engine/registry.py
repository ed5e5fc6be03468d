"""The table of back ends, and the three questions about them: what is there, why not, and open.

- :func:`list_backends` and :func:`candidates`: what is there, and in which order ``auto`` tries it;
- :func:`why_not`: why one cannot run here, or cannot run an engine here;
- :func:`open_engine`: open an engine, its golden input answered.

A back end is one row of :data:`BACKENDS`, or an entry point ``usassist.backends`` of an installed package. Its class is
imported when it is first used, and its runtime inside the class, so a machine without a runtime can still list, test
and run the others. The contract is :mod:`usassist.engine.backend`; how to add one is in ``docs/engines.md``.
"""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from usassist.engine.backend import DEVICES, PRECISIONS, Backend, Progress
from usassist.engine.base import Engine
from usassist.engine.cuda import why_no_cuda
from usassist.engine.half import why_no_half
from usassist.engine.plan import PlanBackend
from usassist.engine.spec import EngineSpec
from usassist.errors import BackendUnavailableError, EngineError, EngineNotFoundError, UsageError

__all__ = [
    "AUTO_ORDER",
    "BACKENDS",
    "ENTRY_POINTS",
    "Pair",
    "Row",
    "candidates",
    "device_of",
    "get_backend",
    "list_backends",
    "open_engine",
    "why_not",
]

logger = logging.getLogger(__name__)

Pair = tuple[str, str]
"""Back end and precision."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    target : ``module:class``; the class is derived from :class:`usassist.engine.backend.Backend`
    device : ``cpu``, ``cuda``, or ``none`` where nothing is computed
    install : what to do when its runtime is missing
    """

    target: str
    device: str
    install: str


_HERE = "usassist.engine.backends"
# In the order in which `auto` tries them.
BACKENDS: dict[str, Row] = {
    "tensorrt": Row(f"{_HERE}.tensorrt:TensorRtBackend", "cuda", "pip install 'usassist[tensorrt]'"),
    "tensorrt-rtx": Row(f"{_HERE}.tensorrt_rtx:TensorRtRtxBackend", "cuda", "pip install 'usassist[tensorrt-rtx]'"),
    "onnxruntime-cuda": Row(
        f"{_HERE}.onnxruntime:OnnxRuntimeBackend", "cuda", "install onnxruntime-gpu instead of onnxruntime"
    ),
    "torch-cuda": Row(f"{_HERE}.torch:TorchBackend", "cuda", "pip install 'usassist[torch]'"),
    "openvino": Row(f"{_HERE}.openvino:OpenVinoBackend", "cpu", "pip install openvino"),
    "onnxruntime": Row(f"{_HERE}.onnxruntime:OnnxRuntimeBackend", "cpu", "pip install onnxruntime"),
    "torch": Row(f"{_HERE}.torch:TorchBackend", "cpu", "pip install 'usassist[torch]'"),
    "null": Row(f"{_HERE}.null:NullBackend", "none", ""),
}
# `auto` takes the first that can run, on the processor the fastest one (see `engine/speed.py`). `null` computes
# nothing, and what comes from another package was not measured with our engines: both are taken only when named.
AUTO_ORDER = tuple(name for name in BACKENDS if name != "null")

_SUFFIXES = tuple(f"-{precision}" for precision in PRECISIONS)  # results add them to the name

ENTRY_POINTS = "usassist.backends"
"""Group of the entry points with which other packages add back ends; each names an instance of ``Backend``."""


def list_backends() -> tuple[str, ...]:
    """Names of all back ends: those of the table in its order, then those of other packages. Imports none of them."""
    return (*BACKENDS, *_foreign())


def get_backend(name: str) -> Backend:
    """The back end of that name; its runtime is not imported.

    Raises
    ------
    EngineNotFoundError
        If there is none of that name.
    BackendUnavailableError
        If it is another package's and that package is broken; the message says what is wrong with it.
    """
    row = BACKENDS.get(name)
    if row is not None:
        module, _, kind = row.target.partition(":")
        found: Backend = getattr(importlib.import_module(module), kind)(name, device=row.device, install=row.install)
        return found
    foreign = _foreign()
    if name not in foreign:
        raise EngineNotFoundError(f"no back end {name}; known: auto, {', '.join((*BACKENDS, *foreign))}")
    return _load(foreign[name])


def device_of(name: str) -> str:
    """``cpu``, ``cuda`` or ``none``, which also stands for a back end that is not known or cannot be imported."""
    if name in BACKENDS:
        return BACKENDS[name].device
    try:
        return get_backend(name).device
    except EngineError:
        return "none"


def why_not(
    backend: str, spec: EngineSpec | None = None, precision: str | None = None, *, build: bool = False
) -> str | None:
    """Why a back end cannot run here, with what to do; None when it can, as far as is known without opening it.

    Parameters
    ----------
    backend : a name of :func:`list_backends`
    spec, precision : ask for this engine in this precision (None = its own), not for the back end alone; the reason is
        then a sentence that names the back end
    build : ask whether it can build a plan here instead. Some can build where they cannot run: TensorRT for RTX
        compiles without a GPU. A back end that needs no plan can always "build".

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    """
    try:
        found = get_backend(backend)
    except BackendUnavailableError as error:
        return str(error)
    reason = _why_not_at_all(found, build=build)
    if spec is None:
        return reason
    if reason is not None:
        return f"back end {backend} cannot {'build' if build else 'run'} here: {reason}"
    precision = precision or spec.precision
    if precision not in spec.precisions:
        return _has_not(spec, precision)
    if precision not in found.precisions:
        return f"back end {backend} does not run {precision}; use another --backend, or --precision {spec.precision}"
    if spec.artifact_for(precision, found.formats) is None:
        return f"back end {backend} reads {', '.join(found.formats)}; {spec.engine_id} has none; use another --backend"
    return why_no_half() if spec.is_derived(precision) else None


def candidates(spec: EngineSpec, backend: str = "auto", precision: str = "auto") -> list[Pair]:
    """Back ends and precisions to try, in the order of the table; whether each can run here is another question.

    :func:`usassist.engine.speed.by_speed` sorts those of ``auto`` into the order of this machine.

    Parameters
    ----------
    backend : a name of :func:`list_backends`, or ``auto`` for all of :data:`AUTO_ORDER`
    precision : ``fp32``, ``fp16`` or ``int8``, or ``auto`` for all that the engine has and the back end runs

    Raises
    ------
    EngineNotFoundError
        If there is no back end of that name.
    UsageError
        If there is no precision of that name.
    BackendUnavailableError
        If the engine does not have the precision, or the back end is another package's and broken.
    """
    if precision != "auto":
        if precision not in PRECISIONS:
            raise UsageError(f"no precision {precision}; known: auto, {', '.join(sorted(PRECISIONS))}")
        if precision not in spec.precisions:
            raise BackendUnavailableError(_has_not(spec, precision))
    pairs = []
    for name in AUTO_ORDER if backend == "auto" else (backend,):
        found = get_backend(name)
        offered = [item for item in found.precisions if item in spec.precisions]
        if precision != "auto":
            offered = [precision] if precision in offered or backend != "auto" else []
        # A derived FP16 pays on a GPU; on a processor it only costs accuracy, so there it is taken only when named.
        elif found.device != "cuda":
            offered = [item for item in offered if not spec.is_derived(item)]
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
    """Open an engine: weights checked, tensors checked, golden input answered within its limits.

    The golden input is also the warm-up, so the first frame is no slower than the rest. A back end that is named and
    needs a plan builds it first, which takes minutes; ``auto`` takes only what is ready
    (:class:`usassist.engine.failover.FailoverEngine` builds in the background).

    Parameters
    ----------
    spec : from ``find_engine``
    backend : a name of :func:`list_backends`, or ``auto`` for the first that can run it, in the order measured here
        (:func:`usassist.engine.speed.by_speed`), else of :data:`AUTO_ORDER`
    threads : CPU threads; 0 = as many as the process may use
    precision : ``fp32``, ``fp16`` or ``int8``, or ``auto`` for the first that the engine has and the back end runs. One
        that misses its golden output is then skipped, and a log line names what runs instead; a precision that is
        named is used or refused.
    progress : receives how a build goes

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
    from usassist.engine.opening import open_first, prepared  # they look back ends up here
    from usassist.engine.speed import by_speed

    pairs = candidates(spec, backend, precision)
    pairs = by_speed(spec, pairs, threads) if backend == "auto" else prepared(spec, pairs, progress)
    return open_first(spec, pairs, threads)[1]


def _why_not_at_all(backend: Backend, *, build: bool) -> str | None:
    needs_device = backend.device == "cuda"
    if build:
        if not isinstance(backend, PlanBackend):
            return None
        needs_device = backend.build_needs_device
    # The device comes first: a TensorRT runtime without a driver ends the interpreter, and no `except` helps.
    reason = why_no_cuda() if needs_device else None
    try:
        reason = reason or backend.why_not_installed()
        return reason if build else reason or backend.why_not_here()
    except Exception as error:  # noqa: BLE001 - another package's code, and the other back ends must still be listed
        return f"it fails when it is asked: {error!r}; repair or remove its package"


def _has_not(spec: EngineSpec, precision: str) -> str:
    make = "; or make it: usassist engine quantize" if precision == "int8" else ""
    has = " and ".join(spec.precisions)
    return f"{spec.engine_id} has {has}, not {precision}; use --precision {spec.precision}{make}"


def _foreign() -> dict[str, EntryPoint]:
    """Back ends of other packages, by name; not cached: reading takes milliseconds, and packages come and go."""
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=ENTRY_POINTS):
        if point.name in ("auto", "all") or point.name in BACKENDS or point.name.endswith(_SUFFIXES):
            logger.warning("back end %s of %s is not used: its name is taken", point.name, point.value)
        else:
            found.setdefault(point.name, point)
    return found


def _load(point: EntryPoint) -> Backend:
    try:
        found = point.load()
    except (Exception, SystemExit) as error:
        raise BackendUnavailableError(
            f"{point.value} cannot be imported: {error!r}; repair or remove its package"
        ) from error
    if not isinstance(found, Backend) or found.name != point.name or found.device not in DEVICES:
        raise BackendUnavailableError(
            f"{point.value} is {found!r}, not an instance of usassist.engine.backend.Backend with the name "
            f"{point.name} and a device of {', '.join(DEVICES)}; repair or remove its package"
        )
    return found
