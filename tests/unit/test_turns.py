"""Tests that are marked to run alone do so, with several workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

TEXT = """
import json, time
import pytest

@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("alone", [pytest.param(True, marks=pytest.mark.alone), False])
def test_takes_a_while(number, alone, request):
    began_s = time.monotonic()
    time.sleep(0.1)
    with open("ran", "a") as file:
        file.write(json.dumps([alone, began_s, time.monotonic(), request.config.workerinput["workerid"]]) + "\\n")
"""


def test_no_test_runs_beside_one_that_is_marked_and_others_do(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    alone: no other beside it\n")
    (tmp_path / "conftest.py").write_text((repository / "tests/conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(TEXT)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "3", "--dist", "load"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    run = subprocess.run(
        command, cwd=tmp_path, env=plain | {"PYTHONPATH": str(repository)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    ran = [json.loads(line) for line in (tmp_path / "ran").read_text().splitlines()]
    assert len(ran) == 24
    beside = [
        (first, second)
        for first in ran
        for second in ran
        if first is not second and first[1] < second[2] and second[1] < first[2]
    ]
    assert beside
    assert not [pair for pair in beside if pair[0][0] or pair[1][0]]
    assert len({worker for *_, worker in ran}) == 3
