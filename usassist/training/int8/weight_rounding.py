"""7-bit weights for a quantised graph, with scales and biases that compensate for the lost bit.

An x86 processor without VNNI saturates sums of products with 8-bit weights, see :mod:`usassist.engine.qdq`. To
compensate for the lost bit

- the scale of an output channel minimises the squared error of that channel's weights, among scales that clip up to two
  fifths of the largest weight;
- the mean shift of a convolution's output by rounding is corrected in its bias (Nagel et al., *Data-Free Quantization
  Through Weight Equalization and Bias Correction*, ICCV 2019), with mean inputs of the FP32 parent on the calibration
  frames;
- weights are rounded from the parent's floats, not from 8-bit codes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from usassist.common.onnx_runtime import import_onnxruntime
from usassist.engine.qdq import MAX_CODE, MIN_CODE

__all__ = ["compute_weight_scales", "round_weights"]

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float64]

_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_MIN_SHARE, _SHARES = 0.6, 41  # of the scale without clipping
_MIN_SCALE = 1e-12


def round_weights(parent: Any, quantised: Any, inputs: Sequence[Mapping[str, Array]]) -> None:
    """Replace the weights of a quantised graph by 7-bit ones, and correct the biases of its convolutions.

    Weights without a counterpart in the parent are not changed; ``usassist.engine.qdq.check_qdq`` reports them.

    Parameters
    ----------
    parent : the FP32 ``ModelProto``
    quantised : the QDQ ``ModelProto`` made from it, int8 weights as constants; changed in place
    inputs : named input tensors, one item per calibration frame
    """
    from onnx import numpy_helper

    floats = {item.name: numpy_helper.to_array(item) for item in parent.graph.initializer}
    origin = {node.output[0]: node for node in parent.graph.node if node.op_type in _WEIGHTED}
    index_of = {item.name: index for index, item in enumerate(quantised.graph.initializer)}
    producers = {name: node for node in quantised.graph.node for name in node.output}
    rounding_error: dict[str, FloatArray] = {}
    for node in quantised.graph.node:
        source, pair = origin.get(node.output[0]), producers.get(node.input[1]) if len(node.input) > 1 else None
        if source is None or pair is None or pair.op_type != "DequantizeLinear" or pair.input[0] not in index_of:
            continue
        weight = floats.get(source.input[1])
        scale = numpy_helper.to_array(quantised.graph.initializer[index_of[pair.input[1]]])
        if weight is None:
            continue
        axis = next((item.i for item in pair.attribute if item.name == "axis"), 1) % weight.ndim
        codes, scales = _round_to_codes(weight.astype(np.float64), axis if scale.size > 1 else None)
        for name, array in ((pair.input[0], codes), (pair.input[1], scales.astype(scale.dtype).reshape(scale.shape))):
            quantised.graph.initializer[index_of[name]].CopyFrom(numpy_helper.from_array(array, name))
        if node.op_type == "Conv" and len(node.input) > 2 and node.input[2] in index_of:
            sides = [-1 if side == axis else 1 for side in range(weight.ndim)]
            by_axis = scales.astype(scale.dtype).reshape(sides if scale.size > 1 else [])
            rounding_error[node.output[0]] = weight - codes * by_axis
    means = _mean_inputs(parent, [origin[name] for name in rounding_error], inputs)
    for node in quantised.graph.node:
        if node.output[0] in rounding_error:
            shift = _mean_shift(rounding_error[node.output[0]], means[origin[node.output[0]].input[0]])
            item = quantised.graph.initializer[index_of[node.input[2]]]
            bias = numpy_helper.to_array(item)
            item.CopyFrom(numpy_helper.from_array((bias + shift).astype(bias.dtype), item.name))


def compute_weight_scales(rows: FloatArray) -> FloatArray:
    """Scales with the least squared error of 7-bit weights, one per row: (C, N) to (C,), all above 0."""
    whole = np.maximum(rows.max(axis=1) / MAX_CODE, rows.min(axis=1) / MIN_CODE)
    whole = np.maximum(whole, _MIN_SCALE)  # a channel of zeros
    scales: FloatArray = whole
    errors = np.full(len(rows), np.inf)
    for share in np.linspace(1.0, _MIN_SHARE, _SHARES):
        candidate = whole * share
        error = ((_codes(rows, candidate[:, None]) * candidate[:, None] - rows) ** 2).sum(axis=1)
        scales = np.where(error < errors, candidate, scales)
        errors = np.minimum(error, errors)
    return scales


def _round_to_codes(weight: FloatArray, axis: int | None) -> tuple[npt.NDArray[np.int8], FloatArray]:
    """Codes in the weight's shape, and the scales along an axis; a single scale without an axis."""
    if axis is None:
        scales = compute_weight_scales(weight.reshape(1, -1))
        return _codes(weight, scales[0]).astype(np.int8), scales
    rows = np.moveaxis(weight, axis, 0)
    scales = compute_weight_scales(rows.reshape(len(rows), -1))
    codes = _codes(rows, scales.reshape(-1, *[1] * (weight.ndim - 1)))
    return np.ascontiguousarray(np.moveaxis(codes, 0, axis)).astype(np.int8), scales


def _codes(values: FloatArray, scale: Any) -> FloatArray:
    codes: FloatArray = np.clip(np.rint(values / scale), MIN_CODE, MAX_CODE)
    return codes


def _mean_shift(rounding_error: FloatArray, mean: FloatArray) -> FloatArray:
    """Mean loss of a convolution's output channels: weight error (C_out, C_in / groups, …), mean input (C_in,).

    The border, where the input is padding, is treated like the rest.
    """
    summed = rounding_error.sum(axis=tuple(range(2, rounding_error.ndim)))
    groups = len(mean) // summed.shape[1]
    grouped = summed.reshape(groups, -1, summed.shape[1])
    shift: FloatArray = np.einsum("goi,gi->go", grouped, mean.reshape(groups, -1)).ravel()
    return shift


def _mean_inputs(parent: Any, nodes: list[Any], inputs: Sequence[Mapping[str, Array]]) -> dict[str, FloatArray]:
    """Mean of each channel of each convolution's input, over frames and positions: name → (C_in,)."""
    import onnx

    onnxruntime = import_onnxruntime()

    names = list(dict.fromkeys(node.input[0] for node in nodes))
    if not names:
        return {}
    graph_inputs = {item.name for item in parent.graph.input}
    inner = [name for name in names if name not in graph_inputs]
    probed = onnx.ModelProto()
    probed.CopyFrom(parent)
    graph_outputs = {item.name for item in parent.graph.output}
    probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in graph_outputs)
    session = onnxruntime.InferenceSession(probed.SerializeToString(), providers=["CPUExecutionProvider"])
    totals: dict[str, FloatArray] = {}
    for frame in inputs:
        for name, value in _values(session, inner, frame, names):
            mean = value.mean(axis=(0, *range(2, value.ndim)), dtype=np.float64)
            totals[name] = totals[name] + mean if name in totals else mean
    return {name: total / len(inputs) for name, total in totals.items()}


def _values(
    session: Any, inner: list[str], frame: Mapping[str, Array], names: list[str]
) -> Iterator[tuple[str, Array]]:
    yield from ((name, frame[name]) for name in names if name not in inner)
    if inner:
        yield from zip(inner, session.run(inner, dict(frame)), strict=True)
