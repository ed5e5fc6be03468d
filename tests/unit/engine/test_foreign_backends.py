"""Back ends of other packages: found by entry point, used by name, and no harm when they are broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from usassist.engine import candidates, find_engine, get_backend, list_backends, open_engine, why_not
from usassist.engine.registry import BACKENDS, device_of
from usassist.errors import BackendUnavailableError, EngineNotFoundError

ROOT = Path(__file__).resolve().parents[3]


def _example() -> str:
    """The one of docs/engines.md."""
    text = (ROOT / "docs" / "engines.md").read_text(encoding="utf-8")
    return text.partition("```python\n")[2].partition("```")[0]


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages: one back end that works, and several that do not."""
    (tmp_path / "onnx_reference_backend.py").write_text(_example())
    (tmp_path / "faulty_backends.py").write_text(
        "from usassist.engine import Backend\n"
        "class Mute(Backend):\n"
        "    def open(self, *args, **kwargs): raise NotImplementedError\n"
        "class Angry(Mute):\n"
        "    def why_not_installed(self): raise ZeroDivisionError('not today')\n"
        "other_name, angry, text = Mute('another'), Angry('angry'), 'not a back end'\n"
    )
    (tmp_path / "exits.py").write_text("raise SystemExit('this package ends the interpreter')\n")
    info = tmp_path / "strange-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[usassist.backends]\n"
        "onnx-reference = onnx_reference_backend:BACKEND\n"
        "missing = no_such_module:BACKEND\n"
        "exits = exits:BACKEND\n"
        "nothing = faulty_backends:nothing\n"
        "text = faulty_backends:text\n"
        "renamed = faulty_backends:other_name\n"
        "angry = faulty_backends:angry\n"
        "openvino = faulty_backends:angry\n"
        "mine-int8 = faulty_backends:angry\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_a_back_end_of_another_package_is_listed_and_runs(packages: Path, tiny: Path) -> None:
    assert list_backends()[: len(BACKENDS)] == tuple(BACKENDS)
    assert "onnx-reference" in list_backends()
    assert why_not("onnx-reference") is None
    assert device_of("onnx-reference") == "cpu"
    with open_engine(find_engine("tiny", tiny), "onnx-reference") as engine:
        assert engine.backend == "onnx-reference"
        outputs = engine.infer({"image": np.full((1, 1, 4, 6), 0.5, np.float32)})
        np.testing.assert_allclose(outputs["doubled"], 1.0)


def test_auto_does_not_take_it(packages: Path, tiny: Path) -> None:
    assert {name for name, _ in candidates(find_engine("tiny", tiny))} <= set(BACKENDS)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("missing", "no_such_module:BACKEND cannot be imported: ModuleNotFoundError"),
        ("exits", "exits:BACKEND cannot be imported: SystemExit"),
        ("nothing", "faulty_backends:nothing cannot be imported: AttributeError"),
        ("text", "faulty_backends:text is 'not a back end', not an instance of"),
        ("renamed", "with the name renamed"),
        ("angry", "it fails when it is asked: ZeroDivisionError('not today')"),
    ],
)
def test_a_broken_one_is_unavailable_with_its_reason(packages: Path, tiny: Path, name: str, words: str) -> None:
    assert words in (why_not(name) or "")
    assert "repair or remove its package" in (why_not(name) or "")
    assert device_of(name) == ("cpu" if name == "angry" else "none")
    with pytest.raises(BackendUnavailableError):
        open_engine(find_engine("tiny", tiny), name)


def test_a_broken_one_does_not_stop_the_others(packages: Path, tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    with open_engine(find_engine("tiny", tiny)) as engine:
        assert engine.backend in BACKENDS
    assert get_backend("openvino").__class__.__module__ == "usassist.engine.backends.openvino"
    assert "mine-int8" not in list_backends()
    assert "openvino of faulty_backends:angry is not used: its name is taken" in caplog.text
    with pytest.raises(EngineNotFoundError, match="onnx-reference"):
        get_backend("no-such-back-end")


def test_the_command_lists_them_all_and_the_example_of_the_documentation_conforms(packages: Path, tiny: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        paths = os.pathsep.join((str(packages), str(ROOT)))
        environment = os.environ | {"PYTHONPATH": paths, "USASSIST_CACHE": str(packages / "cache")}
        command = [sys.executable, "-m", "usassist", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    listed = {item["name"]: item for item in json.loads(run("engine", "list", "--json").stdout)["backends"]}
    assert listed["onnx-reference"]["available"]
    assert {name for name in ("missing", "exits", "angry") if not listed[name]["available"]} == {
        "missing",
        "exits",
        "angry",
    }
    checked = run("engine", "conformance", "onnx-reference", "--engine", "tiny", "--engines", str(tiny), "--json")
    document = json.loads(checked.stdout)
    assert (checked.returncode, document["failed"]) == (0, 0), document
    assert {item["check"] for item in document["checks"] if item["state"] == "skipped"} == {"null"}
    refused = run("engine", "conformance", "missing")
    assert refused.returncode == 1
    assert "no_such_module:BACKEND cannot be imported" in refused.stderr
