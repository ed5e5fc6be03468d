from __future__ import annotations

from collections.abc import Iterator

import msgspec

from usassist.bus import ControlAction, ControlBody, ControlState
from usassist.pipeline.controls import ControlDesk, answer_to

REQUEST = ControlBody(
    request_id="r1", action=ControlAction.POINT, value="quiet", t_control_ns=9, state=ControlState.ASKED
)


class _Clock:
    def __init__(self) -> None:
        self.ns = 0

    def now_ns(self) -> int:
        return self.ns


class _Elsewhere:
    def __init__(self) -> None:
        self.asked: list[ControlBody] = []
        self.back: list[ControlBody] = []

    def ask(self, request: ControlBody) -> None:
        self.asked.append(request)

    def outcomes(self) -> Iterator[ControlBody]:
        while self.back:
            yield self.back.pop(0)


def make_desk(controls: _Elsewhere | None) -> tuple[ControlDesk, list[ControlBody], _Clock]:
    published: list[ControlBody] = []
    clock = _Clock()

    def publish(topic: str, body: ControlBody) -> None:
        assert topic == "control"
        published.append(body)

    return ControlDesk(publish, clock, controls), published, clock


def test_a_request_is_published_handed_on_and_its_outcome_published_when_it_comes() -> None:
    elsewhere = _Elsewhere()
    desk, published, _ = make_desk(elsewhere)
    desk.take(REQUEST)
    desk.publish_outcomes()
    assert (published, elsewhere.asked) == ([REQUEST], [REQUEST])
    outcome = answer_to(REQUEST, ControlState.DONE)
    elsewhere.back.append(outcome)
    desk.publish_outcomes()
    assert published == [REQUEST, outcome]


def test_a_stream_that_nobody_supervises_refuses_and_says_why() -> None:
    desk, published, _ = make_desk(None)
    desk.take(REQUEST)
    asked, answered = published
    assert asked == REQUEST
    assert (answered.request_id, answered.state) == ("r1", ControlState.REFUSED)
    assert "usassist live" in answered.reason


def test_a_flood_of_requests_is_neither_handed_on_nor_answered() -> None:
    elsewhere = _Elsewhere()
    desk, published, clock = make_desk(elsewhere)
    for number in range(100):
        desk.take(msgspec.structs.replace(REQUEST, request_id=str(number)))
    assert (len(elsewhere.asked), len(published), desk.dropped) == (10, 10, 90)
    clock.ns += 1_000_000_000
    for number in range(100):
        desk.take(msgspec.structs.replace(REQUEST, request_id=f"later {number}"))
    assert len(elsewhere.asked) == 12


def test_a_reason_of_several_lines_becomes_one_that_fits() -> None:
    answer = answer_to(REQUEST, ControlState.REFUSED, "first\n  second " + "x" * 900)
    assert answer.reason.startswith("first second x")
    assert len(answer.reason) == 500
