"""The process over simulated studies; most tests score without a process of its own, one with."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.worklist_studies import MARKER, RAN, SCORER, make_study
from usassist.app.commands.main import app
from usassist.app.worklist.scoring import ScoringOptions
from usassist.app.worklist.state_folder import open_state
from usassist.app.worklist.units import Unit
from usassist.app.worklist.watch import WatchOptions, WorklistProcess
from usassist.app.worklist.workers import score as score_worker
from usassist.common.heartbeat import Heartbeat
from usassist.errors import UsageError, UsAssistError
from usassist.sinks.worklist import STATE_FOLDER, Mark, Row, Worklist, put_mark, read_places, read_worklist


class InProcess:
    """Scores in this process what ``StudyScoring`` scores in a child."""

    def __init__(self, study: str, unit: Unit, signature: str, state: Path, options: ScoringOptions) -> None:
        self.study, self.signature = study, signature
        self._unit = unit
        self._options = {"state": str(state), "scorer": options.scorer, "scorer_options": {}, "signature": signature}

    def poll(self, timeout_s: float) -> score_worker.Outcome:
        parent: Any = type("Parent", (), {"heartbeat": Heartbeat()})
        return score_worker._score(self._unit, self._options, parent)

    def kill(self) -> None:
        """Nothing runs."""


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Places that were scored, each time they were."""
    monkeypatch.setattr("usassist.app.worklist.watch.StudyScoring", InProcess)
    RAN.clear()
    return RAN


def options(**more: Any) -> WatchOptions:
    scoring = ScoringOptions(scorer=SCORER, deadline_s=60.0, memory_mb=700)
    return WatchOptions(**{"scoring": scoring, "engine": "test@1", "look_s": 0.01, "quiet_s": 0.0, "once": True} | more)


def run(folder: Path, state: Path | None = None, **more: Any) -> tuple[bool, Worklist]:
    with open_state(folder, state) as opened:
        complete = WorklistProcess(folder, opened, options(**more)).run(threading.Event())
        return complete, read_worklist(opened.path / "worklist.json")


def place_of(folder: Path, row: Row) -> str:
    return Path(read_places(folder / STATE_FOLDER)[row.study]).name


def listed(folder: Path, found: Worklist) -> dict[str, Row]:
    return {place_of(folder, row): row for row in found.studies}


def test_studies_are_scored_once_over_restarts_moves_and_copies(tmp_path: Path, scored: list[str]) -> None:
    for name, says in (("PARK", "0.1"), ("LEE", "0.9"), ("KIM", "0.7")):
        make_study(tmp_path / name, says)
    complete, found = run(tmp_path)
    assert complete
    assert [place_of(tmp_path, row) for row in found.studies] == ["LEE", "KIM", "PARK"]
    assert sorted(scored) == ["KIM", "LEE", "PARK"]

    make_study(tmp_path / "COPY", "0.9")
    (tmp_path / "KIM").rename(tmp_path / "MOVED")
    os.utime(tmp_path / "PARK" / MARKER)
    complete, found = run(tmp_path)
    assert complete
    assert len(scored) == 3, "nothing is scored twice"
    rows = listed(tmp_path, found)
    assert rows["COPY"].versions[0].same_as == rows["LEE"].study
    assert rows["MOVED"].group == "suspicious"
    assert (rows["KIM"].present, rows["KIM"].group) == (False, "suspicious")
    assert len(rows["PARK"].versions) == 1, "a time of change is no new version"
    assert [row.arrival for row in found.studies if row.present] != []

    texts = [path.read_text() for path in (tmp_path / STATE_FOLDER).rglob("*.json*") if path.name != "places.jsonl"]
    assert not [name for name in ("PARK", "LEE", "KIM", str(tmp_path)) for text in texts if name in text]
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / STATE_FOLDER).rglob("*.json*")} == {0}


def test_a_study_that_grows_is_scored_again_and_comes_back_when_it_was_read(tmp_path: Path, scored: list[str]) -> None:
    make_study(tmp_path / "a", "0.2")
    _, found = run(tmp_path)
    study = found.studies[0].study
    put_mark(tmp_path / STATE_FOLDER, Mark(study=study, is_read=True, version=1))
    put_mark(tmp_path / STATE_FOLDER, Mark(study="S-unknown", is_read=True, version=1))
    (tmp_path / STATE_FOLDER / "inbox" / "0.json").write_text("no mark")
    _, found = run(tmp_path)
    assert found.studies[0].group == "read"
    assert not list((tmp_path / STATE_FOLDER / "inbox").iterdir())
    (tmp_path / "a" / "late.dcm").write_text("one more slice")
    _, found = run(tmp_path)
    row = found.studies[0]
    assert (row.study, row.group, row.grown, len(row.versions)) == (study, "queue", True, 2)
    assert scored == ["a", "a"]


def test_read_before_it_was_scored_stays_read(tmp_path: Path, scored: list[str]) -> None:
    make_study(tmp_path / "a", "0.9")
    with open_state(tmp_path, None) as opened:
        process = WorklistProcess(tmp_path, opened, options())
        process._look()
        study = next(iter(process._ledger.entries))
        put_mark(opened.path, Mark(study=study, is_read=True, version=0))
        process._look()
    _, found = run(tmp_path)
    assert scored == ["a"]
    assert found.studies[0].group == "read"
    assert found.studies[0].versions[0].state == "suspicious", "and what came out is still told"


def test_what_cannot_be_scored_is_listed_with_its_reason_and_without_names(tmp_path: Path) -> None:
    """In processes of their own, as it is: one ends by its limit of memory, one crashes."""
    for name in ("refuse", "crash", "memory", "raise", "none", "print"):
        make_study(tmp_path / f"KIM {name}", name)
    complete, found = run(tmp_path)
    assert not complete
    rows = listed(tmp_path, found)
    codes = {name.removeprefix("KIM "): row.versions[0].code for name, row in rows.items()}
    expected = {"refuse": "refused", "crash": "crashed", "memory": "memory", "raise": "failed", "none": "no_result"}
    assert codes == {**expected, "print": ""}
    assert {row.group for name, row in rows.items() if name != "KIM print"} == {"not_scored"}
    assert found.studies[-1] == rows["KIM print"], "unflagged comes after what nobody has looked at"
    reasons = [version.reason for row in found.studies for version in row.versions]
    assert not [reason for reason in reasons if "KIM" in reason or str(tmp_path) in reason]
    assert "holds MR; give a head CT" in rows["KIM refuse"].versions[0].reason
    assert not list((tmp_path / STATE_FOLDER / "results").glob(".unfinished*"))


def test_a_study_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    make_study(tmp_path / "a", "hang")
    _, found = run(tmp_path, scoring=ScoringOptions(scorer=SCORER, deadline_s=0.2, memory_mb=700))
    assert found.studies[0].versions[0].code == "deadline"


def test_a_file_that_still_grows_is_left_alone(tmp_path: Path, scored: list[str]) -> None:
    make_study(tmp_path / "whole", "0.9")
    growing = make_study(tmp_path / "growing", "0.9", seed=1)
    with open_state(tmp_path, None) as opened:
        process = WorklistProcess(tmp_path, opened, options())
        for number in range(6):
            (growing / "slice1.dcm").write_text("x" * number)
            process._look()
            process._score()
            process._score()
        process._write("running")
        rows = listed(tmp_path, read_worklist(opened.path / "worklist.json"))
    assert scored == ["whole"]
    assert (rows["growing"].state, rows["growing"].group) == ("arriving", "queue")


def test_a_folder_that_vanishes_is_told_and_takes_nothing_with_it(tmp_path: Path, scored: list[str]) -> None:
    folder, state = tmp_path / "studies", tmp_path / "state"
    make_study(folder / "a", "0.9")
    run(folder, state)
    with open_state(folder, state) as opened:
        process = WorklistProcess(folder, opened, options())
        folder.rename(tmp_path / "unmounted")
        process._try(process._look)
        process._write("running")
        found = read_worklist(state / "worklist.json")
    assert "cannot be read" in found.heartbeat.problem
    assert found.studies[0].present
    assert found.studies[0].group == "suspicious"


def test_a_full_disk_stops_nothing_for_good(tmp_path: Path, scored: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    make_study(tmp_path / "a", "0.9")
    with open_state(tmp_path, None) as opened:
        process = WorklistProcess(tmp_path, opened, options())
        append = opened.journal.append

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(opened.journal, "append", full)
        process._try(process._look)
        assert (
            process._problem
            == "the folder of state cannot be written: no space left on device; free some space, or check it"
        )
        assert not process._ledger.entries, "what is not in the journal has not happened"
        monkeypatch.setattr(opened.journal, "append", append)
        process._try(process._look)
        assert process._problem == ""
        assert len(process._ledger.entries) == 1


def test_one_process_a_folder_and_a_wrong_folder_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "studies"
    folder.mkdir()
    with (
        open_state(folder, None),
        pytest.raises(UsAssistError, match="another worklist process watches"),
        open_state(folder, tmp_path / "s"),
    ):
        pass
    with pytest.raises(UsageError, match="is no folder"), open_state(tmp_path / "nowhere", None):
        pass
    (tmp_path / "open").mkdir(mode=0o755)
    with pytest.raises(UsageError, match="chmod 700"), open_state(folder, tmp_path / "open"):
        pass


def test_the_list_is_json_with_a_schema_and_a_line_for_each_change(tmp_path: Path, scored: list[str]) -> None:
    make_study(tmp_path / "a", "0.9")
    told: list[dict[str, Any]] = []
    with open_state(tmp_path, None) as opened:
        WorklistProcess(tmp_path, opened, options(), lambda data: told.append(json.loads(data))).run(threading.Event())
    assert told[-1]["schema"] == "usassist-worklist"
    assert told[-1]["studies"][0]["group"] == "suspicious"
    assert [one["studies"][0]["state"] for one in told if one["studies"]][-1] == "suspicious"
    assert "Notification only" in told[-1]["notice"]
    again: list[bytes] = []
    with open_state(tmp_path, None) as opened:
        process = WorklistProcess(tmp_path, opened, options(), again.append)
        process.begin()
        process.run(threading.Event())
    assert len(again) == 1, "also where nothing is new, the list is told once"
    counts = [one["heartbeat"]["count"] for one in told]
    assert counts == sorted(set(counts))


def test_the_command_prints_a_line_a_study_with_the_reason_and_without_names(tmp_path: Path, scored: list[str]) -> None:
    (tmp_path / "DOE^JOHN").mkdir()
    (tmp_path / "DOE^JOHN" / "a.dcm").write_bytes(b"no image")
    result = CliRunner().invoke(app, ["ct", "worklist", str(tmp_path), "--once", "--quiet-s", "0", "--look-s", "0.1"])
    (line,) = result.stdout.splitlines()
    assert (result.exit_code, line.split()[0], line.split()[2]) == (1, "1", "failed")
    assert "holds no images" in line
    assert "DOE" not in result.output
