"""OpenVINO on the CPU: the default where there is no GPU."""

from __future__ import annotations

import io
import logging
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from usassist.common.processor import read_processor
from usassist.engine.backend import Backend, Runner, Tensors
from usassist.engine.cache import Cache, open_cache
from usassist.engine.cache_entry import file_sha256
from usassist.engine.spec import EngineSpec
from usassist.errors import BackendUnavailableError, CacheError, EngineError

__all__ = ["MIN_INT8_SHARE", "OpenVinoBackend", "compile_options", "count_int8"]

logger = logging.getLogger(__name__)

# OpenVINO's Python package sends telemetry to its maker from a process that it forks. Nothing leaves this machine
# without its user's consent; without that module OpenVINO falls back to a stub of its own.
sys.modules.setdefault("openvino_telemetry", cast(ModuleType, None))

MIN_INT8_SHARE = 0.9
"""Share of the convolutions and fully connected layers that must run in INT8 for the engine to be called INT8."""


@cache
def process_core() -> Any:
    """OpenVINO's entry point, one for this process and never given up.

    Its CPU plugin gives the thread that loads it another stack for signals, and frees that stack with the last user of
    the plugin. Where that happens in another thread, the first thread keeps an address that is gone, and the next
    signal ends the process (SIGSEGV).
    """
    import openvino

    return openvino.Core()


class _OpenVinoRunner:
    device = "CPU"

    def __init__(self, spec: EngineSpec, path: Path, threads: int, precision: str) -> None:
        core = process_core()
        try:
            model, (quantised, layers) = _compiled(core, spec, path, threads, precision)
            self._request: Any = model.create_infer_request()
        except RuntimeError as error:
            raise EngineError(
                f"OpenVINO cannot load {path.name}: {_first_line(error)}; try --backend onnxruntime"
            ) from error
        if precision == "int8" and quantised < MIN_INT8_SHARE * max(1, layers):
            can = "INT8" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")  # then it is the file's fault
            raise (EngineError if can else BackendUnavailableError)(
                f"OpenVINO would run {layers - quantised} of {layers} convolutions of {path.name} in float on this "
                "processor; use --precision fp32"
            )
        self.inputs = {port.any_name: _describe(port) for port in model.inputs}
        self.outputs = {port.any_name: _describe(port) for port in model.outputs}
        self._output_names = [port.any_name for port in model.outputs]

    def run(self, inputs: Tensors) -> dict[str, npt.NDArray[Any]]:
        try:
            self._request.infer(dict(inputs), share_inputs=True)
        except RuntimeError as error:
            raise EngineError(f"OpenVINO failed: {_first_line(error)}") from error
        values = {name: self._request.get_output_tensor(i).data for i, name in enumerate(self._output_names)}
        # With free axes OpenVINO moves its memory when a larger shape comes. Reading an older answer would then not
        # give other values, as `Runner.run` allows, but end the process.
        return {name: np.array(array) if None in self.outputs[name][1] else array for name, array in values.items()}

    def close(self) -> None:
        self._request = None


class OpenVinoBackend(Backend):
    """OpenVINO on the CPU."""

    requires = ("openvino",)
    precisions = ("int8", "fp32")  # on a processor FP16 would be computed in float

    def open(self, spec: EngineSpec, path: Path, *, threads: int, precision: str) -> Runner:
        """Load an ONNX file.

        Raises
        ------
        EngineError
            If OpenVINO cannot load it, or would run an INT8 file in float.
        """
        return _OpenVinoRunner(spec, path, threads, precision)


def _compiled(core: Any, spec: EngineSpec, path: Path, threads: int, precision: str) -> tuple[Any, tuple[int, int]]:
    """The compiled model, and how many of its layers run in INT8 of how many; from the cache where it is there.

    Compiling takes most of the time to the first answer. An entry is for this file, these options, this OpenVINO and
    this processor with its limits. Without a usable cache opening only takes longer.
    """
    import openvino

    options = compile_options(spec, threads)
    key = {
        "kind": "compiled",
        "schema": 1,
        "runtime": {
            "runtime": "openvino",
            "version": openvino.get_version(),
            "processor": core.get_property("CPU", "FULL_DEVICE_NAME"),
            "capabilities": core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
            "limits": list(read_processor().limits),
        },
        "onnx_sha256": file_sha256(path),
        "options": options,
    }
    store: Cache | None = None
    try:
        store = open_cache()
        entry = store.load(key)
        if entry is not None:
            try:
                facts = entry.header["facts"]
                return core.import_model(io.BytesIO(entry.content), "CPU", options), tuple(facts["int8_layers"])
            except RuntimeError as error:
                logger.warning("the compiled model of %s is not used: %s", path.name, _first_line(error))
                store.forget(key)
    except CacheError as error:
        logger.info("%s is compiled every time: %s", path.name, error)
    model = core.compile_model(str(path), "CPU", options)
    counts = count_int8(model)
    if store is not None:
        facts = {"kind": "compiled", "engine": spec.engine_id, "precision": precision, "int8_layers": counts}
        try:
            content = io.BytesIO()
            model.export_model(content)
            store.store(key, content.getvalue(), facts)
        except (CacheError, RuntimeError) as error:
            logger.info("%s is compiled every time: %s", path.name, error)
    return model, counts


def compile_options(spec: EngineSpec, threads: int) -> dict[str, Any]:
    """The options that an engine is compiled with; `threads` 0 = as many as the process may use."""
    # OpenVINO would run FP32 in BF16 where the processor can; the engine was verified in FP32.
    # Pinned threads cannot yield to the recorder or the page, and two engines would share a core.
    options: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "ENABLE_CPU_PINNING": False}
    if spec.precision == "fp32":  # and with it the layers that an INT8 graph keeps in float
        options["INFERENCE_PRECISION_HINT"] = "f32"
    if threads:
        options["INFERENCE_NUM_THREADS"] = threads
    return options


def count_int8(model: Any) -> tuple[int, int]:
    """How many convolutions and fully connected layers of a compiled model run in INT8, and how many there are.

    Counted in what the processor executes after all fusions, not in the file.
    """
    found = []
    for node in model.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if _plain(info["layerType"]) in ("Convolution", "FullyConnected"):
            found.append(_plain(info["runtimePrecision"]) in ("i8", "u8"))
    return sum(found), len(found)


def _plain(value: Any) -> str:
    return str(value.astype(str)) if hasattr(value, "astype") else str(value)


def _describe(port: Any) -> tuple[str, tuple[int | None, ...]]:
    shape = tuple(side.get_length() if side.is_static else None for side in port.partial_shape)
    return np.dtype(port.element_type.to_dtype()).name, shape


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
