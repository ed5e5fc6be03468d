from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from usassist.engine import BACKENDS, find_engine, list_engines, open_engine, why_not
from usassist.engine.registry import AUTO_ORDER
from usassist.errors import (
    BackendUnavailableError,
    EngineError,
    EngineNotFoundError,
    EngineOutputError,
    EngineSpecError,
)

REAL = [name for name in BACKENDS if why_not(name) is None and name != "null"]


def _input(value: float = 0.5) -> dict[str, np.ndarray]:
    return {"image": np.full((1, 1, 4, 6), value, np.float32)}


@pytest.mark.parametrize("backend", REAL)
def test_every_back_end_gives_the_same_answer(tiny: Path, backend: str) -> None:
    with open_engine(find_engine("tiny", tiny), backend, threads=1) as engine:
        outputs = engine.infer(_input())
        np.testing.assert_allclose(outputs["doubled"], 1.0)
        np.testing.assert_allclose(outputs["inverse"], 2.0)
        assert engine.backend == backend
        assert engine.verify() <= 0.001


def test_auto_takes_the_first_that_can_run(tiny: Path) -> None:
    with open_engine(find_engine("tiny", tiny)) as engine:
        assert engine.backend == next(name for name in AUTO_ORDER if why_not(name) is None)


def test_auto_goes_on_to_the_next_back_end_when_one_is_missing(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert "pip install openvino" in (why_not("openvino") or "")
    with open_engine(find_engine("tiny", tiny)) as engine:
        assert engine.backend == "onnxruntime"
    for name in ("onnxruntime", "torch"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendUnavailableError, match=r"openvino fp32: .*onnxruntime fp32: "):
        open_engine(find_engine("tiny", tiny))


def test_opening_an_engine_reports_nothing_to_anybody(tiny: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from usassist.engine import find_engine, open_engine;"
        f"open_engine(find_engine('tiny', Path({str(tiny)!r})), 'openvino').close();"
        "assert sys.modules['openvino_telemetry'] is None;"
        "assert 'openvino.tools.ovc.telemetry_stub' in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_null_computes_nothing_and_is_never_taken_by_itself(tiny: Path) -> None:
    assert "null" not in AUTO_ORDER
    with open_engine(find_engine("tiny", tiny), "null") as engine:
        assert not engine.infer(_input())["doubled"].any()


def test_unknown_names_are_answered_with_the_known_ones(tiny: Path) -> None:
    with pytest.raises(EngineNotFoundError, match=r"known: tiny@1.2.3"):
        find_engine("tinny", tiny)
    with pytest.raises(EngineNotFoundError, match="known: auto, tensorrt"):
        open_engine(find_engine("tiny", tiny), "openvno")


def test_the_newest_version_is_found_by_number_not_by_letter(tiny: Path) -> None:
    for version in ("1.2.10", "1.2.9"):
        folder = tiny / "tiny" / version
        shutil.copytree(tiny / "tiny" / "1.2.3", folder)
        text = (folder / "engine.toml").read_text()
        (folder / "engine.toml").write_text(text.replace('version = "1.2.3"', f'version = "{version}"'))
    assert find_engine("tiny", tiny).version == "1.2.10"
    assert find_engine("tiny@1.2.3", tiny).version == "1.2.3"
    assert [spec.version for spec in list_engines(tiny)] == ["1.2.3", "1.2.9", "1.2.10"]


def test_weights_that_are_not_those_of_the_spec_are_refused(tiny: Path) -> None:
    with (tiny / "tiny/1.2.3/model.onnx").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(EngineSpecError, match="SHA-256"):
        open_engine(find_engine("tiny", tiny), "openvino")
    (tiny / "tiny/1.2.3/model.onnx").unlink()
    with pytest.raises(EngineSpecError, match="cannot be read"):
        open_engine(find_engine("tiny", tiny), "onnxruntime")


@pytest.mark.parametrize("backend", REAL)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('name = "image"', 'name = "picture"'),
        (
            'name = "inverse"\ndtype = "float32"\nshape = [1, 1, 4, 6]',
            'name = "inverse"\ndtype = "float32"\nshape = [1, 1, 4, 7]',
        ),
        ('name = "inverse"\ndtype = "float32"', 'name = "inverse"\ndtype = "uint8"'),
    ],
)
def test_a_graph_that_differs_from_the_spec_is_refused_with_both(
    tiny: Path, backend: str, before: str, after: str
) -> None:
    _edit(tiny, before, after)
    with pytest.raises(EngineSpecError, match=r"the graph's .* are .*engine.toml says"):
        open_engine(find_engine("tiny", tiny), backend)


@pytest.mark.parametrize("backend", REAL)
def test_a_back_end_that_misses_the_golden_output_is_not_used(tiny: Path, backend: str) -> None:
    path = tiny / "tiny/1.2.3/golden.npz"
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["doubled"] = arrays["doubled"] + 0.01
    np.savez(path, **arrays)
    with pytest.raises(EngineError, match="differs from its golden output"):
        open_engine(find_engine("tiny", tiny), backend)


@pytest.mark.parametrize("backend", REAL)
def test_an_output_that_is_not_finite_is_an_error_and_the_next_frame_is_answered(tiny: Path, backend: str) -> None:
    with open_engine(find_engine("tiny", tiny), backend) as engine:
        with pytest.raises(EngineOutputError, match="not finite in inverse"):
            engine.infer(_input(0.0))
        np.testing.assert_allclose(engine.infer(_input())["doubled"], 1.0)


@pytest.mark.parametrize(
    "inputs",
    [{}, {"image": np.zeros((1, 1, 4, 6))}, {"image": np.zeros((1, 1, 4, 5), np.float32)}],
)
def test_an_input_that_does_not_fit_is_refused(tiny: Path, inputs: dict[str, np.ndarray]) -> None:
    with (
        open_engine(find_engine("tiny", tiny), "onnxruntime") as engine,
        pytest.raises(EngineError, match="expects image"),
    ):
        engine.infer(inputs)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ('modality = "US"', 'modality = "XX"', "one of US, CT, MR"),
        ('licence = "none"', "", "key licence is missing"),
        ('licence = "none"', 'licence = "none"\nsurprise = 1', "unknown key surprise"),
        ("rate_hz = 30.0", 'rate_hz = "fast"', "rate_hz must be float"),
        ("schema = 1", "schema = 2", "update usassist"),
        ("schema = 1", "schema = ", "cannot be read"),
        ('version = "1.2.3"', 'version = "1.2.4"', "its folder another"),
        ("shape = [1, 1, 4, 6]", 'shape = ["a"]', "whole numbers"),
        ("id = 0", "id = 1", "count from 0"),
        ("score_threshold = 0.5", "score_threshold = 5.0", "score_threshold"),
        ('layout = "NCHW"', 'layout = "NHW"', "does not fit shape"),
    ],
)
def test_a_malformed_spec_is_refused_in_one_line(tiny: Path, before: str, after: str, message: str) -> None:
    _edit(tiny, before, after)
    with pytest.raises(EngineSpecError, match=message) as caught:
        find_engine("tiny", tiny)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", REAL)
def test_weights_that_are_no_graph_are_refused(tiny: Path, backend: str) -> None:
    import hashlib

    path = tiny / "tiny/1.2.3/model.onnx"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:40])
    _edit(tiny, before, hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(EngineError, match=r"cannot load model.onnx|model.onnx is no ONNX file"):
        open_engine(find_engine("tiny", tiny), backend)


def _edit(engines: Path, before: str, after: str) -> None:
    path = engines / "tiny/1.2.3/engine.toml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
