"""``usassist session …``, as it is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.recordings import record_session
from tests.samples import make_frame
from usassist.app.commands.session import session_app
from usassist.errors import SessionError, UsageError


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    record_session(tmp_path / "s", [make_frame(i, t_capture_ns=33_333_333 * i) for i in range(6)], marks=[2])
    return tmp_path / "s"


def _run(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(session_app, [str(item) for item in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def _damage(folder: Path) -> None:
    path = folder / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-30])


def test_info_shows_what_when_how_much_and_with_what(recorded: Path) -> None:
    text = _run("info", recorded)
    for words in ("6 frames, 6 results", "closed, complete", "finding 6", "bookmark 1", "openvino (cpu)", "2 x test"):
        assert words in text
    document = json.loads(_run("info", recorded, "--json"))
    assert (document["frames"], document["complete"], document["gaps"]) == (6, True, [])
    assert document["bytes"] == sum(path.stat().st_size for path in recorded.iterdir())


def test_verify_ends_with_1_and_a_line_for_each_problem(recorded: Path) -> None:
    assert "no problems" in _run("verify", recorded)
    assert json.loads(_run("verify", recorded, "--json"))["ok"] is True
    _damage(recorded)
    text = _run("verify", recorded, code=1)
    assert "results.jsonl breaks off" in text
    assert "usassist session repair" in text
    assert json.loads(_run("verify", recorded, "--json", code=1))["ok"] is False


def test_repair_makes_a_new_folder_and_leaves_the_old_one(recorded: Path) -> None:
    assert "nothing to repair" in _run("repair", recorded)
    _damage(recorded)
    before = (recorded / "results.jsonl").read_bytes()
    assert "lost: " in _run("repair", recorded)
    assert (recorded / "results.jsonl").read_bytes() == before
    assert "no problems" in _run("verify", recorded.with_name("s-repaired"))


def test_repair_in_place_keeps_what_was_there(recorded: Path) -> None:
    _damage(recorded)
    before = {path.name: path.read_bytes() for path in recorded.iterdir()}
    _run("repair", recorded, "--in-place")
    assert "no problems" in _run("verify", recorded)
    kept = recorded.with_name("s.before")
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    _damage(recorded)
    with pytest.raises(UsageError, match="already exists"):
        _run("repair", recorded, "--in-place")


def test_trim_and_export_print_what_they_wrote(recorded: Path, tmp_path: Path) -> None:
    assert "frames 2 to 4" in _run("trim", recorded, "--from", 2, "--to", 4)
    assert "no problems" in _run("verify", tmp_path / "s-2-4")
    counts = json.loads(_run("trim", recorded, "--to", "0.1s", "--out", tmp_path / "part", "--json"))
    assert (counts["frames"], counts["last_frame_id"]) == (4, 3)
    text = _run(
        "export", recorded, "--csv", tmp_path / "a.csv", "--video", tmp_path / "a.mkv", "--frames", tmp_path / "f"
    )
    assert text.count("6 frames in") == 2
    assert "6 rows in" in text
    with pytest.raises(SessionError, match="already exists"):
        _run("export", recorded, "--csv", tmp_path / "a.csv")


def test_export_writes_coco_and_parquet_beside_the_rest(recorded: Path, tmp_path: Path) -> None:
    coco, frames = tmp_path / "a.json", tmp_path / "png"
    document = json.loads(_run("export", recorded, "--coco", coco, "--frames", frames, "--json"))
    assert document == {
        "written": {str(frames): "6 frames", str(coco): "6 annotations of 6 images"},
        "problems": [],
    }
    names = {image["file_name"] for image in json.loads(coco.read_text())["images"]}
    assert names == {path.name for path in frames.iterdir()}
    pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra `parquet`)")
    assert "6 rows in" in _run("export", recorded, "--parquet", tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["export"], "no export given"),
        (["export", "--video", "x.avi"], "is no .mkv or .mp4"),
        (["export", "--csv", "x", "--coco", "x"], "the same name"),
        (["trim"], "no range given"),
        (["repair", "--in-place", "--out", "x"], "exclude each other"),
    ],
)
def test_wrong_use_is_refused(recorded: Path, arguments: list[str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        _run(arguments[0], recorded, *arguments[1:])


@pytest.mark.parametrize("command", ["info", "verify", "repair"])
def test_what_is_no_session_is_refused(command: str, tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="holds no recorded session"):
        _run(command, tmp_path)


def test_verify_reports_in_how_many_frames_it_looked_for_text(recorded: Path) -> None:
    assert "frames looked at may hold text or marks" in _run("verify", recorded)
    document = json.loads(_run("verify", recorded, "--json"))
    assert document["text_looked_at"] == 2
