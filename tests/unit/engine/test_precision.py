"""FP32 and INT8 of the same engine: which one is opened, and what happens when one of them is not as it should be."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from usassist.engine import find_engine, open_engine
from usassist.engine.int8 import GateFigure, calibration_path, calibration_text, load_calibration
from usassist.errors import BackendUnavailableError, EngineError, EngineSpecError, UsageError

PAPER = "calibration/int8/tiny_1.2.3.toml"
FOLDER = "engines/tiny/1.2.3"


@pytest.fixture
def int8() -> None:
    openvino = pytest.importorskip("openvino")
    if "INT8" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("OpenVINO runs nothing in INT8 on this processor")


def _input() -> dict[str, np.ndarray]:
    return {"image": np.full((1, 1, 4, 6), 0.5, np.float32)}


@pytest.mark.usefixtures("int8")
def test_auto_takes_int8_where_the_back_end_runs_it_and_every_result_can_say_so(twin: Path) -> None:
    for backend in ("auto", "openvino"):
        with open_engine(find_engine("tiny", twin), backend) as engine:
            assert (engine.runtime, engine.precision, engine.backend) == ("openvino", "int8", "openvino-int8")
            np.testing.assert_allclose(engine.infer(_input())["doubled"], 1.0, atol=0.02)
            assert 0.0 < engine.verify() < 0.05


@pytest.mark.parametrize(
    ("backend", "precision", "published"),
    [
        ("openvino", "fp32", "openvino"),
        ("onnxruntime", "auto", "onnxruntime"),
        ("onnxruntime", "fp32", "onnxruntime"),
        ("null", "auto", "null"),
        ("null", "int8", "null"),
    ],
)
def test_fp32_and_the_back_end_that_computes_nothing_go_by_their_plain_names(
    twin: Path, backend: str, precision: str, published: str
) -> None:
    with open_engine(find_engine("tiny", twin), backend, precision=precision) as engine:
        assert engine.backend == published


def test_an_engine_without_int8_is_opened_in_fp32_by_auto_and_refused_in_int8(tiny: Path) -> None:
    spec = find_engine("tiny", tiny)
    assert spec.precisions == ("fp32",)
    with open_engine(spec, "openvino") as engine:
        assert engine.precision == "fp32"
    for backend in ("auto", "openvino"):
        with pytest.raises(
            BackendUnavailableError, match=r"^tiny\S+ has fp32, not int8; use --precision fp32; or make"
        ):
            open_engine(spec, backend, precision="int8")


def test_a_precision_that_is_named_is_used_or_refused(twin: Path) -> None:
    spec = find_engine("tiny", twin)
    with pytest.raises(BackendUnavailableError, match=r"onnxruntime does not run int8; use another --backend"):
        open_engine(spec, "onnxruntime", precision="int8")
    with pytest.raises(BackendUnavailableError, match="has fp32 and int8, not fp16"):
        open_engine(spec, "openvino", precision="fp16")
    with pytest.raises(UsageError, match="no precision int4; known: auto, fp16, fp32, int8"):
        open_engine(spec, precision="int4")


def _remove(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def _of_other_weights(path: Path) -> None:
    path.write_text(path.read_text().replace('engine_id = "tiny@1.2.3+', 'engine_id = "tiny@1.2.3+f'))


def _fallen(path: Path) -> None:
    path.write_text(path.read_text().replace("dice_int8 = 0.7900", "dice_int8 = 0.7899"))


def _unknown_key(path: Path) -> None:
    path.write_text("surprise = 1\n" + path.read_text())


def _no_digest(path: Path) -> None:
    path.write_text(path.read_text().replace("0" * 64, "0" * 63))


@pytest.mark.parametrize(
    ("name", "harm", "message"),
    [
        (f"{FOLDER}/model.int8.onnx", _remove, "cannot be read"),
        (f"{FOLDER}/model.int8.onnx", _cut, "SHA-256"),
        (PAPER, _remove, r"INT8 calibration .* cannot be read: .*use --precision fp32"),
        (PAPER, _cut, "key .* is missing|cannot be read"),
        (PAPER, _of_other_weights, "other weights"),
        (PAPER, _fallen, r"dice falls from 0.8000 to 0.7899, allowed is 0.01"),
        (PAPER, _unknown_key, "unknown key surprise"),
        (PAPER, _no_digest, "64 hexadecimal digits"),
    ],
)
def test_int8_that_is_not_as_it_should_be_is_refused_and_auto_goes_on_in_fp32(
    twin: Path, caplog: pytest.LogCaptureFixture, name: str, harm: object, message: str
) -> None:
    harm(twin.parent / name)  # type: ignore[operator]
    spec = find_engine("tiny", twin)
    with pytest.raises(EngineSpecError, match=message) as caught:
        open_engine(spec, "openvino", precision="int8")
    assert "\n" not in str(caught.value)
    with caplog.at_level(logging.WARNING), open_engine(spec) as engine:
        assert engine.backend == "openvino"
        np.testing.assert_allclose(engine.infer(_input())["doubled"], 1.0, atol=1e-6)
    (record,) = caplog.records
    line = record.getMessage()
    assert line.startswith("using openvino; openvino int8 is skipped: ")
    assert not line.endswith(("--precision fp32", "--precision"))  # which `auto` has done


def test_a_graph_that_would_run_in_float_is_not_called_int8(twin: Path) -> None:
    """The FP32 file instead of the INT8 one, with valid hashes and calibration."""
    folder = twin.parent / FOLDER
    spec = find_engine("tiny", twin)
    before, after = spec.artifacts["onnx_int8"][1], spec.artifacts["onnx"][1]
    (folder / "model.int8.onnx").write_bytes((folder / "model.onnx").read_bytes())
    for path in (folder / "engine.toml", twin.parent / PAPER):
        path.write_text(path.read_text().replace(before, after))
    spec = find_engine("tiny", twin)
    with pytest.raises(EngineError, match=r"would run 2 of 2 convolutions of model.int8.onnx in float"):
        open_engine(spec, "openvino", precision="int8")
    with open_engine(spec, "openvino") as engine:
        assert engine.precision == "fp32"


@pytest.mark.usefixtures("int8")
def test_int8_that_misses_its_golden_output_on_average_is_not_used(twin: Path) -> None:
    path = twin.parent / FOLDER / "golden.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["inverse"] = arrays["inverse"] + 0.1
    np.savez(path, **arrays)
    with pytest.raises(EngineError, match=r"inverse differs .* on average, allowed is 0.05; use another --precision"):
        open_engine(find_engine("tiny", twin), "openvino", precision="int8")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (", inverse = 0.05 }", " }"),
        ("mean_abs_diff = { doubled = 0.05, inverse = 0.05 }", ""),
        ("[golden.int8]", "[golden.other]"),
    ],
)
def test_an_int8_artifact_without_a_tolerance_for_every_output_is_malformed(
    twin: Path, before: str, after: str
) -> None:
    path = twin.parent / FOLDER / "engine.toml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(EngineSpecError, match=r"int8|other"):
        find_engine("tiny", twin)


def test_a_calibration_file_is_read_as_it_was_written(twin: Path) -> None:
    spec = find_engine("tiny", twin)
    calibration = load_calibration(spec)
    assert calibration.gate == {"dice": GateFigure(fp32=0.8, int8=0.79, limit=0.01)}
    assert calibration_text(calibration) == calibration_path(spec).read_text()


@pytest.mark.parametrize(("int8", "holds"), [(0.81, True), (0.79, True), (0.7899, False)])
def test_a_figure_may_fall_by_its_limit_and_no_more(int8: float, holds: bool) -> None:
    assert GateFigure(fp32=0.8, int8=int8, limit=0.01).holds is holds
