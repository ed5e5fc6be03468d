"""Back ends that take over from one another while a stream runs, from the command line to the files.

TensorRT and the driver of the GPU are doubles here (``tests/doubles``); everything else is real: the build in a child
process, the cache, the opening beside the stream, the recording.
"""

from __future__ import annotations

import json
import tomllib
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.doubles import double_environment
from tests.replay.conftest import Usassist

FRAMES = 600


@pytest.fixture(autouse=True)
def _doubles(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> None:
    environment.update(double_environment(tmp_path_factory.mktemp("doubles")))


def _replay(usassist: Usassist, folder: str, count: int, *options: str) -> dict[str, Any]:
    fixed = ("--fast", "--repeat", "--precision", "fp32", "--threads", 1, "--json")
    run = usassist("replay", "demo", "--out", folder, "--count", count, *fixed, *options)
    assert run.returncode == 0, run.stderr
    document: dict[str, Any] = json.loads(run.stdout)
    return document


def _backends(folder: Path) -> list[tuple[str, int]]:
    """Which back end answered how many frames in a row, from the recorded results."""
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    assert [line["frame_id"] for line in lines] == list(range(len(lines)))
    return [(name, len(list(group))) for name, group in groupby(line["backend"] for line in lines)]


@pytest.mark.long
def test_a_stream_starts_on_the_fallback_and_switches_without_losing_a_frame(
    usassist: Usassist, tmp_path: Path
) -> None:
    summary = _replay(usassist, "first", FRAMES)
    (before, begun), (after, rest) = _backends(tmp_path / "first")
    assert (before, after) == ("openvino", "tensorrt")
    assert begun + rest == FRAMES
    assert summary["results_by_state"]["no_result"] == summary["results_by_state"]["stale"] == 0
    assert summary["answers_by_backend"] == {"openvino": begun, "tensorrt": rest}
    assert summary["backend_changes"] == [
        {"frame_id": begun, "before": "openvino", "after": "tensorrt", "reason": "it is ready"}
    ]
    session = tomllib.loads((tmp_path / "first" / "session.toml").read_text())
    assert [engine["backend"] for engine in session["engines"]] == ["openvino", "tensorrt"]

    # The plan is kept: the next stream begins with it.
    _replay(usassist, "second", 5)
    assert _backends(tmp_path / "second") == [("tensorrt", 5)]


@pytest.mark.slow
def test_a_gpu_that_fails_costs_one_frame_and_the_processor_takes_over(
    usassist: Usassist, environment: dict[str, str], tmp_path: Path
) -> None:
    built = usassist("engine", "build", "thyroid_nodule", "--backend", "tensorrt", "--precision", "fp32")
    assert built.returncode == 0, built.stderr
    environment["DOUBLE_FAIL_AT"] = "40"
    summary = _replay(usassist, "s", 80)
    (before, begun), (after, rest) = _backends(tmp_path / "s")
    assert (before, after) == ("tensorrt", "openvino")
    assert begun + rest == 80
    assert summary["results_by_state"]["no_result"] == 1
    assert summary["no_answer_by_cause"]["engine_error"] == 1
    lines = [json.loads(line) for line in (tmp_path / "s" / "results.jsonl").read_text().splitlines()]
    lost = lines[begun - 1]
    assert lost["state"] == "no_result"
    assert "TensorRT failed" in lost["reason"]
    (change,) = summary["backend_changes"]
    assert (change["frame_id"], change["before"], change["after"]) == (begun, "tensorrt", "openvino")


@pytest.mark.slow
def test_where_nothing_can_be_built_the_stream_stays_on_the_fallback(
    usassist: Usassist, environment: dict[str, str], tmp_path: Path
) -> None:
    cache = Path(environment["USASSIST_CACHE"])
    cache.mkdir(mode=0o777)
    cache.chmod(0o777)
    _replay(usassist, "s", 60)
    assert _backends(tmp_path / "s") == [("openvino", 60)]
