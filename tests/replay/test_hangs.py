"""Processes that hang in a session: killed and replaced as those that die, while the rest goes on."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.replay.live_session import DOUBLES, LiveSession
from usassist.sources import open_source

pytestmark = pytest.mark.alone  # a machine that is busy is not a process that hangs

SOURCE = ("--source", "null:rate=30,size=96x160", "--backend", "null")


def _frames(folder: str) -> int:
    with open_source(f"session:{folder}", session_id="again", fast=True) as source:
        return sum(1 for _ in source.frames())


def _children(pid: int) -> list[int]:
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(number) for number in path.read_text().split()] if path.exists() else []


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("name", ["stream", "record"])
def test_a_process_that_stalls_is_restarted_and_the_others_go_on(
    name: str, environment: dict[str, str], tmp_path: Path
) -> None:
    with LiveSession(tmp_path, *SOURCE, "--no-page", environment=environment) as live:
        live.until(lambda: len(live.results) > 90, "no results came")  # the recorder holds a second of frames back
        victim = live.pids()[name][0]
        os.kill(victim, signal.SIGSTOP)
        live.until(lambda: any("was killed" in line for line in live.stderr), "it was not noticed")
        assert not _lives(victim)
        came = len(live.results)
        live.until(lambda: len(live.results) > came + 30, "it does not go on")
        time.sleep(1.0)
        report = live.end()
        assert live.process.returncode == 0
    assert report["restarts"] == {name: 1}
    assert "has been stopped" in report["problems"][0]
    assert len(report["sessions"]) == (2 if name == "stream" else 1)
    assert len(report["folders"]) == 2
    assert all(_frames(folder) > 5 for folder in report["folders"])


@pytest.mark.slow
def test_an_engine_that_holds_the_interpreter_lock_is_detected(environment: dict[str, str], tmp_path: Path) -> None:
    engine = "gil,null,20,1"
    with LiveSession(tmp_path, *SOURCE, "--no-page", engine=engine, environment=environment) as live:
        live.until(lambda: any("the process stream was killed" in line for line in live.stderr), "it was not noticed")
        first = live.results[0].session_id
        live.until(lambda: live.results[-1].session_id != first and live.results[-1].frame_id > 30, "it does not go on")
        report = live.end()
    assert report["restarts"] == {"stream": 1}


@pytest.mark.slow
def test_a_process_whose_engine_hangs_again_and_again_is_restarted(environment: dict[str, str], tmp_path: Path) -> None:
    engine = "sleep,null,20,2"
    with LiveSession(tmp_path, *SOURCE, "--no-page", engine=engine, environment=environment) as live:
        live.until(lambda: any("the process stream has died" in line for line in live.stderr), "it was not noticed")
        first = live.results[0].session_id
        live.until(lambda: live.results[-1].session_id != first and live.results[-1].frame_id > 30, "it does not go on")
        hung = [seen for seen in live.results if "engine hangs" in seen.reason]
        report = live.end()
    assert [seen.state for seen in hung] == ["no_result", "no_result"]
    assert report["restarts"] == {"stream": 1}
    assert "did not answer" in report["problems"][0]


@pytest.mark.slow
def test_a_process_whose_engine_leaks_memory_is_restarted(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text("[stream]\nmemory_limit_mb = 1500\n")
    options = (*SOURCE, "--no-page", "--config", str(tmp_path / "settings.toml"))
    with LiveSession(tmp_path, *options, engine="memory,null,20,1", environment=environment) as live:
        live.until(lambda: any("stream was killed" in line for line in live.stderr), "it was not noticed")
        live.until(lambda: len({seen.session_id for seen in live.results}) > 1, "it does not go on")
        report = live.end()
    assert "1500 MiB are allowed" in report["problems"][0]
    assert report["restarts"]["stream"] >= 1


@pytest.mark.long
def test_a_page_that_never_comes_up_delays_nothing(environment: dict[str, str], tmp_path: Path) -> None:
    with LiveSession(tmp_path, *SOURCE, "--port", str(_free_port()), environment=environment) as live:
        live.until(lambda: "panel" in live.pids(), "there is no page")
        page = live.pids()["panel"][0]
        os.kill(page, signal.SIGSTOP)
        assert os.getpriority(os.PRIO_PROCESS, page) == 0, "its priority drops when it is ready, not before"
        live.until(lambda: len(live.results) > 60, "no results came")
        live.until(lambda: any("page is still starting" in line for line in live.stderr), "it is not said")
        report = live.end()
    assert report["restarts"] == {}
    assert _frames(report["folders"][0]) > 60


@pytest.mark.slow
def test_a_page_that_hangs_or_dies_is_restarted_without_the_stream(environment: dict[str, str], tmp_path: Path) -> None:
    with LiveSession(tmp_path, *SOURCE, "--port", str(_free_port()), environment=environment) as live:
        live.until(lambda: any("the page is at" in line for line in live.stderr), "there is no page")
        assert os.getpriority(os.PRIO_PROCESS, live.pids()["panel"][0]) == 10
        for sent, words in ((signal.SIGSTOP, "panel was killed"), (signal.SIGKILL, "panel has died")):
            os.kill(live.pids()["panel"][0], sent)
            live.until(lambda words=words: any(words in line for line in live.stderr), "it was not noticed")
            live.until(lambda: "panel" in live.pids(), "it was not replaced")
        came = len(live.results)
        live.until(lambda: len(live.results) > came + 30, "it does not go on")
        report = live.end()
    assert report["restarts"] == {"panel": 2}
    assert len(report["sessions"]) == len(report["folders"]) == 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_that_is_in_use_is_refused_before_anything_starts(environment: dict[str, str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "usassist", "live", *SOURCE, "--port", port]
        run = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == f"usassist: port {port} is in use; give another --port\n"
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_and_sigterm_work_while_an_engine_is_being_opened(environment: dict[str, str], tmp_path: Path) -> None:
    begun = [
        (_begin_to_open(command, environment, tmp_path / f"{command[0]}-{ignored}", ignored=ignored), ignored)
        for command in (("live", "--no-page", "--source"), ("replay", "--out", "out"))
        for ignored in (False, True)
    ]
    end_s = time.monotonic() + 100
    children = {}
    for (process, folder), ignored in begun:
        while not (folder / "engine" / "began").exists():
            assert process.poll() is None
            assert time.monotonic() < end_s, "it does not come so far"
            time.sleep(0.05)
        children[process.pid] = _children(process.pid)
        process.send_signal(signal.SIGTERM if ignored else signal.SIGINT)
    for (process, folder), _ in begun:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130, stderr
        assert "Traceback" not in stderr
        assert not (folder / "out").exists() or list((folder / "out").iterdir()) == []
        assert children[process.pid]
        while any(map(_lives, children[process.pid])):
            assert time.monotonic() < end_s + 60, "a process was left behind"
            time.sleep(0.1)


def _begin_to_open(
    command: tuple[str, ...], environment: dict[str, str], folder: Path, *, ignored: bool
) -> tuple[subprocess.Popen[str], Path]:
    """Start it with an engine that takes long to open; `ignored` = its parent ignores SIGINT."""
    (folder / "engine").mkdir(parents=True)
    environment = environment | {
        "USASSIST_TEST_ENGINE": f"open,any,0,1,{folder / 'engine'}",
        "PYTHONPATH": f"{DOUBLES}:{os.environ.get('PYTHONPATH', '')}",
    }
    words = [sys.executable, "-m", "usassist", *command, "null:rate=30,size=96x160"]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN if ignored else signal.default_int_handler)
    try:
        return subprocess.Popen(words, env=environment, cwd=folder, stderr=subprocess.PIPE, text=True), folder
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_a_replay_whose_engine_holds_the_interpreter_ends_with_what_was_recorded(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "engine").mkdir()
    environment |= {
        "USASSIST_TEST_ENGINE": f"gil,null,60,1,{tmp_path / 'engine'}",
        "PYTHONPATH": f"{DOUBLES}:{os.environ.get('PYTHONPATH', '')}",
    }
    source = ("null:rate=30,size=96x160,frames=600", "--backend", "null", "--out", "s", "--json")
    command = [sys.executable, "-m", "usassist", "replay", *source]
    run = subprocess.run(
        command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 1, run.stderr
    assert "the stream was killed: it hangs" in run.stderr
    summary = json.loads((tmp_path / "s" / "summary.json").read_text())
    assert summary["state"] == "failed"
    assert _frames(str(tmp_path / "s")) >= 55
