from __future__ import annotations

import threading
from typing import Any

import msgspec
import pytest

from tests.samples import CALIBRATED_ENGINE, SESSION
from usassist.bus import TOPICS, ControlAction, ControlBody, ControlState, Message, PointBody, decode
from usassist.bus.codec import encode
from usassist.common.clock import FakeClock
from usassist.sinks.panel.control import Answer, Choices, ControlIntake, state_document

CHOICES = Choices(
    engines=("a@1.0.0", "b@2.0.0"),
    precisions=("auto", "int8"),
    sources=("v4l2:/dev/video0", "rtsp://host"),
    precision="auto",
    source="v4l2:/dev/video0",
)
POINTS = tuple(PointBody(name=name, sensitivity=0.9, false_positives_per_frame=0.1) for name in ("balanced", "quiet"))
ENGINE = msgspec.structs.replace(CALIBRATED_ENGINE, points=POINTS)


class Desk:
    """An inbox, and what comes back of it."""

    def __init__(self, choices: Choices | None = CHOICES, *, sends: bool = True) -> None:
        self.sent: list[ControlBody] = []
        self.sends = sends
        self.clock = FakeClock(5)
        self.answers: dict[str, tuple[ControlState, str]] = {}
        self.intake = ControlIntake(self, self.clock, choices)  # type: ignore[arg-type]
        self.intake.take(message("engine", ENGINE))
        self.intake.take(message("session", SESSION))

    def send(self, topic: str, body: Any) -> bool:
        assert topic == "control"
        if self.sends:
            self.sent.append(body)
            if body.value in self.answers:
                state, reason = self.answers[body.value]
                outcome = msgspec.structs.replace(body, state=state, reason=reason)
                threading.Thread(target=self.intake.take, args=(message("control", outcome),)).start()
        return self.sends


def message(topic: str, body: msgspec.Struct) -> Message:
    return decode(bytes(encode(TOPICS[topic], "us0", 0, 0, body, {})))


def test_a_request_is_sent_and_its_outcome_given_back() -> None:
    desk = Desk()
    desk.answers = {"quiet": (ControlState.DONE, ""), "b@2.0.0": (ControlState.REFUSED, "it cannot be opened")}
    assert desk.intake.request(ControlAction.POINT, "quiet", timeout_s=10).answer is Answer.DONE
    refused = desk.intake.request(ControlAction.ENGINE, "b@2.0.0", timeout_s=10)
    assert (refused.answer, refused.reason) == (Answer.REFUSED, "it cannot be opened")
    first, second = desk.sent
    assert (first.action, first.value, first.state, first.sender) == (
        ControlAction.POINT,
        "quiet",
        ControlState.ASKED,
        "page",
    )
    assert first.request_id != second.request_id
    assert first.t_control_ns == 5


@pytest.mark.parametrize(
    ("action", "value"),
    [
        (ControlAction.SOURCE, "/etc/passwd"),
        (ControlAction.ENGINE, "c"),
        (ControlAction.POINT, "perfect"),
        (ControlAction.RECORD, "maybe"),
        (ControlAction.PRECISION, ""),
    ],
)
def test_what_was_not_offered_is_refused_and_never_sent(action: ControlAction, value: str) -> None:
    desk = Desk()
    outcome = desk.intake.request(action, value)
    assert outcome.answer is Answer.REFUSED
    assert "was not offered; choose one of" in outcome.reason
    assert desk.sent == []


def test_without_a_supervisor_or_a_stream_it_is_refused_with_the_reason() -> None:
    assert "nothing of this stream" in Desk(None).intake.request(ControlAction.RECORD, "on").reason
    assert Desk(sends=False).intake.request(ControlAction.RECORD, "on").reason == "no stream is running"


def test_silence_is_neither_done_nor_refused() -> None:
    outcome = Desk().intake.request(ControlAction.RECORD, "on", timeout_s=0.01)
    assert outcome.answer is Answer.SILENT
    assert "no answer came" in outcome.reason


def test_a_page_that_closes_lets_those_who_wait_go_on() -> None:
    desk = Desk()
    threading.Timer(0.05, desk.intake.close).start()
    assert desk.intake.request(ControlAction.RECORD, "on", timeout_s=60).answer is Answer.SILENT


def test_too_many_requests_are_refused_before_they_are_sent() -> None:
    desk = Desk()
    desk.answers = {"on": (ControlState.DONE, "")}
    outcomes = [desk.intake.request(ControlAction.RECORD, "on", timeout_s=10) for _ in range(8)]
    assert [outcome.answer for outcome in outcomes] == [Answer.DONE] * 5 + [Answer.REFUSED] * 3
    assert len(desk.sent) == 5
    assert "too many requests" in outcomes[-1].reason


def test_what_is_chosen_follows_the_stream_and_what_was_done() -> None:
    desk = Desk()
    document = state_document(desk.intake)
    assert document["session_id"] == SESSION.session_id
    assert document["chosen"] == {
        "engine": ENGINE.engine_id.partition("+")[0],
        "point": "balanced",
        "precision": "auto",
        "source": "v4l2:/dev/video0",
    }
    assert document["offered"]["point"] == ["balanced", "quiet"]
    asked = ControlBody(
        request_id="r", action=ControlAction.SOURCE, value="rtsp://host", t_control_ns=1, state=ControlState.ASKED
    )
    for state, chosen in (
        (ControlState.ASKED, "v4l2:/dev/video0"),
        (ControlState.REFUSED, "v4l2:/dev/video0"),
        (ControlState.DONE, "rtsp://host"),
    ):
        desk.intake.take(message("control", msgspec.structs.replace(asked, state=state)))
        assert desk.intake.chosen(ControlAction.SOURCE) == chosen
