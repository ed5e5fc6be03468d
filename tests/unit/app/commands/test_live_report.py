"""What ``usassist live`` tells of its recordings at the end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.recordings import record_session
from tests.samples import make_frame
from usassist.app.commands.live_report import print_live
from usassist.app.runtime.current_session import CurrentSession, LiveReport
from usassist.app.runtime.open_stream import StreamOptions
from usassist.config import RecordConfig


def test_messages_that_no_recorder_got_are_in_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, lost in (("a", 17), ("b", 3)):
        record_session(tmp_path / name, [make_frame(i) for i in range(3)])
        path = tmp_path / name / "session.toml"
        path.write_text(re.sub(r"(\[gaps\]\nframe = )0", rf"\g<1>{lost}", path.read_text()))
    report = LiveReport(folders=[str(tmp_path / name) for name in ("a", "b", "never made")])
    stream = StreamOptions(source="", bus="", engine="")
    session = CurrentSession(stream, "", record_into=tmp_path, records=True, record=RecordConfig(), report=report)
    session.log_size(at_end=True)
    assert report.messages_lost == 20
    print_live(report)
    assert "20 messages lost" in capsys.readouterr().out
