"""``usassist report``, as it is called."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from tests.sweeps import Moment, Shown, record_sweep
from usassist.app.commands.main import app
from usassist.errors import SessionError, UsageError


def _run(*arguments: object) -> object:
    return CliRunner().invoke(app, ["report", *(str(item) for item in arguments)])


def test_it_writes_both_files_and_says_what_is_in_them(tmp_path: Path) -> None:
    folder = record_sweep(tmp_path / "s", [Moment(nodules=(Shown(track_id=1), Shown(track_id=-1)))] * 6)
    result = _run(folder, "--out", tmp_path / "r.html", "--language", "de")
    assert result.exit_code == 0, result.output
    assert (
        "nodules: 1; not listed: 0; identities are not known of 1 runs of findings; answered: 0.2 of 0.2 s"
        in result.output
    )
    assert '<html lang="de">' in (tmp_path / "r.html").read_text()
    again = _run(folder, "--out", tmp_path / "r.html")
    assert isinstance(again.exception, SessionError)
    result = _run(folder, "--out", tmp_path / "r.html", "--overwrite", "--json", "--least-frames", 7)
    document = json.loads(result.output)
    assert document == {
        "html": str(tmp_path / "r.html"),
        "json": str(tmp_path / "r.json"),
        "nodules": 0,
        "not_listed": 1,
        "untracked_runs": 1,
        "answered_s": 0.24,
        "length_s": 0.24,
    }


def test_wrong_use_is_named(tmp_path: Path) -> None:
    folder = record_sweep(tmp_path / "s", [Moment()] * 2)
    assert isinstance(_run(folder, "--out", tmp_path / "r.html", "--language", "fr").exception, UsageError)
    assert isinstance(_run(tmp_path / "none", "--out", tmp_path / "r.html").exception, SessionError)
    assert _run(folder, "--out", tmp_path / "r.html", "--least-frames", 0).exit_code != 0
    assert not (tmp_path / "r.html").exists()


def test_growth_needs_an_earlier_report_and_is_on_the_page(tmp_path: Path) -> None:
    folder = record_sweep(tmp_path / "s", [Moment(nodules=(Shown(track_id=1),))] * 6)
    assert isinstance(_run(folder, "--out", tmp_path / "r.html", "--same", "1=1").exception, UsageError)
    assert _run(folder, "--out", tmp_path / "a.html").exit_code == 0
    later = ("--earlier", tmp_path / "a.json", "--same", "N1=N1")
    for language, words in (("en", "Not judged: there are no three"), ("de", "Nicht beurteilt"), ("ko", "판정하지")):
        result = _run(folder, "--out", tmp_path / f"{language}.html", "--language", language, *later)
        assert result.exit_code == 0, result.output
        assert words in (tmp_path / f"{language}.html").read_text()
