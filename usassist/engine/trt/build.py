"""ONNX in, plan out: parse, compare with the spec, compile.

Always strongly typed: the ONNX defines what is FP16 or INT8. No calibrators and precision flags: TensorRT 11 has
dropped them.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from usassist.engine.backend import Progress
from usassist.engine.plan import BuiltPlan, PlanTensors
from usassist.engine.spec import EngineSpec, TensorSpec
from usassist.engine.trt.api import Flavour, Log, create, logger_of
from usassist.engine.trt.progress import make_monitor
from usassist.engine.trt.tensors import numpy_dtype
from usassist.errors import EngineError, EngineSpecError

__all__ = ["OPTIONS", "build_plan"]

logger = logging.getLogger(__name__)

OPTIONS: dict[str, str | int | bool] = {
    "strongly_typed": True,
    "tf32": False,  # the engine was verified in FP32
    "workspace_mib": 1024,
}
"""What decides how a plan is built, besides engine, library and GPU. Part of every key."""

_SHOWN_ERRORS = 3


def build_plan(
    trt: Any, flavour: Flavour, spec: EngineSpec, path: Path, timing: bytes, progress: Progress
) -> BuiltPlan:
    """Compile an ONNX file.

    Parameters
    ----------
    trt : the library's module
    flavour : which one it is
    spec : the engine; its tensors must be the file's, and the ranges of free axes become the plan's
    path : the ONNX file; external data is found beside it
    timing : of an earlier build for the same library and GPU, or empty
    progress : receives what is being done, and how much of it is done, 0 to 1. What it raises ends the build.

    Raises
    ------
    EngineSpecError
        If the tensors differ from the spec, or a free axis has no range.
    EngineError
        If the file cannot be parsed or compiled; the message names what could not.
    """
    trt_logger, log = logger_of(trt)
    mark = log.mark()
    progress("parsing", 0.0)
    builder = create(flavour, log, trt.Builder, trt_logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, trt_logger)
    if not parser.parse_from_file(str(path)):
        raise EngineError(
            f"{flavour.title} cannot read {path.name} of {spec.engine_id}: {_parser_errors(parser, log, mark)}; "
            "fix the export, or use another --backend"
        )
    tensors = _tensors(trt, network)
    _compare(spec, tensors)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, int(OPTIONS["workspace_mib"]) << 20)
    config.clear_flag(trt.BuilderFlag.TF32)
    _add_ranges(builder, config, spec)
    cache = _set_timing(config, timing) if flavour.timed else None
    monitor = make_monitor(trt, progress)
    config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    monitor.raise_pending()
    if plan is None:
        raise EngineError(
            f"{flavour.title} cannot compile {path.name} of {spec.engine_id}: {log.since(mark)}; "
            "use another --backend or --precision"
        )
    progress("compiled", 1.0)
    measured = bytes(cache.serialize()) if cache is not None else b""
    return BuiltPlan(content=bytes(plan), timing=measured, tensors=tensors)


def _parser_errors(parser: Any, log: Log, mark: int) -> str:
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    texts = [" ".join(parser_error.desc().split()) for parser_error in errors]
    # The parser's errors are logged too; anything else in the log is the cause, for example a missing file.
    lines = [line for line in log.lines(mark) if not any(text in line for text in texts)][:_SHOWN_ERRORS]
    for parser_error, text in zip(errors[:_SHOWN_ERRORS], texts, strict=False):
        where = " ".join(filter(None, (parser_error.node_operator(), parser_error.node_name())))
        lines.append(f"{text} (node {parser_error.node()}: {where})" if where else text)
    if len(errors) > _SHOWN_ERRORS:
        lines.append(f"and {len(errors) - _SHOWN_ERRORS} more")
    return "; ".join(dict.fromkeys(lines)) or log.since(mark)


def _tensors(trt: Any, network: Any) -> PlanTensors:
    inputs = [("input", network.get_input(index)) for index in range(network.num_inputs)]
    outputs = [("output", network.get_output(index)) for index in range(network.num_outputs)]
    return [
        (io_tensor.name, kind, numpy_dtype(trt, io_tensor.dtype), [int(side) for side in io_tensor.shape])
        for kind, io_tensor in inputs + outputs
    ]


def _compare(spec: EngineSpec, tensors: PlanTensors) -> None:
    for kind, wanted in (("input", spec.inputs), ("output", spec.outputs)):
        found = {name: (dtype, sides) for name, its_kind, dtype, sides in tensors if its_kind == kind}
        agrees = set(found) == {tensor.name for tensor in wanted} and all(
            tensor.accepts(dtype, tuple(None if side == -1 else side for side in sides))
            for tensor in wanted
            for dtype, sides in (found[tensor.name],)
        )
        if not agrees:
            listed = "; ".join(f"{name} {dtype} {sides}" for name, (dtype, sides) in found.items())
            raise EngineSpecError(
                f"engine {spec.engine_id}: the graph's {kind}s are {listed}; engine.toml says "
                f"{'; '.join(map(str, wanted))}; correct engine.toml or the export"
            )


def _add_ranges(builder: Any, config: Any, spec: EngineSpec) -> None:
    free = [tensor for tensor in spec.inputs if tensor.is_free]
    if not free:
        return
    profile = builder.create_optimization_profile()
    for tensor in free:
        profile.set_shape(tensor.name, *_range(spec, tensor))
    if config.add_optimization_profile(profile) < 0:
        raise EngineSpecError(f"engine {spec.engine_id}: its ranges min, opt and max are not accepted; correct them")


def _range(spec: EngineSpec, tensor: TensorSpec) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    if tensor.min_shape is None or tensor.opt_shape is None or tensor.max_shape is None:
        raise EngineSpecError(
            f"engine {spec.engine_id}: input {tensor} has a free axis and no range; "
            "write min, opt and max for it in engine.toml"
        )
    return tensor.min_shape, tensor.opt_shape, tensor.max_shape


def _set_timing(config: Any, timing: bytes) -> Any:
    cache = config.create_timing_cache(timing)
    if cache is None or not config.set_timing_cache(cache, False):
        logger.warning("the timings of earlier builds are of another library or GPU; measuring anew")
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, False)
    return cache
