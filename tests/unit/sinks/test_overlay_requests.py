from __future__ import annotations

import msgspec
import pytest

from tests.samples import ENGINE
from usassist.bus import ControlAction, ControlBody, ControlState, PointBody
from usassist.common.clock import FakeClock
from usassist.sinks.overlay.notices import Notice
from usassist.sinks.overlay.requests import WindowRequests
from usassist.sinks.reports import Recording, RecordingState
from usassist.words import load_words

POINTS = tuple(
    PointBody(name=name, sensitivity=0.9, false_positives_per_frame=0.1) for name in ("sensitive", "balanced", "quiet")
)
CALIBRATED = msgspec.structs.replace(ENGINE, points=POINTS, point=POINTS[2])
RUNNING, NONE = Recording(state=RecordingState.RUNNING), Recording(state=RecordingState.NONE)


class Stream:
    """Takes what a window asks for."""

    def __init__(self, *, runs: bool = True) -> None:
        self.runs = runs
        self.asked: list[ControlBody] = []

    def send(self, topic: str, body: msgspec.Struct) -> bool:
        assert topic == "control"
        assert isinstance(body, ControlBody)
        self.asked.append(body)
        return self.runs


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def notice(clock: FakeClock) -> Notice:
    return Notice(clock)


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def requests(stream: Stream, clock: FakeClock, notice: Notice) -> WindowRequests:
    return WindowRequests(stream, clock, notice, load_words("en", "window"))


def _answer(body: ControlBody, state: ControlState, reason: str = "") -> ControlBody:
    return msgspec.structs.replace(body, state=state, reason=reason)


def test_a_recording_is_started_at_once_and_stopped_when_it_is_said_twice(
    requests: WindowRequests, stream: Stream, notice: Notice, clock: FakeClock
) -> None:
    requests.toggle_recording(NONE)
    (body,) = stream.asked
    assert (body.action, body.value, body.state) == (ControlAction.RECORD, "on", ControlState.ASKED)
    assert notice.text == "asked: start the recording"
    requests.toggle_recording(RUNNING)
    assert len(stream.asked) == 1
    assert notice.text == "V again stops the recording"
    clock.advance_ms(5000)
    requests.toggle_recording(RUNNING)
    assert len(stream.asked) == 1, "the first press is forgotten"
    requests.toggle_recording(RUNNING)
    assert (stream.asked[1].action, stream.asked[1].value) == (ControlAction.RECORD, "off")


def test_what_is_not_known_to_be_recorded_is_neither_started_nor_stopped(
    requests: WindowRequests, stream: Stream, notice: Notice
) -> None:
    requests.toggle_recording(Recording())
    assert not stream.asked
    assert notice.text == "whether it is recorded is not known yet"


def test_a_request_is_done_or_refused_when_the_stream_says_so(
    requests: WindowRequests, stream: Stream, notice: Notice
) -> None:
    requests.next_point(CALIBRATED)
    (body,) = stream.asked
    assert (body.action, body.value) == (ControlAction.POINT, "sensitive"), "after the last comes the first"
    requests.take(body)
    assert notice.text == "asked: operating point sensitive", "what is published is not yet done"
    requests.take(_answer(body, ControlState.REFUSED, "a report is being written"))
    assert notice.text == "operating point sensitive: refused, a report is being written"
    requests.take(_answer(body, ControlState.DONE))
    assert notice.text == "operating point sensitive: done"


def test_what_another_viewer_has_changed_is_told_too(requests: WindowRequests, notice: Notice) -> None:
    other = ControlBody(
        request_id="x",
        action=ControlAction.ENGINE,
        value="other",
        t_control_ns=1,
        state=ControlState.DONE,
        sender="page",
    )
    requests.take(other)
    assert notice.text == "engine other: done"


def test_without_an_answer_that_is_said(
    requests: WindowRequests, notice: Notice, clock: FakeClock, stream: Stream
) -> None:
    requests.next_point(CALIBRATED)
    clock.advance_ms(59_000)
    requests.poll()
    assert notice.text == ""
    clock.advance_ms(2_000)
    requests.poll()
    assert notice.text == "operating point sensitive: no answer from the stream"
    assert len(stream.asked) == 1


def test_without_a_stream_or_a_choice_nothing_is_asked(clock: FakeClock, notice: Notice) -> None:
    words = load_words("en", "window")
    nobody = WindowRequests(Stream(runs=False), clock, notice, words)
    nobody.toggle_recording(NONE)
    assert notice.text == "not asked: start the recording, no stream is running"
    nobody.next_point(ENGINE)
    assert notice.text == "this engine has no other operating point"
    nobody.next_point(None)
    assert notice.text == "this engine has no other operating point"
