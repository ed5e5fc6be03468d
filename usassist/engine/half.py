"""FP16 artifacts, derived from the FP32 parent on this machine and kept in the cache.

Inputs and outputs stay FP32, so that an engine has the same tensors in every precision. Operations whose results
leave the range of FP16, or lose what matters in it, stay FP32 inside too.
"""

from __future__ import annotations

import collections
import importlib.metadata
import logging
import warnings
from pathlib import Path
from typing import Any

from usassist.engine.cache import open_cache
from usassist.engine.cache_entry import file_sha256
from usassist.engine.spec import EngineSpec
from usassist.errors import BackendUnavailableError, EngineError

__all__ = ["half_artifact", "why_no_half"]

logger = logging.getLogger(__name__)

_SCHEMA = 1
_REMEDY = "pip install 'usassist[convert]'"
_MODULES = ("onnx", "onnxconverter_common")
# exp(11.1) is beyond FP16; sums over many values lose their last ones.
_KEEP_FP32 = ("Exp", "ReduceMean", "ReduceSum", "GlobalAveragePool", "Softmax", "Pow", "Log")
_LARGEST = 65504.0
_SMALLEST = 6e-8


def why_no_half() -> str | None:
    """Why FP16 cannot be derived here, with what to install; None when it can."""
    for name in _MODULES:
        try:
            importlib.metadata.version(name.replace("_", "-"))
        except importlib.metadata.PackageNotFoundError:
            return f"FP16 is derived with {name}, which is not installed; {_REMEDY}"
    return None


def half_artifact(spec: EngineSpec, parent: Path) -> Path:
    """The FP16 ONNX file of an FP32 parent: found in the cache, or derived and checked now.

    Parameters
    ----------
    spec : the engine
    parent : its FP32 ONNX file, with its hash checked

    Returns
    -------
    path : in the cache folder, with its hash checked; inputs and outputs as of the parent

    Raises
    ------
    BackendUnavailableError
        If the converter is not installed.
    EngineError
        If the parent cannot be converted.
    CacheError
        If it cannot be stored; nothing half-written stays behind.
    """
    reason = why_no_half()
    if reason is not None:
        raise BackendUnavailableError(reason)
    key = {
        "kind": "half",
        "schema": _SCHEMA,
        "parent_sha256": file_sha256(parent),
        "converters": {name: importlib.metadata.version(name.replace("_", "-")) for name in _MODULES},
        "keep_fp32": list(_KEEP_FP32),
    }
    cache = open_cache()
    found = cache.find_file(key)
    if found is not None:
        return found
    with cache.locked(key, lambda: logger.info("another process derives the same FP16; waiting for it")):
        found = cache.find_file(key)
        if found is None:
            found = cache.store_file(key, _convert(spec, parent), f"{spec.engine_id}.fp16")
    return found


def _convert(spec: EngineSpec, parent: Path) -> bytes:
    import onnx
    from onnxconverter_common import float16

    blocked = {*float16.DEFAULT_OP_BLOCK_LIST, *_KEEP_FP32}
    try:
        with warnings.catch_warnings(record=True) as rounded:
            warnings.simplefilter("always")
            model: Any = float16.convert_float_to_float16(
                _unambiguous(onnx.load(parent), blocked),
                min_positive_val=_SMALLEST,
                max_finite_val=_LARGEST,
                keep_io_types=True,
                op_block_list=sorted(blocked),
            )
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # the converter and the checker raise whatever comes
        raise EngineError(
            f"FP16 of {spec.engine_id} cannot be derived: {' '.join(str(error).split())}; use --precision fp32"
        ) from error
    if rounded:
        logger.info("FP16 of %s: %d groups of weights were clamped to its range", spec.engine_id, len(rounded))
    content: bytes = model.SerializeToString()
    return content


def _unambiguous(model: Any, blocked: set[str]) -> Any:
    """Bring the graph into the form that the converter needs: it identifies casts by the names of their nodes.

    Nodes get names; an input is read, and an output written, in one place; what stays FP32 shares no constant.
    """
    from onnx import helper

    graph = model.graph
    for index, node in enumerate(graph.node):
        node.name = f"node_{index}"
    uses = collections.Counter(name for node in graph.node for name in node.input)
    for name in [item.name for item in graph.input if uses[item.name] > 1]:
        inner = f"{name}_shared"
        for node in graph.node:
            _rename(node.input, name, inner)
        graph.node.insert(0, helper.make_node("Identity", [name], [inner], name=f"share_{name}"))
    for name in [item.name for item in graph.output if uses[item.name]]:
        inner = f"{name}_shared"
        for node in graph.node:
            _rename(node.input, name, inner)
            _rename(node.output, name, inner)
        graph.node.append(helper.make_node("Identity", [inner], [name], name=f"share_{name}"))
    kept = {name for node in graph.node if node.op_type in blocked for name in node.input}
    rounded = {name for node in graph.node if node.op_type not in blocked for name in node.input}
    for constant in [item for item in graph.initializer if item.name in kept & rounded]:
        own = graph.initializer.add()
        own.CopyFrom(constant)
        own.name = f"{constant.name}_kept"
        for node in graph.node:
            if node.op_type in blocked:
                _rename(node.input, constant.name, own.name)
    return model


def _rename(names: Any, before: str, after: str) -> None:
    for index, name in enumerate(names):
        if name == before:
            names[index] = after
