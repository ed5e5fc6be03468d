"""``usassist session corrections …`` and the exports for research, as they are called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.recordings import record_session
from tests.samples import make_frame
from usassist.app.commands.session import session_app
from usassist.errors import UsageError


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    record_session(tmp_path / "s", [make_frame(i, t_capture_ns=33_333_333 * i) for i in range(4)])
    return tmp_path / "s"


def _run(*arguments: object) -> str:
    result = CliRunner().invoke(session_app, [str(item) for item in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_corrections_go_out_and_come_back(recorded: Path, tmp_path: Path) -> None:
    _run(
        "export", recorded, "--coco", tmp_path / "out.json", "--yolo", tmp_path / "yolo", "--nrrd", tmp_path / "a.nrrd"
    )
    assert _run("corrections", "list", recorded).strip() == "no corrections"
    document = json.loads((tmp_path / "out.json").read_text())
    del document["annotations"][1]
    (tmp_path / "edited.json").write_text(json.dumps(document))
    text = _run("corrections", "import", recorded, tmp_path / "edited.json", "--role", "sonographer")
    assert "1 frames corrected: 0 nodules accepted, 0 changed, 0 added, 1 removed" in text
    assert "3 frames do not differ" in text
    text = _run("corrections", "import", recorded, tmp_path / "edited.json", "--role", "sonographer")
    assert text.strip() == "imported before: nothing was changed"
    (item,) = json.loads(_run("corrections", "list", recorded, "--json"))
    assert (item["role"], item["frames"], item["holding"]) == ("sonographer", [1], [1])
    assert "sonographer  1 frames of coco " in _run("corrections", "list", recorded)
    text = _run("corrections", "import", recorded, tmp_path / "out.json", "--role", "reader")
    assert text.startswith("nothing was imported")
    assert "of 1 of these an earlier correction holds still" in text
    assert "1 frames in" in _run("corrections", "export", recorded, "--out", tmp_path / "labels")
    assert len(list((tmp_path / "labels/masks").iterdir())) == 1
    assert "no problems" in _run("verify", recorded)


def test_a_table_alone_goes_with_no_other_export(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the table alone"):
        _run("export", recorded, "--csv", "-", "--yolo", tmp_path / "yolo")
