"""`usassist engine build` and `usassist engine cache`, as they are used on a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fake_builder import environment

ENGINE = "thyroid_nodule"
Usassist = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def usassist(tmp_path: Path) -> Usassist:
    def run(*arguments: str, behaviour: str = "ok") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "usassist", *arguments],
            env=os.environ | environment(tmp_path, behaviour),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_plan_is_built_listed_found_again_and_cleared(usassist: Usassist, tmp_path: Path) -> None:
    build = ("engine", "build", ENGINE, "--backend", "fake", "--precision", "fp32")
    first = usassist(*build)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("built in ")
    path = Path(first.stdout.strip().rpartition(": ")[2])
    assert path.parent == tmp_path / "cache"
    assert path.is_file()
    document = json.loads(usassist(*build, "--json").stdout)
    assert (document["built"], document["path"]) == (False, str(path))
    assert (document["backend"], document["precision"]) == ("fake", "fp32")

    listed = json.loads(usassist("engine", "cache", "list", "--json").stdout)
    assert listed["folder"] == str(tmp_path / "cache")
    plan = next(entry for entry in listed["entries"] if entry["kind"] == "plan")
    assert (plan["path"], plan["size_bytes"]) == (str(path), path.stat().st_size)
    assert (plan["runtime"], plan["gpu"], plan["precision"]) == ("fake 1.0", "none", "fp32")
    assert plan["engine"].startswith(f"{ENGINE}@")
    assert {entry["kind"] for entry in listed["entries"]} == {"plan", "timing"}
    table = usassist("engine", "cache", "list").stdout
    assert "fake 1.0" in table
    assert f"MB in {tmp_path / 'cache'}" in table

    cleared = json.loads(usassist("engine", "cache", "clear", "--json").stdout)
    assert cleared["removed"] == 2
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_empty_cache_is_listed_and_cleared(usassist: Usassist, tmp_path: Path) -> None:
    assert usassist("engine", "cache", "list").stdout == f"nothing in {tmp_path / 'cache'}\n"
    assert usassist("engine", "cache", "clear").stdout.startswith("removed 0 files, 0.0 MB")


def test_auto_takes_the_first_back_end_that_builds_plans_and_can(usassist: Usassist) -> None:
    document = json.loads(usassist("engine", "build", ENGINE, "--json").stdout)
    assert (document["backend"], document["precision"], document["built"]) == ("fake", "fp32", True)


def test_a_plan_that_is_there_is_not_built_again(usassist: Usassist) -> None:
    build = ("engine", "build", ENGINE, "--backend", "fake", "--precision", "fp32")
    path = usassist(*build).stdout.partition(": ")[2]
    assert usassist(*build).stdout == f"already there: {path}"


def test_a_back_end_without_plans_is_reported(usassist: Usassist) -> None:
    run = usassist("engine", "build", ENGINE, "--backend", "onnxruntime", "--precision", "fp32")
    assert run.returncode == 0
    assert run.stdout.startswith("onnxruntime needs no plan; it reads ")
    assert run.stdout.endswith("model.onnx\n")


def test_fp16_is_derived_for_a_back_end_that_needs_no_plan(usassist: Usassist, tmp_path: Path) -> None:
    pytest.importorskip("onnxconverter_common")
    run = usassist("engine", "build", ENGINE, "--backend", "onnxruntime", "--precision", "fp16")
    assert run.returncode == 0, run.stderr
    path = Path(run.stdout.strip().rpartition(" reads ")[2])
    assert path.parent == tmp_path / "cache"
    assert path.is_file()
    (entry,) = json.loads(usassist("engine", "cache", "list", "--json").stdout)["entries"]
    assert (entry["kind"], entry["precision"], entry["path"]) == ("onnx", "fp16", str(path))


@pytest.mark.parametrize(
    ("behaviour", "says"),
    [
        ("refuse", "usassist: the fake builder does not like this engine; give it another"),
        (
            "crash",
            "usassist: the builder of fake crashed (SIGSEGV); install its runtime again, or use another --backend",
        ),
    ],
)
def test_a_build_that_fails_is_one_clear_line(usassist: Usassist, tmp_path: Path, behaviour: str, says: str) -> None:
    run = usassist("engine", "build", ENGINE, "--backend", "fake", behaviour=behaviour)
    assert run.returncode == 1
    assert run.stderr.strip().splitlines()[-1] == says
    assert "Traceback" not in run.stderr
    assert not list((tmp_path / "cache").glob("*.entry"))


def test_wrong_use_is_one_clear_line_and_exit_code_2(usassist: Usassist) -> None:
    for arguments in (("no_such_engine",), (ENGINE, "--backend", "none"), (ENGINE, "--precision", "int4")):
        run = usassist("engine", "build", *arguments)
        assert run.returncode == 2
        assert run.stderr.count("\n") == 1


def test_a_cache_folder_that_others_can_write_is_refused_with_the_remedy(usassist: Usassist, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    for arguments in (("engine", "build", ENGINE, "--backend", "fake"), ("engine", "cache", "list")):
        run = usassist(*arguments)
        assert run.returncode == 1
        assert run.stderr.strip().endswith(f"chmod 700 {folder}, or name another folder with USASSIST_CACHE")


def test_ctrl_c_ends_a_build_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "usassist", "engine", "build", ENGINE, "--backend", "fake"]
    with subprocess.Popen(
        command,
        env=os.environ | environment(tmp_path, "hang"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline_s = time.monotonic() + 60
        while not list((tmp_path / "cache").glob(".*.lock")):  # it has begun to build
            assert time.monotonic() < deadline_s
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == "usassist: stopped; nothing half-built stays behind"
    assert not list((tmp_path / "cache").glob("*.entry"))
    assert not list((tmp_path / "cache").glob(".*.tmp"))
