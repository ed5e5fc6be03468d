"""``usassist replay`` with tables, videos and several clips, as a user runs it."""

from __future__ import annotations

import csv
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av

from tests.replay.conftest import Usassist

NULL = ("null:frames=5,size=96x160", "--backend", "null")


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text())))


def test_a_table_on_standard_output_is_all_that_is_written(usassist: Usassist, tmp_path: Path) -> None:
    run = usassist("replay", *NULL, "--csv", "-")
    assert run.returncode == 0, run.stderr
    rows = list(csv.DictReader(io.StringIO(run.stdout)))
    assert [row["frame_id"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert names_in(tmp_path) == []


def test_a_table_and_a_video_of_a_clip_have_every_frame_at_its_time_in_the_clip(
    usassist: Usassist, tmp_path: Path
) -> None:
    run = usassist("replay", "demo", "--backend", "null", "--count", 8, "--csv", "r.csv", "--save", "r.mp4")
    assert run.returncode == 0, run.stderr
    assert names_in(tmp_path) == ["r.csv", "r.mp4"]
    rows = read(tmp_path / "r.csv")
    assert [row["t_s"][:5] for row in rows] == ["0.000", "0.033", "0.067", "0.100", "0.133", "0.167", "0.200", "0.233"]
    with av.open(str(tmp_path / "r.mp4")) as video:
        assert video.format.name.startswith("mov,mp4")
        assert len(list(video.decode(video=0))) == 8
    again = usassist("replay", *NULL, "--csv", "r.csv")
    assert (again.returncode, "r.csv already exists" in again.stderr) == (1, True)


def test_one_bad_clip_does_not_end_the_others(usassist: Usassist, tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    clips.mkdir()
    demo = Path(__file__).parents[2] / "demo" / "clip.mkv"
    (clips / "a.mkv").symlink_to(demo)
    (clips / "b.mp4").write_text("no video")
    (clips / "c.mkv").write_bytes(demo.read_bytes()[:300_000])
    options = ("--backend", "null", "--count", 40, "--csv", "all.csv", "--out", "sessions", "--save", "videos")
    run = usassist("replay", "clips", *options)
    assert run.returncode == 1
    lines = run.stderr.splitlines()
    assert any(line.startswith("usassist: clips/b.mp4: b.mp4 holds no video") for line in lines)
    assert any(line.startswith("usassist: clips/c.mkv: c.mkv broke off") for line in lines)
    assert "1 of 3 clips answered, 2 not" in run.stdout
    rows = read(tmp_path / "all.csv")
    assert {row["clip"] for row in rows} == {"clips/a.mkv"}
    assert len(rows) == 40
    assert names_in(tmp_path / "videos") == ["a.mp4"]
    assert names_in(tmp_path / "sessions") == ["a", "c"], "what was answered of c is kept in its session"
    listed = usassist("session", "list", "sessions")
    assert "2 recordings in sessions" in listed.stdout


def test_a_clip_that_is_cut_off_leaves_no_table_that_looks_whole(usassist: Usassist, tmp_path: Path) -> None:
    demo = Path(__file__).parents[2] / "demo" / "clip.mkv"
    (tmp_path / "cut.mkv").write_bytes(demo.read_bytes()[:300_000])
    run = usassist("replay", "cut.mkv", "--backend", "null", "--csv", "r.csv", "--save", "r.mkv")
    assert (run.returncode, "broke off" in run.stderr) == (1, True)
    assert names_in(tmp_path) == ["cut.mkv"]


def test_ctrl_c_leaves_nothing_half_written(environment: dict[str, str], tmp_path: Path) -> None:
    source = ("null:rate=50,size=96x160", "--backend", "null")
    run = subprocess.Popen(
        [sys.executable, "-m", "usassist", "replay", *source, "--csv", "r.csv", "--save", "r.mp4"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not any(path.suffix == ".mp4" and path.stat().st_size for path in tmp_path.iterdir()):
        assert run.poll() is None
        assert time.monotonic() < deadline, "no video was begun"
        time.sleep(0.05)
    os.kill(run.pid, signal.SIGINT)
    run.communicate(timeout=60)
    assert run.returncode == 130
    assert names_in(tmp_path) == []
