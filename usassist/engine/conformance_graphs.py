"""The tiny engines that :mod:`usassist.engine.conformance` runs: each function writes a graph and makes its spec.

They need the package onnx, and raise ``ImportError`` without it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from usassist.engine.spec import INT8_ARTIFACT, EngineSpec, Golden, TensorSpec
from usassist.records import LabelSpec

__all__ = ["SHAPE", "TOLERANCE", "affine_graph", "convolution_graph", "difference_graph"]

SHAPE = (1, 1, 4, 6)
TOLERANCE = {"fp32": 1e-5, "fp16": 5e-3, "int8": 5e-2}
"""Precision → largest error of a value of up to 2."""


def affine_graph(folder: Path, *, free: bool = False) -> tuple[EngineSpec, Path]:
    """`doubled` is 2 x and `negated` is -x, elementwise; `free`: the rows are free from 2 to 8."""
    onnx = _import_onnx()
    shape = (1, 1, "rows", 6) if free else SHAPE
    outputs = ("doubled", "negated")
    nodes = [
        onnx.helper.make_node("Add", ["image", "image"], ["doubled"]),
        onnx.helper.make_node("Neg", ["image"], ["negated"]),
    ]
    path = folder / "affine.onnx"
    _save(onnx, path, nodes, [("image", shape)], [(name, shape) for name in outputs])
    return _spec(path, ("image",), outputs, free=free), path


def difference_graph(folder: Path) -> tuple[EngineSpec, Path]:
    """`apart` is `first` - `second`."""
    onnx = _import_onnx()
    nodes = [onnx.helper.make_node("Sub", ["first", "second"], ["apart"])]
    inputs = [("first", SHAPE), ("second", SHAPE)]
    path = folder / "difference.onnx"
    _save(onnx, path, nodes, inputs, [("apart", SHAPE)])
    return _spec(path, ("first", "second"), ("apart",)), path


def convolution_graph(folder: Path, precision: str) -> tuple[EngineSpec, Path]:
    """`doubled` is 2 x by a convolution of 3 by 3 with a single weight, computed in `precision`."""
    onnx = _import_onnx()
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 1, 1] = 2.0
    node, constant = onnx.helper.make_node, onnx.numpy_helper.from_array
    nodes, source, target, weight, constants = [], "image", "doubled", "w", [constant(kernel, "w")]
    if precision == "fp16":
        half = onnx.TensorProto.FLOAT16
        constants = [constant(kernel.astype(np.float16), "w")]
        nodes = [node("Cast", ["image"], ["half"], to=half)]
        source, target = "half", "doubled_half"
    if precision == "int8":
        codes = np.rint(kernel * (63 / 2)).astype(np.int8)
        scales = [constant(np.float32(1 / 127), "s"), constant(np.float32(2 / 63), "ws")]
        constants = [constant(codes, "q"), *scales, constant(np.int8(0), "z")]
        nodes = [
            node("QuantizeLinear", ["image", "s", "z"], ["codes"]),
            node("DequantizeLinear", ["codes", "s", "z"], ["rounded"]),
            node("DequantizeLinear", ["q", "ws", "z"], ["w"]),
        ]
        source = "rounded"
    nodes.append(node("Conv", [source, weight], [target], pads=[1, 1, 1, 1]))
    if precision == "fp16":
        nodes.append(node("Cast", [target], ["doubled"], to=onnx.TensorProto.FLOAT))
    path = folder / f"convolution.{precision}.onnx"
    _save(onnx, path, nodes, [("image", SHAPE)], [("doubled", SHAPE)], constants)
    return _spec(path, ("image",), ("doubled",), precision=precision), path


def _save(
    onnx: Any, path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any] | None = None
) -> None:
    def values(named: list[Any]) -> list[Any]:
        return [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, list(shape)) for name, shape in named]

    graph = onnx.helper.make_graph(nodes, "conformance", values(inputs), values(outputs), constants or [])
    opset = onnx.helper.make_opsetid("", 20)
    path.write_bytes(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=10).SerializeToString())


def _spec(
    path: Path, inputs: tuple[str, ...], outputs: tuple[str, ...], *, free: bool = False, precision: str = "fp32"
) -> EngineSpec:
    """A spec of tensors of one shape; the file stands for its artifact in `precision`."""
    shape: tuple[int | None, ...] = (1, 1, None, 6) if free else SHAPE
    ranges = {f"{name}_shape": (1, 1, rows, 6) for name, rows in (("min", 2), ("opt", 4), ("max", 8))} if free else {}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    artifacts = {"onnx": (path, digest)} | ({INT8_ARTIFACT: (path, digest)} if precision == "int8" else {})
    bounds = {precision: dict.fromkeys(outputs, TOLERANCE[precision])} if precision != "fp32" else {}
    label = LabelSpec(
        id=0, name="thing", scheme="SCT", value="1", meaning="Thing", color_rgb=(1, 2, 3), score_threshold=0.5
    )
    return EngineSpec(
        name="conformance",
        version="1.0.0",
        folder=path.parent,
        modality="US",
        task="segment",
        artifacts=artifacts,
        inputs=tuple(TensorSpec(name=item, dtype="float32", shape=shape, layout="NCHW", **ranges) for item in inputs),
        outputs=tuple(TensorSpec(name=item, dtype="float32", shape=shape, layout="NCHW") for item in outputs),
        color="GRAY",
        input_range=(0.0, 1.0),
        mean=(0.0,),
        std=(1.0,),
        labels=(label,),
        precision="fp32",
        rate_hz=1.0,
        latency_budget_ms=1000.0,
        diameter_rel_sd=None,
        golden=Golden(path=path, max_abs_diff=TOLERANCE["fp32"], mean_abs_diff=bounds),
        licence="none",
        intended_use="tests",
    )


def _import_onnx() -> Any:
    import onnx
    import onnx.helper
    import onnx.numpy_helper

    return onnx
