"""What users do wrong: each gets one clear line, an exit code, and nothing half-written."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.replay.conftest import Usassist
from usassist.common.pyav import av
from usassist.config import resource_dir

Prepare = Callable[[Path], str]


def _clip(path: Path, frames: int = 30, codec: str = "mpeg4", hw: tuple[int, int] = (96, 160)) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = hw
        stream.pix_fmt = "yuv420p"
        rng = np.random.default_rng(0)
        for index in range(frames):
            image = rng.integers(40, 200, (*hw, 3)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _text_named_mp4(folder: Path) -> str:
    (folder / "notes.mp4").write_text("this is not a video\n" * 50)
    return "notes.mp4"


def _empty(folder: Path) -> str:
    (folder / "empty.mp4").touch()
    return "empty.mp4"


def _sound_only(folder: Path) -> str:
    with wave.open(str(folder / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(8000))
    (folder / "sound.wav").rename(folder / "sound.mp4")
    return "sound.mp4"


def _no_permission(folder: Path) -> str:
    _clip(folder / "secret.mkv").chmod(0)
    return "secret.mkv"


def _empty_folder(folder: Path) -> str:
    (folder / "pictures").mkdir()
    return "pictures"


def _black(folder: Path) -> str:
    with av.open(str(folder / "black.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = 96, 160, "gray"
        for _ in range(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((96, 160), np.uint8), "gray")))
        container.mux(stream.encode(None))
    return "black.mkv"


@pytest.mark.parametrize(
    ("prepare", "says", "code"),
    [
        (lambda folder: "nothing.mp4", "there is no file nothing.mp4", 1),
        (_text_named_mp4, "notes.mp4", 1),
        (_empty, "empty.mp4 is empty", 1),
        (_sound_only, "no video", 1),
        (_empty_folder, "holds no png, jpg, bmp or tif images", 1),
        (_black, "--crop", 1),
        (lambda folder: "null:frames=x", "frames", 2),
        (lambda folder: "nosuch:thing", "no source named nosuch", 2),
    ],
    ids=["missing", "text named mp4", "empty file", "no video", "empty folder", "black", "bad setting", "bad kind"],
)
def test_an_input_that_cannot_be_played_is_refused_in_one_line(
    usassist: Usassist, tmp_path: Path, prepare: Prepare, says: str, code: int
) -> None:
    source = prepare(tmp_path)
    before = sorted(tmp_path.iterdir())
    run = usassist("replay", source, "--out", "s", "--backend", "null")
    _assert_one_line(run, says, code)
    assert sorted(tmp_path.iterdir()) == before, "nothing is left behind"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused_in_one_line(usassist: Usassist, tmp_path: Path) -> None:
    _assert_one_line(usassist("replay", _no_permission(tmp_path), "--out", "s"), "may not be read")


def test_a_truncated_clip_plays_to_its_end_and_is_reported(usassist: Usassist, tmp_path: Path) -> None:
    whole = _clip(tmp_path / "whole.mkv", 60).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    run = usassist("replay", "cut.mkv", "--out", "s", "--backend", "null", "--fast", "--json")
    assert run.returncode == 1
    document = json.loads(run.stdout)
    assert 10 < document["frames"] < 60
    assert document["state"] == "failed"
    assert document["recorded"]["frames"] == document["frames"]
    assert "cut.mkv" in document["error"]
    assert run.stderr.strip().count("\n") <= 1


@pytest.mark.parametrize("hw", [(97, 161), (33, 501)])
def test_odd_sizes_play(usassist: Usassist, tmp_path: Path, hw: tuple[int, int]) -> None:
    with av.open(str(tmp_path / "odd.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.height, stream.width, stream.pix_fmt = *hw, "gray"
        for index in range(5):
            image = np.random.default_rng(index).integers(40, 200, hw).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "gray")))
        container.mux(stream.encode(None))
    run = usassist("replay", "odd.mkv", "--out", "s", "--fast", "--overlay-video", "--json")
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["frames"] == 5


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        (["--engine", "nosuch"], "no engine nosuch; known: ", 2),
        (["--backend", "nosuch"], "no back end nosuch; known: auto, tensorrt", 2),
        (["--point", "nosuch"], "no operating point nosuch", 2),
        (["--crop", "1,2,3"], "crop", 2),
        (["--calibration", "nosuch"], "no geometry calibration nosuch", 1),
        (["--calibration", "phantom_demo"], "1280", 1),
        (["--bus", "pigeon"], "bus address 'pigeon'", 2),
        (["--config", "nosuch.toml"], "nosuch.toml", 2),
        (["--window"], "no display", 2),
        (["--count", "0"], "--count", 2),
        (["--colour"], "--colour", 2),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    usassist: Usassist, tmp_path: Path, arguments: list[str], says: str, code: int
) -> None:
    # Named, so that nothing is said of one that is passed over on this processor.
    run = usassist("replay", "null:frames=5,size=96x160", "--out", "s", "--precision", "fp32", *arguments)
    _assert_one_line(run, says, code)
    assert not (tmp_path / "s").exists()


def test_a_folder_that_holds_a_session_is_not_written_to(usassist: Usassist, tmp_path: Path) -> None:
    assert usassist("replay", "null:frames=5,size=96x160", "--out", "s", "--backend", "null").returncode == 0
    before = {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()}
    run = usassist("replay", "null:frames=5,size=96x160", "--out", "s", "--backend", "null")
    _assert_one_line(run, "already holds a session")
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "s").iterdir()}


def test_an_output_that_cannot_be_written_is_refused_in_one_line(usassist: Usassist, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    _assert_one_line(usassist("replay", "null:frames=5", "--out", "file"), "is a file", 2)
    _assert_one_line(usassist("replay", "null:frames=5", "--out", "file/below"), "cannot be written")
    _assert_one_line(usassist("replay", "null:frames=5", "--out", "/proc/usassist"), "cannot be written")


def test_errors_are_one_json_document_when_json_is_asked_for(usassist: Usassist) -> None:
    run = usassist("replay", "nothing.mp4", "--json")
    assert run.returncode == 1
    assert "nothing.mp4" in json.loads(run.stdout)["error"]


def test_a_page_whose_port_is_in_use_is_refused(usassist: Usassist) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        session = str(Path(__file__).parents[1] / "golden" / "sessions" / "sweep")
        commands = (["panel"], ["demo"], ["live", "--source", "null:"], ["replay", session, "--page"])
        for command in commands:
            _assert_one_line(usassist(*command, "--port", port), f"port {port} is in use; give another --port")


def test_an_overlay_without_a_display_is_refused_with_advice(usassist: Usassist) -> None:
    _assert_one_line(usassist("overlay"), "use --overlay-video", 2)


def test_two_streams_on_one_bus_are_refused(environment: dict[str, str], usassist: Usassist, tmp_path: Path) -> None:
    first = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "usassist",
            *["replay", "null:rate=50,size=96x160", "--bus", "ipc", "--out", "a", "--backend", "null"],
        ],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (tmp_path / "a" / "results.jsonl").exists():
            assert first.poll() is None
        run = usassist("replay", "null:frames=5,size=96x160", "--bus", "ipc", "--out", "b", "--backend", "null")
        _assert_one_line(run, "in use by another stream")
        assert not (tmp_path / "b").exists()
    finally:
        first.kill()
        first.wait()


def test_doctor_finds_everything_here(usassist: Usassist) -> None:
    run = usassist("doctor", "--json")
    document = json.loads(run.stdout)
    broken = [check for check in document["checks"] if check["needed"] and not check["ok"]]
    assert not broken
    assert run.returncode == 0


def test_engine_list_shows_which_back_ends_can_run_and_why_others_cannot(usassist: Usassist) -> None:
    document = json.loads(usassist("engine", "list", "--json").stdout)
    assert any(engine["engine_id"].startswith("thyroid_nodule@") for engine in document["engines"])
    assert all(item["available"] or item["reason"] for item in document["backends"])
    assert {item["name"] for item in document["backends"] if item["available"]} >= {"openvino", "onnxruntime", "null"}


def test_phantom_renders_a_clip_with_its_truth_and_refuses_what_it_cannot_write(
    usassist: Usassist, tmp_path: Path
) -> None:
    run = usassist("phantom", "render", "p.mkv", "--seconds", 0.3, "--seed", 5)
    assert run.returncode == 0, run.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"p.mkv", "p.truth.jsonl"}
    _assert_one_line(usassist("phantom", "render", "p.mp4", "--seconds", 0.3), ".mkv", 2)
    _assert_one_line(usassist("phantom", "render", "no/p.mkv", "--seconds", 0.3), "cannot write")


def test_the_bundled_clip_is_small_and_there() -> None:
    assert (resource_dir("demo") / "clip.mkv").stat().st_size < 6e6


def _assert_one_line(run: subprocess.CompletedProcess[str], says: str, code: int = 1) -> None:
    lines = [line for line in run.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, run.stderr
    assert lines[0].startswith("usassist: ")
    assert says in lines[0]
    assert run.returncode == code, run.stderr
    assert run.stdout == ""
