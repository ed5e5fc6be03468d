"""Every operator of the table, in the ways that it is taken, against ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("torch", reason="needs the extra `torch`")

from usassist.engine.onnx_torch.program import OPERATORS
from usassist.engine.onnx_torch.runner import open_runner
from usassist.errors import EngineError

RNG = np.random.default_rng(20)


def some(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def whole(*shape: int) -> np.ndarray:
    return RNG.integers(-5, 6, shape)


def ints(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


@dataclass(frozen=True)
class Case:
    """One node: `inputs` are fed at every run, `fixed` are constants in the places after them; None = left out."""

    op: str
    inputs: tuple[np.ndarray, ...]
    fixed: tuple[np.ndarray | None, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    opset: int = 20
    outputs: tuple[int, ...] = (TensorProto.FLOAT,)


def case(
    op: str, *inputs: np.ndarray, fixed: tuple = (), opset: int = 20, outputs: tuple | None = None, **attributes: Any
) -> Case:
    return Case(op, inputs, fixed, attributes, opset, outputs or (TensorProto.FLOAT,))


def write(path: Path, item: Case) -> Path:
    names = [f"x{index}" for index in range(len(item.inputs))]
    fixed = ["" if value is None else f"c{index}" for index, value in enumerate(item.fixed)]
    graph = helper.make_graph(
        [
            helper.make_node(
                item.op,
                names + fixed,
                [f"y{index}" for index in range(len(item.outputs))],
                name="it",
                **item.attributes,
            )
        ],
        "one",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), [None] * value.ndim)
            for name, value in zip(names, item.inputs, strict=True)
        ],
        [helper.make_tensor_value_info(f"y{index}", kind, None) for index, kind in enumerate(item.outputs)],
        [numpy_helper.from_array(value, f"c{i}") for i, value in enumerate(item.fixed) if value is not None],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", item.opset)], ir_version=8), path)
    return path


def answers(path: Path, inputs: tuple[np.ndarray, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Output by output: of PyTorch, of ONNX Runtime."""
    fed = {f"x{index}": value for index, value in enumerate(inputs)}
    session = open_runner(path, "cpu", 0, "fp32")
    ours = session.run(fed)
    theirs = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(list(ours), fed)
    return [(ours[name], expected) for name, expected in zip(ours, theirs, strict=True)]


X3, X4, X5 = some(2, 4, 11), some(2, 4, 9, 12), some(1, 4, 5, 6, 7)
BOOL, INT64 = TensorProto.BOOL, TensorProto.INT64
YES = RNG.random((2, 4)) > 0.5
ONE = (
    "Abs",
    "Ceil",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "HardSigmoid",
    "HardSwish",
    "LeakyRelu",
    "Neg",
    "Reciprocal",
    "Relu",
)
TWO = ("Add", "Sub", "Mul", "Div")

CASES = [
    *(case(op, X4) for op in (*ONE, "Round", "Sigmoid", "Softplus", "Tanh", "Identity", "Gelu")),
    *(case(op, np.abs(X4) + 0.1) for op in ("Log", "Sqrt")),
    *(case(op, X4, fixed=(some(4, 1, 1),)) for op in TWO),
    *(case(op, X4, X4[:, :1]) for op in TWO),
    *(case(op, X4, whole(4, 1, 1).astype(np.float32), outputs=(BOOL,)) for op in ("Equal", "Greater", "Less")),
    *(case(op, np.round(X4), np.round(X4[:1]), outputs=(BOOL,)) for op in ("GreaterOrEqual", "LessOrEqual")),
    *(case(op, YES, YES[:1], outputs=(BOOL,)) for op in ("And", "Or")),
    case("Not", YES, outputs=(BOOL,)),
    case("Div", whole(3, 5), fixed=(np.int64(-3),), outputs=(INT64,)),
    case("Pow", np.abs(X4), fixed=(np.float32(1.5),)),
    case("Pow", X4, fixed=(np.int64(3),)),
    *(case(op, X4, X4[:1], X4[:, :, :1]) for op in ("Max", "Min", "Sum")),
    case("Max", X4),
    case("Clip", X4, fixed=(np.float32(-0.5), np.float32(0.5))),
    case("Clip", X4, fixed=(None, np.float32(0.5))),
    case("Clip", X4, np.array(-0.2, np.float32)),
    case("Clip", X4),
    case("Clip", whole(4), fixed=(np.int64(-2), np.int64(2)), outputs=(INT64,)),
    case("LeakyRelu", X4, alpha=0.2),
    case("Elu", X4, alpha=0.7),
    case("HardSigmoid", X4, alpha=0.3, beta=0.4),
    case("Gelu", X4, approximate="tanh"),
    case("PRelu", X4, fixed=(some(4, 1, 1),)),
    case("Where", X4 > 0, X4, fixed=(np.float32(-1),)),
    case("Softmax", X4, axis=1),
    case("Softmax", X4),
    case("LogSoftmax", X4, axis=-2),
    case("Cast", X4 * 3, to=INT64, outputs=(INT64,)),
    case("Cast", X4, to=TensorProto.FLOAT16, outputs=(TensorProto.FLOAT16,)),
    case("Cast", whole(3, 3), to=BOOL, outputs=(BOOL,)),
    case("Cast", X4, to=TensorProto.DOUBLE, outputs=(TensorProto.DOUBLE,), opset=13),
    *(
        case(op, X4, fixed=(ints(1, -1),), keepdims=0)
        for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceSum")
    ),
    *(case(op, X4, axes=[2, 3], opset=17) for op in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2")),
    case("ReduceSum", X4, fixed=(ints(1),), opset=13),
    case("ReduceSum", whole(3, 4).astype(np.int32), outputs=(TensorProto.INT32,)),
    case("ReduceMean", X4),
    case("ReduceMean", X4, noop_with_empty_axes=1),
    *(
        case(op, np.round(X4), axis=1, keepdims=keep, outputs=(INT64,))
        for op in ("ArgMax", "ArgMin")
        for keep in (0, 1)
    ),
    # Layers.
    *(case("Conv", x, fixed=(some(6, 4, *[3] * (x.ndim - 2)), some(6))) for x in (X3, X4, X5)),
    case("Conv", X4, fixed=(some(6, 4, 3, 3),), pads=[0, 1, 2, 1], strides=[2, 1]),
    case("Conv", X4, fixed=(some(8, 1, 3, 3), some(8)), group=4, pads=[1, 1, 1, 1]),
    case("Conv", X4, fixed=(some(6, 2, 3, 3), some(6)), group=2, dilations=[2, 3], pads=[2, 3, 2, 3]),
    case("Conv", X5, fixed=(some(4, 1, 3, 1, 2), some(4)), group=4, pads=[1, 0, 0, 2, 0, 1], kernel_shape=[3, 1, 2]),
    *(
        case("Conv", X4, fixed=(some(6, 4, 4, 3),), auto_pad=way, strides=[2, 2])
        for way in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    case("Conv", X4, some(6, 4, 3, 3), kernel_shape=[3, 3]),
    *(case("ConvTranspose", x, fixed=(some(4, 3, *[2] * (x.ndim - 2)), some(3))) for x in (X3, X4, X5)),
    case("ConvTranspose", X4, fixed=(some(4, 3, 3, 3), some(3)), strides=[2, 2], pads=[1, 1, 1, 1]),
    case(
        "ConvTranspose",
        X4,
        fixed=(some(4, 3, 3, 3),),
        strides=[2, 3],
        pads=[0, 1, 1, 0],
        output_padding=[1, 0],
        group=2,
    ),
    case("ConvTranspose", X4, fixed=(some(4, 2, 3, 3),), dilations=[2, 1], output_padding=[1, 1], strides=[2, 2]),
    *(case("MaxPool", x, kernel_shape=[3] * (x.ndim - 2), strides=[2] * (x.ndim - 2)) for x in (X3, X4, X5)),
    case("MaxPool", X4, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    case("MaxPool", X4, kernel_shape=[3, 2], pads=[0, 1, 2, 0], strides=[2, 2]),
    case("MaxPool", X4, kernel_shape=[2, 2], strides=[2, 5], ceil_mode=1),
    case("MaxPool", X4, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, dilations=[2, 1]),
    case("MaxPool", X4, kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
    *(case("AveragePool", x, kernel_shape=[2] * (x.ndim - 2), strides=[2] * (x.ndim - 2)) for x in (X3, X4, X5)),
    case("AveragePool", X4, kernel_shape=[3, 3], pads=[1, 0, 1, 2]),
    case("AveragePool", X4, kernel_shape=[3, 3], pads=[1, 0, 1, 2], count_include_pad=1),
    case("AveragePool", X4, kernel_shape=[2, 2], strides=[2, 5], ceil_mode=1),
    case("AveragePool", X4, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
    *(case(op, x) for op in ("GlobalAveragePool", "GlobalMaxPool") for x in (X3, X4, X5)),
    *(
        case("BatchNormalization", X4, fixed=(some(4), some(4), some(4), np.abs(some(4))), epsilon=1e-3, opset=opset)
        for opset in (14, 20)
    ),
    *(case("InstanceNormalization", x, fixed=(some(4), some(4)), epsilon=1e-3) for x in (X3, X4, X5, some(2, 4, 1))),
    case("GroupNormalization", X4, fixed=(some(2), some(2)), num_groups=2, epsilon=1e-3, opset=18),
    case("LayerNormalization", X4, fixed=(some(12), some(12))),
    case("LayerNormalization", X4, fixed=(some(9, 12),), axis=2),
    case("Gemm", some(3, 5), fixed=(some(4, 5), some(4)), transB=1),
    case("Gemm", some(5, 3), fixed=(some(5, 4), some(3, 1)), transA=1, alpha=0.5, beta=2.0),
    case("Gemm", some(3, 5), fixed=(some(5, 4),), alpha=0.5),
    case("MatMul", X4, fixed=(some(12, 5),)),
    case("MatMul", some(2, 3, 4), some(4)),
    # Resize.
    *(
        case("Resize", x, fixed=(None, np.array([1, 1, *[2] * (x.ndim - 2)], np.float32)), mode="linear", opset=opset)
        for x in (X3, X4, X5)
        for opset in (13, 20)
    ),
    *(
        case("Resize", X4, fixed=(None, None, ints(2, 4, *size)), mode="linear", coordinate_transformation_mode=place)
        for size in ((18, 20), (5, 7))
        for place in ("half_pixel", "pytorch_half_pixel", "align_corners")
    ),
    case("Resize", X4, fixed=(None, np.array([1, 1, 1.7, 0.6], np.float32)), mode="linear"),
    *(
        case("Resize", X4, fixed=(None, None, ints(2, 4, *size)), mode="cubic", coordinate_transformation_mode=place)
        for size in ((18, 20), (5, 7))
        for place in ("half_pixel", "align_corners")
    ),
    *(
        case(
            "Resize",
            x,
            fixed=(None, None, ints(*x.shape[:2], *(3 * side for side in x.shape[2:]))),
            coordinate_transformation_mode=place,
            nearest_mode=rounding,
        )
        for x in (X3, X4, X5)
        for place, rounding in (
            ("asymmetric", "floor"),
            ("half_pixel", "round_prefer_floor"),
            ("half_pixel", "round_prefer_ceil"),
        )
    ),
    case(
        "Resize",
        X4,
        fixed=(None, np.array([1.5, 0.5], np.float32)),
        axes=[2, 3],
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    # Shaping.
    case("Concat", X4, X4[:, :2], axis=1),
    case("Constant", value_floats=[1.0, 2.0]),
    case("Constant", value_int=3, outputs=(INT64,)),
    case("Constant", value=numpy_helper.from_array(some(2, 3))),
    case("ConstantOfShape", fixed=(ints(2, 3),), value=numpy_helper.from_array(ints(7)), outputs=(INT64,)),
    case("Dropout", X4, fixed=(np.float32(0.3),)),
    case("Expand", X4[:, :1], fixed=(ints(1, 3, 1, 1),)),
    *(case("Flatten", X4, axis=axis) for axis in (0, 1, 2, 4, -1)),
    case("Gather", X4, fixed=(np.int64(-1),), axis=1),
    case("Gather", X4, fixed=(ints(2, -1, 0, 0).reshape(2, 2),), axis=3),
    case("Gather", X4, ints(1, -2), axis=2),
    case("Pad", X4, fixed=(ints(0, 1, 2, 0, 0, 0, 1, 3), np.float32(0.5))),
    case("Pad", X4, fixed=(ints(0, 0, -1, 0, 0, 0, 2, 1),)),
    case("Pad", X4, fixed=(ints(0, 0, 2, 1, 0, 0, 1, 3),), mode="reflect"),
    case("Pad", X5, fixed=(ints(0, 0, 2, 1, 0, 0, 0, 1, 3, 1),), mode="edge"),
    case("Pad", X4, fixed=(ints(1, 2, 3, 4), None, ints(3, -2))),
    case("Range", fixed=(np.int64(2), np.int64(11), np.int64(3)), outputs=(INT64,)),
    case("Reshape", X4, fixed=(ints(0, -1, 6),)),
    case("Reshape", X4[:0], fixed=(ints(0, 3),), allowzero=1),
    case("Shape", X4, outputs=(INT64,)),
    case("Shape", X4, start=1, end=-1, outputs=(INT64,)),
    case("Size", X4, outputs=(INT64,)),
    case("Slice", X4, fixed=(ints(1, -9), ints(2**62, -2), ints(2, -1), ints(2, 3))),
    case("Slice", X4, fixed=(ints(-1, 8), ints(-(2**62), 1), ints(1, 2), ints(-1, -3))),
    case("Slice", X4, fixed=(ints(1, 1), ints(2, 3))),
    case("Split", X4, fixed=(ints(1, 3),), axis=1, outputs=(TensorProto.FLOAT,) * 2),
    case("Split", X4, axis=2, num_outputs=2, outputs=(TensorProto.FLOAT,) * 2),
    case("Split", X4, axis=1, opset=13, outputs=(TensorProto.FLOAT,) * 2),
    case("Squeeze", X4[:1, :, :1], fixed=(ints(0, -2),)),
    case("Squeeze", X4[:1, :, :1]),
    case("TopK", np.round(X4 * 2), fixed=(ints(5),), axis=-1, outputs=(TensorProto.FLOAT, INT64)),
    case("TopK", np.round(X4 * 2), fixed=(ints(3),), axis=2, largest=0, outputs=(TensorProto.FLOAT, INT64)),
    case("Transpose", X4, perm=[0, 2, 3, 1]),
    case("Transpose", X4),
    case("Unsqueeze", X4, fixed=(ints(0, -1, 2),)),
]


@pytest.mark.parametrize("item", CASES, ids=[f"{item.op}-{index}" for index, item in enumerate(CASES)])
def test_an_operator_answers_as_onnx_runtime_does(item: Case, tmp_path: Path) -> None:
    for ours, theirs in answers(write(tmp_path / "model.onnx", item), item.inputs):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_every_operator_of_the_table_is_compared() -> None:
    assert {item.op for item in CASES} == set(OPERATORS)


@pytest.mark.parametrize("precise", [case("Conv", X4, fixed=(some(6, 4, 3, 3), some(6)), pads=[0, 1, 2, 1])])
def test_one_session_takes_any_batch_and_size(precise: Case, tmp_path: Path) -> None:
    path = write(tmp_path / "model.onnx", precise)
    for shape in ((1, 4, 9, 12), (3, 4, 6, 5), (2, 4, 20, 3)):
        ((ours, theirs),) = answers(path, (some(*shape),))
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


REFUSED = [
    (case("Det", some(3, 3)), "operator Det, node it: the operator is not supported"),
    (case("Conv", X4, fixed=(some(6, 4, 3, 3),), auto_pad="SAME"), "auto_pad = SAME is not supported"),
    (case("Conv", X4, fixed=(some(6, 4, 3, 3),), kernel_shape=[5, 5]), "kernel_shape"),
    (case("Conv", X4, fixed=(some(6, 4, 3, 3),), pads=[1, 1]), "pads"),
    (case("Conv", X4, fixed=(some(6, 4, 3, 3),), novelty=1), "attribute novelty is not supported"),
    (case("Conv", X4, fixed=(some(6, 4, 3, 3),), group=1.5), "wrong type"),
    (case("ConvTranspose", X4, fixed=(some(4, 3, 3, 3),), output_shape=[20, 20]), "output_shape"),
    (case("MaxPool", X4), "kernel_shape is missing"),
    (case("MaxPool", X4, kernel_shape=[2, 2], outputs=(TensorProto.FLOAT, INT64)), "output 2 is not computed"),
    (case("Resize", X4, fixed=(None, np.ones(4, np.float32)), mode="linear", antialias=1), "antialias"),
    (case("Resize", X4, fixed=(None, np.ones(4, np.float32)), nearest_mode="ceil"), "half_pixel and ceil"),
    (
        case(
            "Resize",
            X4,
            fixed=(None, np.ones(4, np.float32)),
            mode="linear",
            coordinate_transformation_mode="tf_crop_and_resize",
        ),
        "coordinate_transformation_mode = tf_crop_and_resize",
    ),
    (case("TopK", X4, ints(2), outputs=(TensorProto.FLOAT, INT64)), "K is not fixed"),
    (case("Reshape", X4, ints(-1)), "depends on the data"),
    (case("Pad", X4, fixed=(ints(0, 0, 1, 1, 0, 0, 1, 1),), mode="wrap"), "mode = wrap"),
    (case("Cast", X4, to=TensorProto.BFLOAT16, outputs=(BOOL,)), "to = 16"),
    (case("Add", X4), "1 inputs do not fit"),
    (case("QuantizeLinear", X4, fixed=(np.float32(1), np.int8(0)), outputs=(TensorProto.INT8,)), "INT8 in float"),
]


@pytest.mark.parametrize(("item", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_torch_would_do_otherwise_is_refused_by_name(item: Case, reason: str, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="use --backend onnxruntime") as caught:
        open_runner(write(tmp_path / "model.onnx", item), "cpu", 0, "fp32")
    assert reason in str(caught.value)
    assert f"operator {item.op}, node it" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sizes_that_would_be_rounded_otherwise_are_refused_when_they_come(tmp_path: Path) -> None:
    halved = case("Resize", X4, fixed=(None, np.array([1, 1, 0.5, 0.5], np.float32)))
    session = open_runner(write(tmp_path / "model.onnx", halved), "cpu", 0, "fp32")
    with pytest.raises(EngineError, match=r"operator Resize, node it: mode nearest with half_pixel"):
        session.run({"x0": X4})
