from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.samples import SESSION
from usassist.bus import HealthBody, MarkBody, MarkKind, SessionState
from usassist.common.clock import FakeClock
from usassist.sinks.reports import PROCESSES, RecordingState, Reports


def health(process: str = "record", **changes: Any) -> HealthBody:
    values: dict[str, Any] = {"frames": 0, "answered": 0, "dropped": 0, "by_state": {}, "rate_hz": None}
    return HealthBody(process=process, **values | {"latency_p50_ms": None, "latency_p95_ms": None} | changes)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(10**12)


@pytest.fixture
def reports(clock: FakeClock) -> Reports:
    reports = Reports(clock)
    reports.enter_session("a")
    return reports


def test_nothing_is_said_of_a_recorder_that_may_be_on_its_way(reports: Reports, clock: FakeClock) -> None:
    assert reports.recording(SESSION).state is RecordingState.UNKNOWN
    clock.advance_ms(2001)
    assert reports.recording(SESSION).state is RecordingState.NONE


def test_a_recorder_that_runs_is_told_with_time_and_size(reports: Reports, clock: FakeClock) -> None:
    reports.add_health(health(frames=300, recording="running", recorded_bytes=4_200_000_000, free_bytes=7), 30.0)
    clock.advance_ms(2500)
    told = reports.recording(SESSION)
    assert (told.state, told.elapsed_s, told.recorded_bytes, told.free_bytes) == ("running", 12.5, 4_200_000_000, 7)


def test_another_recorder_begins_at_nought(reports: Reports, clock: FakeClock) -> None:
    reports.add_health(health(frames=300, recording="running"), 30.0)
    clock.advance_ms(1000)
    reports.add_health(health(frames=30, recording="running"), 30.0)
    assert reports.recording(SESSION).elapsed_s == 1.0


def test_a_recorder_that_has_stopped_says_why_for_as_long_as_it_takes(reports: Reports, clock: FakeClock) -> None:
    reports.add_health(health(recording="running"), 30.0)
    clock.advance_ms(5000)
    reports.add_health(health(recording="the disk is full"), 30.0)
    clock.advance_ms(60_000)
    told = reports.recording(SESSION)
    assert (told.state, told.reason, told.elapsed_s) == ("stopped", "the disk is full", 5.0)


def test_a_recorder_that_is_not_heard_for_three_seconds_is_silent(reports: Reports, clock: FakeClock) -> None:
    reports.add_health(health(recording="running"), 30.0)
    clock.advance_ms(3000)
    assert reports.recording(SESSION).state is RecordingState.RUNNING
    clock.advance_ms(1000)
    told = reports.recording(SESSION)
    assert (told.state, told.reason) == ("silent", "no health message for 4 s")


def test_at_the_end_of_a_stream_no_recorder_is_missed(reports: Reports, clock: FakeClock) -> None:
    over = msgspec.structs.replace(SESSION, state=SessionState.ENDED)
    assert reports.recording(over).state is RecordingState.NONE
    reports.add_health(health(recording="running"), 30.0)
    clock.advance_ms(60_000)
    assert reports.recording(over).state is RecordingState.NONE
    reports.add_health(health(recording="closed"), 30.0)
    assert reports.recording(over).state is RecordingState.CLOSED


def test_another_session_knows_nothing_of_the_one_before(reports: Reports) -> None:
    reports.add_health(health(recording="running"), 30.0)
    reports.add_mark(MarkBody(session_id="a", frame_id=1, kind=MarkKind.WRONG, t_mark_ns=1))
    assert not reports.enter_session("a")
    assert reports.health("record") is not None
    assert reports.enter_session("b")
    assert reports.health("record") is None
    assert reports.marks().counts == {}
    assert reports.recording(SESSION).state is RecordingState.UNKNOWN


def test_marks_are_counted_by_kind_and_the_last_few_are_kept(reports: Reports) -> None:
    for frame_id in range(20):
        reports.add_mark(MarkBody(session_id="a", frame_id=frame_id, kind=MarkKind.BOOKMARK, t_mark_ns=frame_id))
    reports.add_mark(MarkBody(session_id="z", frame_id=1, kind=MarkKind.MISSED, t_mark_ns=1))
    marks = reports.marks()
    assert marks.counts == {"bookmark": 20}
    assert [mark.frame_id for mark in marks.latest] == list(range(12, 20))


def test_names_that_others_invent_are_not_collected(reports: Reports) -> None:
    for process in (*PROCESSES, *(f"process{number}" for number in range(1000))):
        reports.add_health(health(process), None)
    assert set(reports.ages_s()) == set(PROCESSES)


def test_messages_that_never_reached_the_recorder_are_told_beside_it(reports: Reports) -> None:
    reports.add_health(health(recording="running", dropped=0), 30.0)
    assert reports.recording(SESSION).missed == 0
    reports.add_health(health(recording="running", dropped=17), 30.0)
    assert reports.recording(SESSION).missed == 17
