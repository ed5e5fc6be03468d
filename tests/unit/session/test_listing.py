from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from usassist.app.commands.main import app
from usassist.app.commands.session_report import format_duration
from usassist.errors import SessionError, UsageError
from usassist.session import open_session
from usassist.session.listing import list_sessions
from usassist.session.snapshot import find_moment, write_snapshot

GOLDEN = Path(__file__).parents[2] / "golden" / "sessions"
SWEEP = GOLDEN / "sweep"


def test_recordings_are_listed_with_what_is_wrong_with_them(tmp_path: Path) -> None:
    shutil.copytree(SWEEP, tmp_path / "whole")
    unclosed = tmp_path / "unclosed"
    shutil.copytree(SWEEP, unclosed)
    manifest = unclosed / "session.toml"
    text = manifest.read_text()
    manifest.write_text(
        text.replace('recording = "closed"', 'recording = "running"').replace("complete = true", "complete = false")
    )
    lines = (unclosed / "frames.jsonl").read_bytes()
    (unclosed / "frames.jsonl").write_bytes(lines[: len(lines) // 2])
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "session.toml").write_text("no manifest")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "file").touch()
    found = {Path(item.folder).name: item for item in list_sessions(tmp_path)}
    assert set(found) == {"whole", "unclosed", "damaged"}
    whole = found["whole"]
    assert (whole.frames, whole.state, whole.problem) == (36, "complete", "")
    assert whole.engine == "thyroid_nodule@0.4.0"
    assert whole.duration_s == pytest.approx(open_session(SWEEP).duration_s)
    assert whole.size_bytes == sum(path.stat().st_size for path in SWEEP.iterdir())
    assert found["unclosed"].state == "not closed"
    assert 10 < (found["unclosed"].frames or 0) < 20
    assert found["damaged"].state == "cannot be read"
    assert "usassist session repair" in found["damaged"].problem
    assert [item.folder for item in list_sessions(SWEEP)] == [str(SWEEP)]


@pytest.mark.parametrize(("name", "what"), [("nowhere", "not there"), ("file", "a file")])
def test_what_is_no_folder_is_said(name: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SessionError, match=f"is {what}; name the folder that holds the recordings"):
        list_sessions(tmp_path / name)


def test_the_list_is_a_table_or_a_document(tmp_path: Path) -> None:
    assert "holds no recording" in CliRunner().invoke(app, ["session", "list", str(tmp_path)]).output
    table = CliRunner().invoke(app, ["session", "list", str(GOLDEN)]).output
    assert "3 recordings in" in table
    assert "thyroid_nodule@0.4.0" in table
    document = json.loads(CliRunner().invoke(app, ["session", "list", str(GOLDEN), "--json"]).output)
    assert {item["state"] for item in document} == {"complete", "incomplete"}
    assert [format_duration(s) for s in (0.52, 245, 3723)] == ["0.5 s", "4:05", "1:02:03"]


def test_a_snapshot_shows_one_frame_with_its_own_result_and_says_which(tmp_path: Path) -> None:
    moment = find_moment(open_session(SWEEP), "20")
    assert moment.frame.frame_id == 20
    assert moment.result is not None
    assert moment.result.frame_id == 20
    write_snapshot(moment, tmp_path / "x.png")
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.text["Frame"] == "20"
        assert picture.text["Engine"].startswith("thyroid_nodule@0.4.0")
        assert picture.text["Session"] == "reference-sweep"
        assert picture.text["State"] == "finding"
        pixels = np.asarray(picture.convert("RGB"))
    strip = pixels[-40:]
    assert (strip.max(axis=2) > 180).any(), "the text below"
    assert (tmp_path / "x.png").stat().st_mode & 0o077 == 0
    with pytest.raises(SessionError, match="already exists"):
        write_snapshot(moment, tmp_path / "x.png")


def test_a_frame_is_named_by_its_number_or_its_time_and_one_that_is_missing_is_told() -> None:
    session = open_session(GOLDEN / "interrupted")
    assert find_moment(session, "0.2s").t_s == pytest.approx(0.2, abs=0.05)
    for text, told in {
        "22": "holds no frame 22; its frames are 0 to 38",
        "x": "give a frame number, or seconds",
    }.items():
        with pytest.raises(UsageError, match=told):
            find_moment(session, text)


def test_the_table_goes_to_standard_output_and_the_video_is_an_mp4(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["session", "export", str(SWEEP), "--csv", "-"])
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {row["frame_id"] for row in rows} == {str(number) for number in range(36)}
    assert CliRunner().invoke(app, ["replay", str(SWEEP), "--csv", "-"]).stdout == result.stdout
    video = tmp_path / "x.mp4"
    assert CliRunner().invoke(app, ["session", "export", str(SWEEP), "--video", str(video)]).exit_code == 0
    with av.open(str(video)) as opened:
        assert "mp4" in opened.format.name
        assert sum(1 for _ in opened.decode(video=0)) == 36
