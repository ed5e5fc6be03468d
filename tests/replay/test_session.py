"""A recording of the real pipeline, looked at with ``usassist session``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Usassist = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
def test_a_recording_stands_alone(usassist: Usassist, tmp_path: Path) -> None:
    run = usassist("replay", "demo", "--out", "s", "--fast", "--count", 40)
    assert run.returncode == 0, run.stderr
    run = usassist("session", "verify", "s", "--json")
    assert run.returncode == 0, run.stdout
    verdict = json.loads(run.stdout)
    assert (verdict["pictures"], verdict["results"], verdict["problems"]) == (40, 40, [])
    document = json.loads(usassist("session", "info", "s", "--json").stdout)
    assert document["complete"] is True
    assert {item["kind"] for item in document["calibrations"]} == {"geometry", "score"}
    assert document["configuration"]["source"] == "clip"
    assert document["configuration"]["realtime"] is False
    (engine,) = document["engines"]
    assert len(engine["artifacts"][engine["answered_by"][-1]]) == 64
    assert engine["device"] == "cpu"
    assert str(tmp_path) not in (tmp_path / "s" / "session.toml").read_text()


@pytest.mark.slow
def test_a_part_of_a_recording_is_a_recording(usassist: Usassist, tmp_path: Path) -> None:
    assert usassist("replay", "phantom:seed=3,seconds=2", "--out", "s", "--fast").returncode == 0
    assert usassist("session", "trim", "s", "--from", 10, "--to", 40, "--out", "part").returncode == 0
    run = usassist("session", "verify", "part")
    assert run.returncode == 0, run.stdout
    run = usassist("session", "export", "part", "--csv", "part.csv", "--video", "part.mkv")
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    assert (tmp_path / "part.mkv").stat().st_size < (tmp_path / "part" / "frames.nut").stat().st_size
