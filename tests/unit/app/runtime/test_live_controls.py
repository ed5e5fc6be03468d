from __future__ import annotations

from collections import deque
from typing import Any

import msgspec

from usassist.app.runtime.child_process import ChildReport
from usassist.app.runtime.current_session import CurrentSession, LiveReport
from usassist.app.runtime.live_controls import LiveControls
from usassist.app.runtime.offered import Offered
from usassist.app.runtime.open_stream import StreamOptions
from usassist.bus import ControlAction, ControlBody, ControlState
from usassist.config import RecordConfig

STREAM = StreamOptions(source="null:rate=30,size=96x160", bus="", engine="thyroid_nodule")


class _Stream:
    """The process of a stream that has not become ready again."""

    name = "stream"

    def __init__(self) -> None:
        self.reports: deque[ChildReport] = deque()
        self.child = self
        self.sent: list[dict[str, Any]] = []
        self.is_ready = True
        self.starts = 0

    def send(self, message: dict[str, Any]) -> bool:
        self.sent.append(message)
        return True

    def detach(self) -> None:
        return None

    def start(self) -> None:
        self.starts += 1
        self.is_ready = False

    def reap(self) -> bool:
        return False


class _Switch:
    is_busy = False

    def __init__(self, missed: ControlBody | None = None) -> None:
        self._missed = missed

    def end_with(self, stream: object) -> list[ChildReport]:
        return [] if self._missed is None else [_report(self._missed)]

    def begin_with(self) -> None: ...

    def poll(self) -> list[object]:
        return []


def _report(request: ControlBody) -> ChildReport:
    return ChildReport(event="control", content={"request": msgspec.to_builtins(request)})


def _request(number: int, value: str) -> ControlBody:
    return ControlBody(
        request_id=str(number), action=ControlAction.POINT, value=value, t_control_ns=1, state=ControlState.ASKED
    )


def make_controls(switch: _Switch) -> tuple[LiveControls, _Stream, CurrentSession, LiveReport]:
    report, stream = LiveReport(), _Stream()
    session = CurrentSession(STREAM, "", record_into=None, records=False, record=RecordConfig(), report=report)
    lines: list[str] = []
    controls = LiveControls(stream, switch, Offered(STREAM), session, report, lines.append)  # type: ignore[arg-type]
    return controls, stream, session, report


def test_a_request_while_another_change_is_under_way_is_refused_and_not_queued() -> None:
    controls, stream, session, report = make_controls(_Switch())
    stream.reports.extend([_report(_request(1, "quiet")), _report(_request(2, "sensitive"))])
    controls.poll()
    assert (session.stream.point, stream.starts) == ("quiet", 1)
    (refused,) = stream.sent
    assert (refused["outcome"]["request_id"], refused["outcome"]["state"]) == ("2", "refused")
    assert "another change is under way" in refused["outcome"]["reason"]
    stream.is_ready = True
    controls.poll()
    assert report.changes[-1] == "operating point quiet: done"


def test_a_request_to_the_stream_that_was_just_being_ended_is_answered_too() -> None:
    controls, stream, session, report = make_controls(_Switch(missed=_request(2, "sensitive")))
    stream.reports.append(_report(_request(1, "quiet")))
    controls.poll()
    stream.is_ready = True
    controls.poll()
    assert session.stream.point == "quiet"
    assert len(report.changes) == 2
    assert any("sensitive: refused" in line for line in report.changes)
