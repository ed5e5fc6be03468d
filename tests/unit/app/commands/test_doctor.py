"""`usassist doctor` on machines and installations where something is wrong: what it says to do, and the exit code.

The installation is a folder of the test's own, with a tiny engine, the bundled clip and its calibrations; its files are
really broken.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from typer.testing import CliRunner

from usassist import config
from usassist.app.commands.main import app

ENGINE = "tiny/1.0.0"
TOML = """
schema = 1
name = "tiny"
version = "1.0.0"
modality = "US"
task = "segment"
precision = "fp32"
licence = "none"
intended_use = "tests"
rate_hz = 30.0
latency_budget_ms = 33.0

[artifacts.onnx]
path = "model.onnx"
sha256 = "{sha256}"

[[inputs]]
name = "image"
dtype = "float32"
shape = [1, 1, 4, 6]
layout = "NCHW"

[[outputs]]
name = "doubled"
dtype = "float32"
shape = [1, 1, 4, 6]
layout = "NCHW"

[preprocess]
color = "GRAY"
input_range = [0.0, 1.0]
mean = [0.0]
std = [1.0]

[[labels]]
id = 0
name = "thing"
scheme = "SCT"
value = "1"
meaning = "Thing"
color_rgb = [1, 2, 3]
score_threshold = 0.5

[golden]
path = "golden.npz"
max_abs_diff = 0.001
"""
IMAGE = np.linspace(0.1, 1, 24, dtype=np.float32).reshape(1, 1, 4, 6)

Doctor = Callable[[], tuple[int, dict[str, dict[str, Any]]]]


@pytest.fixture
def installation(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds `engines`, `calibration` and `demo`; everything in it is as it should be."""
    root = tmp_path / "installation"
    folder = root / "engines" / ENGINE
    folder.mkdir(parents=True)
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 4, 6]) for name in ("image", "doubled")]
    graph = helper.make_graph([helper.make_node("Add", ["image", "image"], ["doubled"])], "tiny", ends[:1], ends[1:])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), folder / "model.onnx"
    )
    digest = hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    (folder / "engine.toml").write_text(TOML.format(sha256=digest))
    np.savez(folder / "golden.npz", image=IMAGE, doubled=2 * IMAGE)
    for name in ("calibration", "demo"):
        shutil.copytree(repository / name, root / name)
    monkeypatch.setattr(config, "_PACKAGE", root / "usassist")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return root


@pytest.fixture
def doctor(installation: Path) -> Doctor:
    """Run the command; gives its exit code, and what was checked → the check."""

    def run() -> tuple[int, dict[str, dict[str, Any]]]:
        result = CliRunner().invoke(app, ["doctor", "--json"])
        document = json.loads(result.output)
        checks = {check["what"]: check for check in document["checks"]}
        assert document["ok"] == all(check["ok"] for check in checks.values())
        assert all("\n" not in check["detail"] and check["detail"] for check in checks.values())
        for check in checks.values():
            assert check["ok"] or any(sign in check["detail"] for sign in ("; ", ": pip install")), (
                "what is to be done?"
            )
        return result.exit_code, checks

    return run


def _failed(checks: dict[str, dict[str, Any]]) -> set[str]:
    """What the main job needs and is not as it should be."""
    return {what for what, check in checks.items() if check["needed"] and not check["ok"]}


def test_nothing_is_wrong_with_an_installation_that_is_whole(doctor: Doctor) -> None:
    code, checks = doctor()
    assert (code, _failed(checks)) == (0, set())
    assert checks["back end openvino"]["ok"]
    assert checks["back end onnxruntime"]["ok"]


def test_without_json_it_is_a_table_with_the_same_exit_code(installation: Path) -> None:
    (installation / "demo" / "clip.mkv").unlink()
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    text = " ".join(result.output.replace("│", " ").split())
    assert "no demo clip" in text
    assert "install usassist again" in text


def test_pyav_without_codecs(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    av = importlib.import_module("av")
    monkeypatch.setattr(av, "codecs_available", frozenset(av.codecs_available) - {"ffv1", "magicyuv"})
    code, checks = doctor()
    assert (code, _failed(checks)) == (1, {"codecs"})
    assert checks["codecs"]["detail"].startswith("this build of PyAV lacks magicyuv, ffv1; run: pip install")


def test_a_runtime_folder_that_cannot_be_made(doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "file"))
    code, checks = doctor()
    assert (code, _failed(checks)) == (1, {"socket folder"})
    assert f"{tmp_path / 'file' / 'usassist'} cannot be made: Not a directory; " in checks["socket folder"]["detail"]


def test_a_full_disk(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=300 * 2**20))
    code, checks = doctor()
    assert (code, _failed(checks)) == (1, {"free disk"})
    assert checks["free disk"]["detail"].startswith("0.3 GiB in this folder")
    assert checks["free disk"]["detail"].endswith("free some space, or record to another disk with --out")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors can be taken away on Linux alone")
def test_one_processor(doctor: Doctor) -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        code, checks = doctor()
    finally:
        os.sched_setaffinity(0, before)
    assert (code, _failed(checks)) == (1, {"processor"})
    assert checks["processor"]["detail"].startswith("1 usable of ")
    assert checks["processor"]["detail"].endswith("more processors")


def test_no_display_is_reported_and_not_needed(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    code, checks = doctor()
    assert code == 0
    assert not checks["display"]["ok"]
    assert "use --overlay-video" in checks["display"]["detail"]


def test_an_engine_whose_weights_were_changed(installation: Path, doctor: Doctor) -> None:
    with (installation / "engines" / ENGINE / "model.onnx").open("ab") as file:
        file.write(b"x")
    code, checks = doctor()
    assert code == 1
    assert _failed(checks) == {"back end openvino", "back end onnxruntime"}
    for what in _failed(checks):
        assert "model.onnx" in checks[what]["detail"]
        assert checks[what]["detail"].endswith("; install it again")


def test_an_engine_whose_description_is_broken(installation: Path, doctor: Doctor) -> None:
    (installation / "engines" / ENGINE / "engine.toml").write_text("schema = ")
    code, checks = doctor()
    assert (code, _failed(checks)) == (1, {"engines"})
    assert "engine.toml" in checks["engines"]["detail"]
    assert ";" in checks["engines"]["detail"]


def test_an_answer_that_misses_the_golden_output(
    installation: Path, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("USASSIST_CACHE", str(tmp_path / "cache"))  # nothing was measured before
    np.savez(installation / "engines" / ENGINE / "golden.npz", image=IMAGE, doubled=3 * IMAGE)
    code, checks = doctor()
    assert code == 1
    assert _failed(checks) == {"back end openvino", "back end onnxruntime"}
    assert "golden" in checks["back end onnxruntime"]["detail"]
    assert not checks["order for tiny"]["ok"]


def test_a_back_end_that_the_main_job_does_not_need(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    code, checks = doctor()
    assert code == 0
    (found,) = [check for what, check in checks.items() if what.split()[-1] == "torch"]
    assert not found["ok"]
    assert "pip install" in found["detail"]


def test_a_back_end_that_the_main_job_needs(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    code, checks = doctor()
    assert (code, _failed(checks)) == (1, {"back end openvino"})
    assert "pip install" in checks["back end openvino"]["detail"]


@pytest.mark.parametrize("empty", [True, False])
def test_no_engines(installation: Path, doctor: Doctor, *, empty: bool) -> None:
    shutil.rmtree(installation / "engines")
    if empty:
        (installation / "engines").mkdir()
    code, checks = doctor()
    assert (code, _failed(checks)) == (1, {"engines"})
    assert checks["engines"]["detail"].endswith("install usassist again")


def test_a_score_calibration_that_is_broken(installation: Path, doctor: Doctor) -> None:
    (installation / "calibration" / "score" / "tiny.toml").write_text("engine_id = [")
    code, checks = doctor()
    assert code == 1
    (what,) = _failed(checks)
    assert what.startswith("scores of tiny")
    assert "tiny.toml cannot be read" in checks[what]["detail"]


@pytest.mark.parametrize("broken", ["demo/clip.mkv", "calibration/geometry/phantom_demo.toml"])
def test_a_demo_clip_or_its_calibration_that_is_broken(installation: Path, doctor: Doctor, broken: str) -> None:
    (installation / broken).write_bytes(b"\0" * 1000)
    code, checks = doctor()
    assert (code, _failed(checks)) == (1, {"demo clip"})
    assert Path(broken).name in checks["demo clip"]["detail"]
    assert ";" in checks["demo clip"]["detail"]


def test_a_system_library_that_is_missing(tmp_path: Path, repository: Path) -> None:
    """OpenCV as a shared object that needs another one that is not there."""
    library = next(
        path for path in Path(np.__file__).parent.rglob("*.so") if b"libc.so.6\0" in path.read_bytes()
    ).read_bytes()
    (tmp_path / "cv2.so").write_bytes(library.replace(b"libc.so.6\0", b"libz.so.9\0"))
    (tmp_path / "engines").mkdir()
    environment = dict(os.environ) | {"PYTHONPATH": f"{tmp_path}:{repository}", "XDG_RUNTIME_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-m", "usassist", "doctor", "--json"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1, run.stderr
    checks = {check["what"]: check for check in json.loads(run.stdout)["checks"]}
    assert _failed(checks) >= {"opencv-python", "demo clip"}
    assert checks["opencv-python"]["detail"].startswith("the system library libz.so.9 is missing")
    assert "install the package that has it" in checks["opencv-python"]["detail"]
    assert checks["numpy"]["ok"]
    assert checks["back end onnxruntime"]["ok"], "the other checks are not left out"
