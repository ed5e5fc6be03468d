"""A live session, from the command line to the files: the simulated scanner sends over a real socket."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.replay.live_session import worker_pids
from usassist.sources import open_source

SIZE = "360x480"


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def scanner(environment: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """Address of a simulated scanner that plays until the test ends; its truth is in ``truth.jsonl``."""
    address = f"udp://127.0.0.1:{_free_port()}"
    command = [sys.executable, "-m", "usassist", "phantom", "serve", "--to", address, "--size", SIZE]
    command += ["--rate", "20", "--log", str(tmp_path / "truth.jsonl")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        yield address
        process.terminate()


@pytest.fixture
def live(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start ``usassist live``."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "usassist", "live", "--source", source, "--no-page", "--json"]
        command += ["--out", str(tmp_path / "out"), "--threads", "1", *options]
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _until(condition: Callable[[], Any], process: subprocess.Popen[str], what: str) -> Any:
    end_s = time.monotonic() + 90
    while True:
        found = condition()
        if found:
            return found
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end_s, what
        time.sleep(0.05)


def _lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def _children(pid: int) -> dict[str, int]:
    """Name → process id of the children that work."""
    return {name: pids[0] for name, pids in worker_pids(pid).items()}


def _sessions(tmp_path: Path, least: int = 1) -> list[Path]:
    """Folders in which at least so many frames and results are recorded, in order."""
    folders = sorted((tmp_path / "out").glob("*")) if (tmp_path / "out").exists() else []
    names = ("frames.jsonl", "results.jsonl")
    return [folder for folder in folders if min(len(_lines(folder / name)) for name in names) >= least]


@pytest.mark.slow
@pytest.mark.alone
def test_a_live_session_is_cropped_recorded_and_shut_down_in_order(
    scanner: str, live: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = live(scanner)
    _until(lambda: _sessions(tmp_path, 40), process, "no results came")
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    report = json.loads(stdout)
    assert report["restarts"] == {}
    (folder,) = (Path(path) for path in report["folders"])
    session = tomllib.loads((folder / "session.toml").read_text())
    assert session["state"] == "interrupted"
    assert report["summary"]["frames"] == session["frames"] == session["results"]
    assert report["summary"]["answers_by_backend"]
    truth = _lines(tmp_path / "truth.jsonl")[0]
    x1, y1, x2, y2 = truth["scan_xyxy_px"]
    for line in _lines(folder / "frames.jsonl"):
        left, top, right, bottom = line["roi_xyxy_px"]
        assert top >= y1 - 8  # the banner is above
        assert bottom <= y2 + 16
        assert right - left < 1.3 * (x2 - x1)  # the ruler may lie inside on so small a screen
    with open_source(f"session:{folder}", session_id="again", fast=True) as source:
        assert sum(1 for _ in source.frames()) == session["frames"]
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("name", ["stream", "record"])
def test_a_killed_process_is_restarted_and_the_others_go_on(
    name: str, scanner: str, live: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = live(scanner)
    (first,) = _until(lambda: _sessions(tmp_path, 20), process, "no results came")
    before = _children(process.pid)
    other = {"stream": "record", "record": "stream"}[name]
    os.kill(before[name], signal.SIGKILL)
    folders = _until(
        lambda: len(_sessions(tmp_path, 20)) == 2 and _sessions(tmp_path, 20), process, "nothing came back"
    )
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    report = json.loads(stdout)
    assert report["restarts"] == {name: 1}
    assert [Path(path) for path in report["folders"]] == folders
    assert f"the process {name} has died" in stderr
    assert len(report["sessions"]) == (2 if name == "stream" else 1)
    for folder in folders:  # both are readable
        with open_source(f"session:{folder}", session_id="again", fast=True) as source:
            assert sum(1 for _ in source.frames()) >= 15  # what was on its way when it was killed is lost
    assert tomllib.loads((first / "session.toml").read_text())["complete"] is False
    if name == "record":
        assert before[other] not in (None, before[name])


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("options", [(), ("--no-record",)])
def test_a_clip_plays_through_the_same_processes_and_ends_with_it(
    options: tuple[str, ...], live: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = live("null:frames=60,rate=30,size=96x160", "--backend", "null", *options)
    stdout, stderr = process.communicate(timeout=90)
    assert process.returncode == 0, stderr
    report = json.loads(stdout)
    assert (report["summary"]["frames"], report["summary"]["state"]) == (60, "ended")
    assert report["restarts"] == {}
    assert len(report["folders"]) == (0 if options else 1)
    for folder in report["folders"]:
        assert len(_lines(Path(folder) / "results.jsonl")) == 60


@pytest.mark.slow
@pytest.mark.alone
def test_a_source_that_is_not_there_yet_is_reported_and_waited_for(
    live: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = live(f"udp://127.0.0.1:{_free_port()}", "--no-record")
    assert process.stderr is not None
    assert any("live — Ctrl-C ends it" in line for line in process.stderr), "it never began"
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 0, stderr
    assert json.loads(stdout)["summary"]["frames"] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--source", "clip.mp4"], "there is no file clip.mp4"),
        (["--source", "udp://127.0.0.1:5000", "--crop", "none"], "--uncalibrated"),
        (["--source", "udp://127.0.0.1:5000", "--uncalibrated", "--crop", "1,2,3,4"], "leave out"),
        (["--source", "udp://127.0.0.1:5000", "--engine", "nix"], "no engine nix"),
        (["--source", "udp://127.0.0.1:5000", "--calibration", "nix"], "no geometry calibration nix"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(
    options: list[str], words: str, environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "usassist", "live", "--no-page", *options]
    run = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode in (1, 2)
    assert words in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
