"""The table of modalities, and what derives from it."""

from __future__ import annotations

import importlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.unit.modalities.rows import empty_rooms, make_study_row
from tools.modality_table import DOCUMENT, render, stale
from usassist.app.commands.main import app
from usassist.engine import list_engines
from usassist.errors import UsageError
from usassist.modalities import MODALITIES, Kind, Modality, find_modality, list_modalities, stream_titles, table

ROOMS = Path(table.__file__).parent
Add = Callable[..., None]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Installs distributions with one entry point each: name → (code, object)."""

    def add_all(**points: tuple[str, str]) -> None:
        for name, (code, value) in points.items():
            home = tmp_path / f"{name}-1.0.dist-info"
            home.mkdir()
            (home / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
            (home / "entry_points.txt").write_text(f"[usassist.modalities]\n{code} = {value}\n")
        table._added.cache_clear()

    monkeypatch.syspath_prepend(str(tmp_path))
    yield add_all
    table._added.cache_clear()


def test_the_rooms_are_those_of_the_table() -> None:
    rooms = {f"usassist.modalities.{path.parent.name}" for path in ROOMS.glob("*/__init__.py")}
    assert rooms == {row.room for row in MODALITIES.values()}


@pytest.mark.parametrize("row", MODALITIES.values(), ids=list(MODALITIES))
def test_what_is_available_can_be_imported_and_has_the_three_files(row: Modality) -> None:
    room = importlib.import_module(row.room)
    assert row.code in ("US", "CT", "MR"), "what engine.toml may name"
    if not row.is_available:
        assert room.__all__ == []
        return
    here = Path(room.__file__).parent
    homes = [here, *(path.parent for path in here.glob("*/preprocess.py"))]  # a task may have a room of its own
    files = {"preprocess.py", "postprocess.py", "task.py"}
    assert any(files <= {path.name for path in home.iterdir()} for home in homes)
    assert callable(row.load(row.make_task))
    assert not row.make_decoder or callable(row.load(row.make_decoder))


def test_every_engine_that_ships_can_be_run_by_its_modality() -> None:
    for spec in list_engines():
        row = find_modality(spec.modality)
        assert row.is_available
        assert spec.task in row.engine_tasks


def test_the_document_lists_exactly_the_table() -> None:
    assert not stale(), "python -m tools.modality_table writes the section again"
    section = render()
    assert all(f"| {row.code} | {row.title} |" in section for row in MODALITIES.values())
    assert section.count("\n| ") == 1 + len(MODALITIES)
    assert section in DOCUMENT.read_text(encoding="utf-8")


def test_the_command_lists_exactly_the_table(add: Add) -> None:
    add()
    run = CliRunner().invoke(app, ["modalities", "list", "--json"])
    rows = json.loads(run.stdout)["modalities"]
    assert [(row["code"], row["title"], row["available"], row["reason"]) for row in rows] == [
        (row.code, row.title, row.is_available, row.missing or None) for row in list_modalities().values()
    ]
    for row in rows:
        own = [f"{spec.name}@{spec.version}" for spec in list_engines() if spec.modality == row["code"]]
        assert row["engines"] == own
    assert rows[0]["engines"]
    shown = CliRunner().invoke(app, ["modalities", "list"]).stdout
    assert all(row.code in shown for row in MODALITIES.values())


def test_the_page_names_what_streams() -> None:
    assert stream_titles() == MODALITIES["US"].title == "Ultrasound"
    # In a process of its own: Gradio leaves an event loop open.
    run = subprocess.run([sys.executable, "-c", _SHOW_PAGE], capture_output=True, check=True, text=True)
    assert "Ultrasound: live frame with outlines" in run.stdout


_SHOW_PAGE = """
from usassist.modalities import stream_titles
from usassist.sinks.panel.context import PageContext
from usassist.sinks.panel.feed import PanelFeed
from usassist.sinks.panel.page import build_blocks
from usassist.sinks.panel.viewers import Viewers
feed = PanelFeed("ipc:///tmp/nobody", Viewers())
nothing = dict.fromkeys(("viewers", "shown", "said", "marks", "scales", "metrics", "controls"))
print(build_blocks(PageContext(feed=feed, **nothing, modality=stream_titles())).get_config_file())
"""


def test_a_row_of_another_distribution_is_added(add: Add) -> None:
    add(nuclear=("NM", "tests.unit.modalities.test_table:NUCLEAR"))
    row = find_modality("NM")
    assert (row.title, row.provider, row.is_available) == ("Nuclear medicine", "nuclear", True)
    assert list(list_modalities()) == [*MODALITIES, "NM"]


def test_what_usassist_runs_itself_is_not_replaced(add: Add, caplog: pytest.LogCaptureFixture) -> None:
    add(other=("US", "tests.unit.modalities.test_table:ULTRASOUND"))
    assert find_modality("US") is MODALITIES["US"]
    assert list_modalities()["US"] is MODALITIES["US"]
    assert "other is left out: usassist runs US itself" in caplog.text


def test_the_first_of_two_with_the_same_code_counts(add: Add, caplog: pytest.LogCaptureFixture) -> None:
    add(
        one=("NM", "tests.unit.modalities.test_table:NUCLEAR"),
        two=("NM", "tests.unit.modalities.test_table:WRONG_CODE"),
    )
    assert find_modality("NM").provider == "one"
    assert "NM of two is left out: one is first" in caplog.text


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("no_such_module:ROW", "No module named 'no_such_module'"),
        ("tests.unit.modalities.test_table:ROOMS", "not a Modality"),
        ("tests.unit.modalities.test_table:NUCLEAR", "its row NM"),
    ],
)
def test_a_broken_one_leaves_its_reason_in_the_empty_room(
    add: Add, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, value: str, reason: str
) -> None:
    empty_rooms(monkeypatch)
    add(broken=("CT", value))
    row = find_modality("CT")
    assert not row.is_available
    assert row.missing.startswith("broken cannot be used:")
    assert reason in row.missing
    assert caplog.records[0].levelno == logging.WARNING
    assert list(list_modalities()) == list(MODALITIES)


def test_an_unknown_code_is_refused_with_those_that_there_are(add: Add) -> None:
    add()
    with pytest.raises(UsageError, match="no modality XA; known: US, CT"):
        find_modality("XA")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"code": "us"}, "DICOM term"),
        ({"title": ""}, "needs a title"),
        ({"kind": "film"}, "stream or study"),
        ({"make_task": "", "engine_tasks": ()}, "either make_task, or missing"),
        ({"missing": "not yet"}, "either make_task, or missing"),
        ({"engine_tasks": ()}, "go together"),
        ({"make_task": "somewhere"}, "no module:function"),
        ({"make_task": "", "engine_tasks": (), "missing": "a\nb"}, "one line"),
    ],
)
def test_a_row_that_makes_no_sense_cannot_be_made(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        make_study_row(**changes)


def test_a_function_that_is_not_there_is_an_error_of_the_provider() -> None:
    row = make_study_row(make_task="usassist.modalities.table:no_such_function", provider="other")
    with pytest.raises(UsageError, match=r"modality NM of other cannot be used.*install other again"):
        row.load(row.make_task)


NUCLEAR = make_study_row()
WRONG_CODE = make_study_row(code="PT")
ULTRASOUND = make_study_row(code="US", kind=Kind.STREAM)
