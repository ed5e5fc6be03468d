"""A disk that fills up while a live session is recorded: the recording ends, the stream goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from usassist.session.verify import verify_session
from usassist.sinks.disk_sync import free_bytes_of

MARGIN = 512 * 2**20


def _until(condition: Callable[[], Any], process: subprocess.Popen[str], what: str) -> Any:
    end_s = time.monotonic() + 90
    while not (found := condition()):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end_s, what
        time.sleep(0.1)
    return found


@pytest.fixture
def reserve(tmp_path: Path) -> Path:
    """Settings under which all the room but 512 MiB is to stay free."""
    free = free_bytes_of(tmp_path)
    if free < 4 * MARGIN:
        pytest.skip("there is too little room on this disk to play with")
    path = tmp_path / "settings.toml"
    path.write_text(f"[record]\nreserve_mb = {(free - MARGIN) // 2**20}\n")
    return path


@pytest.mark.slow
def test_a_full_disk_ends_the_recording_and_never_the_stream(
    reserve: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "usassist", "live", "--source", "null:rate=20,size=96x160", "--backend", "null"]
    command += ["--no-page", "--json", "--out", str(tmp_path / "out"), "--config", str(reserve)]
    process = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    ballast = tmp_path / "ballast"
    try:
        _until(lambda: any(path.stat().st_size for path in tmp_path.glob("out/*/results.jsonl")), process, "no results")
        (folder,) = (tmp_path / "out").iterdir()
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 2 * MARGIN)
        _until(lambda: "almost full" in (folder / "session.toml").read_text(), process, "the recording went on")
        size = (folder / "results.jsonl").stat().st_size
        ballast.unlink()  # there is room again, and nothing begins by itself
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        ballast.unlink(missing_ok=True)
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0, stderr
    report = json.loads(stdout)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [folder.name]
    assert stderr.count("the disk is almost full") == 1
    assert "the stream goes on" in stderr
    assert "almost full" in report["recording_stopped"]
    assert report["restarts"] == {}
    assert report["recorded_bytes"] == sum(path.stat().st_size for path in folder.iterdir())
    assert report["summary"]["frames"] > (folder / "frames.jsonl").read_bytes().count(b"\n")
    assert (folder / "results.jsonl").stat().st_size == size
    assert verify_session(folder).problems == []


@pytest.mark.slow
def test_a_replay_onto_a_disk_without_room_is_refused_in_one_line(
    usassist: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    full = tmp_path / "full.toml"
    full.write_text(f"[record]\nreserve_mb = {shutil.disk_usage(tmp_path).total // 2**20 + 1}\n")
    done = usassist("replay", "null:frames=30", "--backend", "null", "--out", "s", "--config", full)
    assert done.returncode == 1
    assert "there is no room to record" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "s").exists()
