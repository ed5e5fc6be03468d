from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from usassist.bus import EngineBody
from usassist.common.clock import ClockPair
from usassist.errors import SchemaVersionError, SessionError
from usassist.session import migration, open_session, read_manifest
from usassist.session.info import describe
from usassist.session.migrations import migrate
from usassist.sinks.disk_sync import wall_clock_ahead_s
from usassist.sinks.manifest import dump_manifest, engine_table, is_unchanged

OLD = """schema = [1, {minor}]
session_id = "20260101T000000Z-000000"
complete = true
state = "{state}"
created_utc = "2026-01-01T00:00:00.000000+00:00"
frames = 3
results = 3
calibrations = ["geo"]

[clock]
t_monotonic_ns = 5
utc = "2026-01-01T00:00:00.000000+00:00"

[gaps]
frame = 0

[source]
description = "test"

[[engines]]
engine_id = "e@1.0.0+000000000000"
backend = "openvino"
intended_use = "tests"

[versions]
usassist = "0.1.0"
"""


def _write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "session.toml").write_text(text)
    return folder


@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize(("state", "closed"), [("ended", True), ("interrupted", True), ("running", False)])
def test_an_older_session_is_read_as_one_of_today(tmp_path: Path, minor: int, state: str, closed: bool) -> None:
    manifest = read_manifest(_write(tmp_path / "s", OLD.format(minor=minor, state=state)))
    assert manifest.schema == (1, minor)
    assert manifest.closed is closed
    assert manifest.calibrations == ({"calibration_id": "geo", "kind": "geometry"},)
    assert [(item.event, item.t_monotonic_ns) for item in manifest.clock] == [("begin", 5)]
    assert (manifest.files, manifest.marks) == ({}, 0)


def test_reading_an_older_session_changes_no_file(tmp_path: Path) -> None:
    folder = _write(tmp_path / "s", OLD.format(minor=0, state="ended"))
    before = (folder / "session.toml").read_bytes()
    open_session(folder)
    assert [path.name for path in folder.iterdir()] == ["session.toml"]
    assert (folder / "session.toml").read_bytes() == before


def test_a_newer_major_is_refused_and_says_what_to_install(tmp_path: Path) -> None:
    folder = _write(tmp_path / "s", 'schema = [3, 0]\nnew = 1\n[versions]\nusassist = "4.2.0"\n')
    for read in (read_manifest, open_session):
        with pytest.raises(SchemaVersionError, match=r"version 3\.0, .* reads up to 2\.2; install usassist 4\.2\.0"):
            read(folder)


def test_a_newer_minor_is_read(recorded: Path) -> None:
    text = (recorded / "session.toml").read_text().replace("[2, 1]", "[2, 9]\nthat_is_new = 1")
    (recorded / "session.toml").write_text(text)
    assert read_manifest(recorded).frames == 12


@pytest.mark.parametrize(
    "text",
    ["", "schema = 2", "schema = [2, 0]", "not toml at all [", 'schema = [1, 0]\nclock = "late"\n', "schema = [0, 1]"],
)
def test_a_damaged_manifest_is_told_in_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(SessionError) as caught:
        read_manifest(_write(tmp_path / "s", text))
    assert "\n" not in str(caught.value)


def test_steps_are_taken_one_after_the_other_and_declared_once() -> None:
    @migration("tests.steps", 1, 2)
    def first(document: dict[str, Any]) -> dict[str, Any]:
        return document | {"steps": [*document["steps"], 1]}

    @migration("tests.steps", 2, 3)
    def second(document: dict[str, Any]) -> dict[str, Any]:
        return document | {"steps": [*document["steps"], 2]}

    assert migrate("tests.steps", {"steps": []}, (1, 4), (3, 0), "")["steps"] == [1, 2]
    assert migrate("tests.steps", {"steps": []}, (3, 7), (3, 0), "")["steps"] == []
    with pytest.raises(ValueError, match="cannot be declared"):
        migration("tests.steps", 1, 2)(first)
    with pytest.raises(ValueError, match="cannot be declared"):
        migration("tests.steps", 5, 4)(first)


@pytest.mark.parametrize(
    "content", ["a = 1\n", "\n\na\n", 'ends with "', 'three """ quotes\n', "back\\slash\n", "a\r\nb\r\n", "é\t\x01\n"]
)
def test_contents_of_calibrations_come_back_byte_for_byte(content: str) -> None:
    document = {"calibrations": [{"content": content}], "nothing": None}
    assert tomllib.loads(dump_manifest(document).decode())["calibrations"][0]["content"] == content


def test_any_change_of_the_manifest_is_noticed() -> None:
    content = dump_manifest({"schema": [2, 0], "session_id": "s"})
    assert is_unchanged(content)
    for position in range(len(content) - 1):
        changed = bytearray(content)
        changed[position] ^= 1
        assert not is_unchanged(bytes(changed))
    assert not is_unchanged(content[: content.index(b"#")])


def test_what_answered_is_named_with_its_sums(recorded: Path) -> None:
    (engine,) = read_manifest(recorded).engines
    assert engine["device"] == "cpu"
    assert engine["precision"] == "fp32"
    assert engine["answered_by"] == ["engine.toml", "onnx"]
    assert engine["artifacts"]["onnx"] == "a" * 64


def test_sums_of_all_files_are_written_when_it_is_closed(recorded: Path) -> None:
    files = read_manifest(recorded).files
    assert set(files) == {path.name for path in recorded.iterdir()} - {"session.toml"}
    for name, entry in files.items():
        content = (recorded / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_a_wall_clock_that_was_set_is_told(recorded: Path) -> None:
    assert describe(open_session(recorded))["clock_jumps"] == []
    text = (recorded / "session.toml").read_text()
    begin, end = read_manifest(recorded).clock
    jump = {"event": "jump", "t_monotonic_ns": begin.t_monotonic_ns + 10**9, "utc": "2001-01-01T00:00:00Z"}
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in jump.items())
    first, second, third = text.split("[[clock]]\n")
    (recorded / "session.toml").write_text("[[clock]]\n".join([first, second, table, third]))
    jumps = describe(open_session(recorded))["clock_jumps"]
    assert len(jumps) == 2
    assert sum(item["gained_s"] for item in jumps) == pytest.approx(wall_clock_ahead_s(begin.pair, end.pair), abs=3)


def test_the_wall_clock_is_compared_with_the_monotonic_clock() -> None:
    first = ClockPair(t_monotonic_ns=10**9, utc="2026-01-01T00:00:00+00:00")
    later = ClockPair(t_monotonic_ns=3 * 10**9, utc="2026-01-01T00:01:02+00:00")
    assert wall_clock_ahead_s(first, later) == pytest.approx(60.0)


@pytest.mark.parametrize(
    ("backend", "precision"),
    [("openvino", "fp32"), ("openvino-int8", "int8"), ("tensorrt-rtx-fp16", "fp16"), ("null", None), ("none", None)],
)
def test_the_precision_that_answered_is_named(backend: str, precision: str | None) -> None:
    body = EngineBody(engine_id="e@1+0", backend=backend, labels=(), intended_use="none")
    assert engine_table(body, {})["precision"] == precision
