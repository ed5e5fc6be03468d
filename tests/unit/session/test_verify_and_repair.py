"""Everything that can happen to a recording on a disk is found, and as much as can be is brought in order."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.recordings import record_session
from tests.samples import ENGINE, make_frame
from tests.unit.session.conftest import COUNT, cut_off
from usassist.errors import SchemaVersionError, SessionError
from usassist.session import open_session
from usassist.session.repair import repair_session
from usassist.session.verify import verify_session

FILES = ("session.toml", "frames.nut", "frames_2.nut", "frames.jsonl", "results.jsonl", "marks.jsonl", "bus.log")


def _flip(path: Path, share: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(share * (len(content) - 1))] ^= 0x04
    path.write_bytes(content)


def _without_sums(folder: Path) -> None:
    """As a recorder leaves it that never came to its end: then every check must do without sums."""
    text = (folder / "session.toml").read_text()
    (folder / "session.toml").write_text(text[: text.index("[files")])


def _repaired(folder: Path) -> tuple[list[str], Path]:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    target = folder.with_name("repaired")
    lost = repair_session(folder, target)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert verify_session(target).problems == []
    return lost, target


def test_a_session_that_was_closed_in_order_has_no_problem(recorded: Path) -> None:
    verdict = verify_session(recorded)
    assert verdict.problems == []
    assert (verdict.frames, verdict.pictures, verdict.results, verdict.marks) == (COUNT, COUNT, COUNT, 2)
    assert verdict.messages >= 2 * COUNT + 4


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.62, 1.0])
def test_a_flipped_bit_is_found_in_every_file_and_the_rest_can_be_read(recorded: Path, name: str, share: float) -> None:
    _flip(recorded / name, share)
    assert verify_session(recorded).problems
    session = open_session(recorded)
    assert len(session.frames) >= COUNT - 1
    assert len(session.results) >= COUNT - 1


@pytest.mark.parametrize("name", ["frames.jsonl", "results.jsonl", "bus.log", "frames.nut", "frames_2.nut"])
@pytest.mark.parametrize("share", [0.35, 0.62])
def test_a_flipped_bit_is_repaired_as_far_as_the_rest_tells(recorded: Path, name: str, share: float) -> None:
    _flip(recorded / name, share)
    _, repaired = _repaired(recorded)
    session = open_session(repaired)
    assert len(session.results) == COUNT
    assert len(session.frames) >= COUNT - 2  # a picture, or what stands around it
    for line, image in session.images():
        assert image is not None
        channels = 1 if line.frame_id < 8 else 3
        np.testing.assert_array_equal(image, make_frame(line.frame_id, channels=channels).image)


@pytest.mark.parametrize("name", FILES)
def test_every_missing_file_is_found_and_what_it_held_is_rebuilt_where_something_tells(
    recorded: Path, name: str
) -> None:
    (recorded / name).unlink()
    assert any(name in line for line in verify_session(recorded).problems)
    lost, repaired = _repaired(recorded)
    assert lost
    session = open_session(repaired)
    assert len(session.frames) == {"frames.nut": 4, "frames_2.nut": 8}.get(name, COUNT)
    assert len(session.results) == COUNT
    assert len(session.marks) == 2
    assert session.manifest.session_id
    assert session.manifest.engines[0]["engine_id"]


@pytest.mark.parametrize("name", FILES)
def test_every_file_that_was_cut_off_is_found_and_repaired(recorded: Path, name: str) -> None:
    if name != "session.toml":
        _without_sums(recorded)
    cut_off(recorded / name, (recorded / name).stat().st_size // 3)
    assert verify_session(recorded).problems
    _, repaired = _repaired(recorded)
    assert len(open_session(repaired).frames) >= 8


def test_lines_are_rebuilt_as_they_were(recorded: Path) -> None:
    before = {name: (recorded / name).read_bytes() for name in ("frames.jsonl", "results.jsonl", "marks.jsonl")}
    for name in before:
        (recorded / name).unlink()
    _, repaired = _repaired(recorded)
    for name, content in before.items():
        old = [json.loads(line) for line in content.splitlines()]
        new = [json.loads(line) for line in (repaired / name).read_bytes().splitlines()]
        assert [line.items() <= again.items() for line, again in zip(old, new, strict=True)] == [True] * len(old)


def test_what_a_killed_recorder_leaves_is_brought_in_order(killed: Path) -> None:
    assert any("not closed in order" in line for line in verify_session(killed).problems)
    lost, repaired = _repaired(killed)
    assert any("bus.log broke off" in line for line in lost)
    manifest = open_session(repaired).manifest
    assert manifest.complete is False
    assert "not closed in order" in manifest.recording
    assert str(killed.parent) not in (repaired / "session.toml").read_text()
    assert repaired.stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in repaired.iterdir())


def test_a_repair_that_cannot_be_written_leaves_nothing(killed: Path) -> None:
    target = killed.with_name("repaired")
    target.mkdir()
    (target / "mine").write_text("x")
    with pytest.raises(SessionError, match="is there already"):
        repair_session(killed, target)
    assert sorted(path.name for path in killed.parent.iterdir()) == ["repaired", "session"]
    assert [path.name for path in target.iterdir()] == ["mine"]


def test_a_line_that_says_something_else_than_its_message_is_found(recorded: Path) -> None:
    _without_sums(recorded)
    path = recorded / "results.jsonl"
    path.write_text(path.read_text().replace('"score":0.875', '"score":0.874', 1))
    assert any("the line of frame 0 in results.jsonl differs" in line for line in verify_session(recorded).problems)


def test_a_line_of_a_frame_that_says_something_else_than_its_message_is_found_and_mended(recorded: Path) -> None:
    _without_sums(recorded)
    path = recorded / "frames.jsonl"
    path.write_text(path.read_text().replace('"t_capture_ns":99999999', '"t_capture_ns":99999998', 1))
    assert any("the line of frame 3 in frames.jsonl differs" in line for line in verify_session(recorded).problems)
    _, repaired = _repaired(recorded)
    assert open_session(repaired).frames[3].t_capture_ns == 99_999_999


def test_parts_of_two_sessions_are_not_taken_for_one(recorded: Path, tmp_path: Path) -> None:
    other = "20270101T000000Z-ffffff"
    record_session(tmp_path / "other", [make_frame(i, session_id=other) for i in range(COUNT)])
    _without_sums(recorded)
    shutil.copy(tmp_path / "other" / "bus.log", recorded / "bus.log")
    assert any(f"belongs to another session, {other}" in line for line in verify_session(recorded).problems)


def test_results_of_an_engine_that_the_manifest_does_not_name_are_found(recorded: Path) -> None:
    text = (recorded / "session.toml").read_text()
    (recorded / "session.toml").write_text(
        text.replace("thyroid_nodule@0.1.0+000000000000", "another@1.0.0+111111111111")
    )
    assert any(ENGINE.engine_id in line and "does not name" in line for line in verify_session(recorded).problems)


def test_a_calibration_whose_content_was_changed_is_found(tmp_path: Path) -> None:
    import hashlib

    content = 'schema = 1\ncalibration_id = "geo"\n'
    calibration = {"calibration_id": "geo", "kind": "geometry", "content": content}
    calibration["sha256"] = hashlib.sha256(content.encode()).hexdigest()
    facts = {"calibrations": [calibration]}
    record_session(tmp_path / "s", [make_frame(0, calibration_id="geo")], facts=facts)
    assert verify_session(tmp_path / "s").problems == []
    assert tomllib.loads((tmp_path / "s" / "session.toml").read_text())["calibrations"] == [calibration]
    text = (tmp_path / "s" / "session.toml").read_text()
    (tmp_path / "s" / "session.toml").write_text(
        text.replace('calibration_id = "geo"\n"""', 'calibration_id = "g"\n"""')
    )
    assert any("content of calibration geo" in line for line in verify_session(tmp_path / "s").problems)


def test_a_session_of_a_newer_major_is_neither_verified_nor_repaired(recorded: Path) -> None:
    text = (recorded / "session.toml").read_text()
    (recorded / "session.toml").write_text(re.sub(r"schema = \[2, \d+\]", "schema = [3, 0]", text))
    with pytest.raises(SchemaVersionError):
        verify_session(recorded)
    with pytest.raises(SchemaVersionError):
        repair_session(recorded, recorded.with_name("repaired"))
    assert not recorded.with_name("repaired").exists()
