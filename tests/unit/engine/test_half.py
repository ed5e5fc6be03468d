"""FP16 is derived once, checked on every use, and answers as the parent does."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest

from usassist.engine import find_engine, open_engine
from usassist.engine.half import half_artifact, why_no_half
from usassist.engine.opening import prepare, prepared_path
from usassist.engine.registry import candidates
from usassist.errors import BackendUnavailableError, EngineError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxconverter_common")

TOLERANCE = """
[golden.fp16]
mean_abs_diff = { doubled = 0.001, inverse = 0.01 }
"""


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USASSIST_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def rounded(tiny: Path) -> Path:
    """`tiny`, which may be run in FP16."""
    toml = tiny / "tiny" / "1.2.3" / "engine.toml"
    toml.write_text(toml.read_text() + TOLERANCE)
    return tiny


def _half(folder: Path) -> Path:
    spec = find_engine("tiny", folder)
    return half_artifact(spec, spec.check_weights("onnx"))


def test_it_computes_in_fp16_and_keeps_the_tensors_of_the_spec(rounded: Path) -> None:
    graph = onnx.load(_half(rounded)).graph
    ends = [*graph.input, *graph.output]
    assert {end.type.tensor_type.elem_type for end in ends} == {onnx.TensorProto.FLOAT}
    assert onnx.TensorProto.FLOAT16 in {
        attribute.i for node in graph.node if node.op_type == "Cast" for attribute in node.attribute
    }


def test_it_is_derived_once_and_is_for_this_user_only(rounded: Path) -> None:
    path = _half(rounded)
    made_ns = path.stat().st_ino
    assert _half(rounded) == path
    assert path.stat().st_ino == made_ns
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.name.startswith("tiny@1.2.3+")


def test_a_file_that_was_damaged_is_derived_again(rounded: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = _half(rounded)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"x")
    assert _half(rounded) == path
    assert path.read_bytes() == good
    assert "its content is damaged" in caplog.text


def test_other_weights_and_another_converter_give_another_file(
    rounded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _half(rounded)
    spec = find_engine("tiny", rounded)
    model = onnx.load(spec.check_weights("onnx"))
    model.producer_name = "other"
    onnx.save(model, tmp_path / "other.onnx")
    assert half_artifact(spec, tmp_path / "other.onnx") != first
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: real(name) + ".post1")
    assert _half(rounded) != first


def test_what_leaves_the_range_of_fp16_stays_fp32(tmp_path: Path, rounded: Path) -> None:
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [4])
    y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4])
    nodes = [onnx.helper.make_node("Exp", ["x"], ["e"]), onnx.helper.make_node("Log", ["e"], ["y"])]
    graph = onnx.helper.make_graph(nodes, "exp", [x], [y])
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=10),
        tmp_path / "exp.onnx",
    )
    onnxruntime = pytest.importorskip("onnxruntime")
    path = half_artifact(find_engine("tiny", rounded), tmp_path / "exp.onnx")
    values = np.array([0.0, 5.0, 12.0, 80.0], np.float32)  # exp(12) is beyond FP16
    (answer,) = onnxruntime.InferenceSession(str(path)).run(None, {"x": values})
    np.testing.assert_allclose(answer, values, rtol=1e-5, atol=1e-5)


def test_graphs_whose_values_and_constants_are_shared_are_derived_too(tmp_path: Path, rounded: Path) -> None:
    """An input that is read twice, an output that is read again, a constant of an operation that stays FP32."""
    onnxruntime = pytest.importorskip("onnxruntime")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("Mul", ["x", "c"], ["a"]),
        helper.make_node("Max", ["a", "c"], ["b"]),
        helper.make_node("Add", ["x", "b"], ["y"]),
        helper.make_node("Add", ["y", "y"], ["z"]),
    ]
    ends = [helper.make_tensor_value_info(name, number, [4]) for name in ("x", "y", "z")]
    constant = onnx.numpy_helper.from_array(np.full(4, 0.5, np.float32), "c")
    graph = helper.make_graph(nodes, "shared", ends[:1], ends[1:], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "shared.onnx")
    path = half_artifact(find_engine("tiny", rounded), tmp_path / "shared.onnx")
    y, z = onnxruntime.InferenceSession(str(path)).run(None, {"x": np.array([0.0, 1.0, 2.0, 4.0], np.float32)})
    np.testing.assert_array_equal(y, np.array([0.5, 1.5, 3.0, 6.0], np.float32))
    np.testing.assert_array_equal(z, 2 * y)


def test_an_engine_runs_in_fp16_where_it_is_asked_for_and_not_by_itself_on_a_processor(rounded: Path) -> None:
    spec = find_engine("tiny", rounded)
    with open_engine(spec, "onnxruntime", precision="fp16") as engine:
        assert engine.backend == "onnxruntime-fp16"
        x = np.full((1, 1, 4, 6), 0.3, np.float32)
        answer = engine.infer({"image": x})
        np.testing.assert_allclose(answer["doubled"], 0.6, atol=1e-3)
        assert answer["doubled"].dtype == np.float32
    assert ("onnxruntime", "fp16") not in candidates(spec, "onnxruntime")
    assert not prepare(spec, "onnxruntime", "fp16")
    assert prepared_path(spec, "onnxruntime", "fp16") == _half(rounded)


def test_a_parent_that_is_no_model_is_one_clear_line(rounded: Path, tmp_path: Path) -> None:
    (tmp_path / "none.onnx").write_bytes(b"\x0a\x00nothing")
    with pytest.raises(EngineError, match=r"^FP16 of tiny\S+ cannot be derived: .*; use --precision fp32$"):
        half_artifact(find_engine("tiny", rounded), tmp_path / "none.onnx")


def test_without_the_converter_it_says_what_to_install(rounded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "onnxconverter-common":
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    assert why_no_half() is None
    monkeypatch.setattr(importlib.metadata, "version", version)
    assert str(why_no_half()).endswith("pip install 'usassist[convert]'")
    with pytest.raises(BackendUnavailableError, match="onnxconverter_common, which is not installed"):
        _half(rounded)


def test_the_shipped_engine_answers_its_golden_input_in_fp16() -> None:
    with open_engine(find_engine("thyroid_nodule"), "onnxruntime", precision="fp16") as engine:
        assert engine.backend == "onnxruntime-fp16"
