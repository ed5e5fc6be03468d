"""The main job, from the command line to the files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.replay.conftest import Usassist
from usassist.common.pyav import av
from usassist.config import resource_dir
from usassist.phantom import read_truth
from usassist.sources import open_source
from usassist.sources.null import draw_pattern, read_frame_id

DEMO = resource_dir("demo") / "clip.mkv"


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _recorded(folder: Path) -> list[np.ndarray]:
    with open_source(f"session:{folder}", session_id="again", fast=True) as source:
        return [frame.image for frame in source.frames()]


@pytest.fixture(autouse=True)
def _as_it_came(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames are recorded as they came: there is no text on them, and numbers of frames are drawn in bars."""
    settings = tmp_path / "settings.toml"
    settings.write_text("[record]\ncover_text = false\n")
    monkeypatch.setitem(environment, "USASSIST_CONFIG", str(settings))


def test_the_bundled_clip_plays_through_with_a_result_for_every_frame(usassist: Usassist, tmp_path: Path) -> None:
    run = usassist("replay", "demo", "--out", "s", "--fast", "--overlay-video", "--count", 60, "--json")
    assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert document == json.loads((tmp_path / "s" / "summary.json").read_text()) | {
        "clip": "demo",
        "files": document["files"],
    }
    assert document["frames"] == sum(document["results_by_state"].values()) == 60
    assert document["results_by_state"]["no_result"] == document["results_by_state"]["stale"] == 0
    recorded = document["recorded"]
    assert (recorded["frames"], recorded["results"], set(recorded["gaps"].values())) == (60, 60, {0})
    assert document["backend"] in ("openvino", "openvino-int8", "onnxruntime")
    results = _lines(tmp_path / "s" / "results.jsonl")
    assert [line["frame_id"] for line in results] == list(range(60))
    assert all(line["calibration_id"] == "phantom_demo" for line in results)
    with av.open(str(tmp_path / "s" / "overlay.mkv")) as container:
        assert sum(1 for _ in container.decode(video=0)) == 60
    session = tomllib.loads((tmp_path / "s" / "session.toml").read_text())
    assert session["complete"] is True


def test_results_alone_are_those_of_a_recording_and_no_session_is_left(usassist: Usassist, tmp_path: Path) -> None:
    for name, options in (("whole", ()), ("results", ("--results-only",))):
        run = usassist("replay", "demo", "--out", name, "--fast", "--count", 25, "--json", *options)
        assert run.returncode == 0, run.stderr
    document = json.loads(run.stdout)
    assert document["recorded"] == {"results": 25, "gaps": {"result": 0, "engine": 0, "session": 0}}
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"results.jsonl", "summary.json"}
    lines = [[_untimed(line) for line in _lines(tmp_path / name / "results.jsonl")] for name in ("whole", "results")]
    assert lines[0] == lines[1]


def test_results_alone_go_with_an_overlay_video(usassist: Usassist, tmp_path: Path) -> None:
    run = usassist("replay", "demo", "--out", "s", "--fast", "--count", 20, "--results-only", "--overlay-video")
    assert run.returncode == 0, run.stderr
    assert {path.name for path in (tmp_path / "s").iterdir()} == {"results.jsonl", "summary.json", "overlay.mkv"}


def _untimed(line: dict) -> dict:
    return {name: value for name, value in line.items() if not name.startswith("t_")}


def test_what_is_recorded_of_the_bundled_clip_is_its_scan_area_bit_for_bit(usassist: Usassist, tmp_path: Path) -> None:
    assert usassist("replay", "demo", "--out", "s", "--fast", "--backend", "null", "--count", 40).returncode == 0
    x1, y1, x2, y2 = read_truth(resource_dir("demo") / "clip.truth.jsonl").scan_xyxy_px
    with av.open(str(DEMO)) as container:
        expected = [
            frame.to_ndarray(format="rgb24")[y1:y2, x1:x2]
            for frame, _ in zip(container.decode(video=0), range(40), strict=False)
        ]
    for before, after in zip(expected, _recorded(tmp_path / "s"), strict=True):
        assert after.ndim == 2  # without colour: one plane
        np.testing.assert_array_equal(before, np.dstack([after] * 3))


def test_the_same_clip_gives_the_same_answers_with_any_number_of_threads(usassist: Usassist, tmp_path: Path) -> None:
    answers = []
    for name, threads in (("a", 1), ("b", 2)):
        run = usassist(
            "replay", "demo", "--out", name, "--fast", "--count", 40, "--backend", "openvino", "--threads", threads
        )
        assert run.returncode == 0, run.stderr
        answers.append([(line["state"], line["nodules"]) for line in _lines(tmp_path / name / "results.jsonl")])
    assert answers[0] == answers[1]
    assert any(state == "finding" for state, _ in answers[0])


def test_every_recorded_frame_carries_the_number_under_which_its_result_is_filed(
    usassist: Usassist, tmp_path: Path
) -> None:
    run = usassist("replay", "null:frames=80,rate=200,size=96x160", "--out", "s", "--backend", "null")
    assert run.returncode == 0, run.stderr
    frames = _lines(tmp_path / "s" / "frames.jsonl")
    images = _recorded(tmp_path / "s")
    assert [read_frame_id(image) for image in images] == [line["frame_id"] for line in frames] == list(range(80))
    np.testing.assert_array_equal(images[7], draw_pattern(7, (96, 160)))
    results = {line["frame_id"]: line for line in _lines(tmp_path / "s" / "results.jsonl")}
    assert sorted(results) == list(range(80))
    assert all(results[line["frame_id"]]["t_capture_ns"] == line["t_capture_ns"] for line in frames)


def test_the_null_back_end_never_looks_like_an_empty_scene(usassist: Usassist) -> None:
    run = usassist("replay", "null:frames=5,size=96x160", "--fast", "--out", "s", "--backend", "null", "--json")
    document = json.loads(run.stdout)
    assert document["results_by_state"] == {"finding": 0, "no_finding": 0, "no_result": 5, "stale": 0}
    assert document["no_answer_by_cause"]["null_engine"] == 5


def test_ctrl_c_ends_in_order_and_keeps_what_was_recorded(environment: dict[str, str], tmp_path: Path) -> None:
    process = _start(environment, tmp_path, "null:rate=100,size=96x160")
    _wait_for_lines(tmp_path / "s" / "results.jsonl", 20, process)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    session = tomllib.loads((tmp_path / "s" / "session.toml").read_text())
    assert (session["state"], session["complete"]) == ("interrupted", False)
    assert len(_recorded(tmp_path / "s")) == len(_lines(tmp_path / "s" / "results.jsonl")) >= 20
    assert json.loads((tmp_path / "s" / "summary.json").read_text())["state"] == "interrupted"


def test_kill_leaves_a_readable_recording_and_no_process(environment: dict[str, str], tmp_path: Path) -> None:
    process = _start(environment, tmp_path, "null:rate=100,size=96x160")
    _wait_for_lines(tmp_path / "s" / "results.jsonl", 20, process)
    children = _children(process.pid)
    assert children
    process.kill()
    process.communicate()
    _wait_until(lambda: not any(_lives(pid) for pid in children))
    images = _recorded(tmp_path / "s")
    assert len(images) >= 20
    assert [read_frame_id(image) for image in images] == list(range(len(images)))
    assert tomllib.loads((tmp_path / "s" / "session.toml").read_text())["complete"] is False


def test_a_recorder_that_is_killed_is_reported_and_what_it_wrote_is_readable(
    environment: dict[str, str], tmp_path: Path
) -> None:
    process = _start(environment, tmp_path, "null:rate=100,size=96x160,frames=150")
    _wait_for_lines(tmp_path / "s" / "results.jsonl", 30, process)
    os.kill(_child(process.pid, "record"), signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the process record exited" in stderr
    assert len(_recorded(tmp_path / "s")) >= 28


def test_a_stream_that_is_killed_is_reported_and_what_was_recorded_is_closed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    process = _start(environment, tmp_path, "null:rate=100,size=96x160,frames=1000")
    _wait_for_lines(tmp_path / "s" / "results.jsonl", 30, process)
    os.kill(_child(process.pid, "stream"), signal.SIGKILL)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the process of the stream has died" in stderr
    assert len(_recorded(tmp_path / "s")) >= 28
    summary = json.loads((tmp_path / "s" / "summary.json").read_text())
    assert summary["state"] == "failed"
    assert "has died" in summary["reason"]
    assert tomllib.loads((tmp_path / "s" / "session.toml").read_text())["complete"] is False


def test_a_recorded_session_can_be_played_again(usassist: Usassist, tmp_path: Path) -> None:
    usassist("replay", "null:frames=20,rate=100,size=96x160", "--out", "a", "--fast", "--backend", "null")
    run = usassist("replay", "session:a", "--out", "b", "--fast", "--backend", "null")
    assert run.returncode == 0, run.stderr
    for before, after in zip(_recorded(tmp_path / "a"), _recorded(tmp_path / "b"), strict=True):
        np.testing.assert_array_equal(before, after)


def _start(environment: dict[str, str], folder: Path, source: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "usassist", "replay", source, "--out", "s", "--backend", "null"],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for_lines(path: Path, count: int, process: subprocess.Popen[str]) -> None:
    def there() -> bool:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        return path.exists() and path.read_bytes().count(b"\n") >= count

    _wait_until(there)


def _wait_until(condition: object, timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children")
    if not text.exists():
        pytest.skip("the list of child processes is read from /proc")
    return [int(child) for child in text.read_text().split()]


def _child(pid: int, name: str) -> int:
    """Process id of the child of that name."""
    ending = f"workers.{name}".encode()
    return next(child for child in _children(pid) if ending in Path(f"/proc/{child}/cmdline").read_bytes())


def _lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
