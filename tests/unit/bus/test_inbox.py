from __future__ import annotations

import itertools
import time
from collections.abc import Iterator

import msgspec
import pytest
import zmq

from tests.samples import SESSION, make_result
from usassist.bus import (
    TOPICS,
    ControlAction,
    ControlBody,
    ControlState,
    HealthBody,
    Inbox,
    MarkBody,
    MarkKind,
    Publisher,
    Subscriber,
)
from usassist.bus.address import inbox_endpoint
from usassist.bus.codec import encode, encode_result
from usassist.common.clock import MonotonicClock
from usassist.errors import BusError, MessageError

HEALTH = HealthBody(
    process="panel",
    frames=3,
    answered=2,
    dropped=1,
    by_state={},
    rate_hz=None,
    latency_p50_ms=None,
    latency_p95_ms=None,
)


@pytest.fixture
def publisher(bus_address: str) -> Iterator[Publisher]:
    publisher = Publisher(bus_address, "us0", MonotonicClock())
    yield publisher
    publisher.close()


def test_what_is_handed_in_reaches_the_stream_in_order(publisher: Publisher, bus_address: str) -> None:
    with Inbox(bus_address) as inbox:
        bodies = [msgspec.structs.replace(HEALTH, frames=number) for number in range(20)]
        for body in bodies:
            _post(inbox, body)
        assert _collect(publisher, 20) == [("health", body) for body in bodies]


def test_the_stream_publishes_it_as_its_own(publisher: Publisher, bus_address: str) -> None:
    with Inbox(bus_address) as inbox, Subscriber(bus_address, ("health", "session"), "archive") as archive:
        assert publisher.wait_for_archives(0, 10, lambda: True)
        _post(inbox, HEALTH)
        (posted,) = _collect(publisher, 1)
        messages: list[msgspec.Struct] = []
        deadline = time.monotonic() + 10
        while not messages and time.monotonic() < deadline:
            publisher.event(*posted)
            messages = [message for _, message in archive.each(20, lambda: True)]
        assert messages[0].source_id == "us0"
        assert messages[0].body == HEALTH


def test_nothing_is_kept_for_a_stream_that_is_not_there(bus_address: str) -> None:
    with Inbox(bus_address) as inbox:
        assert not inbox.send("health", HEALTH)
        publisher = Publisher(bus_address, "us0", MonotonicClock())
        _post(inbox, msgspec.structs.replace(HEALTH, frames=7))
        assert [body.frames for _, body in _collect(publisher, 1)] == [7]
        publisher.close()


def test_a_stream_that_does_not_look_costs_the_poster_nothing_but_the_message(
    publisher: Publisher, bus_address: str
) -> None:
    with Inbox(bus_address) as inbox:
        _post(inbox, HEALTH)
        assert not all(
            inbox.send("health", msgspec.structs.replace(HEALTH, last_error="x" * 12000)) for _ in range(1000)
        )


@pytest.mark.parametrize("topic", ["frame", "result", "engine", "session", "nonsense"])
def test_only_marks_and_health_can_be_handed_in(publisher: Publisher, bus_address: str, topic: str) -> None:
    with Inbox(bus_address) as inbox, pytest.raises(MessageError, match="published by the stream alone"):
        inbox.send(topic, SESSION)


def test_a_text_that_is_too_long_is_refused_before_it_is_sent(publisher: Publisher, bus_address: str) -> None:
    with Inbox(bus_address) as inbox, pytest.raises(MessageError, match="shorten its texts"):
        inbox.send("health", msgspec.structs.replace(HEALTH, last_error="x" * 20000))


def test_strangers_at_the_desk_are_counted_and_not_published(publisher: Publisher, bus_address: str) -> None:
    as_stream = msgspec.structs.replace(HEALTH, process="stream")
    with _Stranger(bus_address) as socket:
        for data in (
            b"rubbish",
            encode_result(make_result(), 0, 0),
            encode(TOPICS["session"], "us0", 0, 0, SESSION, {}),
            encode(TOPICS["health"], "desk", 0, 0, as_stream, {}),
            bytes(encode(TOPICS["health"], "desk", 0, 0, HEALTH, {})).replace(b"/v1/", b"/v9/", 1),
            encode(TOPICS["health"], "desk", 0, 0, HEALTH, {}),
        ):
            socket.send(data)
        assert _collect(publisher, 1) == [("health", HEALTH)]
        assert publisher.malformed == 5


def test_a_message_that_is_larger_than_any_of_ours_is_not_taken_in(publisher: Publisher, bus_address: str) -> None:
    with _Stranger(bus_address) as socket:
        socket.send(b"health/v1/desk/\n" + bytes(2**20))
    with Inbox(bus_address) as inbox:
        _post(inbox, HEALTH)
        assert _collect(publisher, 1) == [("health", HEALTH)]
        assert publisher.malformed == 0


def test_one_round_takes_no_more_than_a_few_messages(publisher: Publisher, bus_address: str) -> None:
    with Inbox(bus_address) as inbox:
        for _ in range(50):
            _post(inbox, HEALTH)
        rounds = []
        deadline = time.monotonic() + 10
        while sum(rounds) < 50 and time.monotonic() < deadline:
            rounds.append(len(list(publisher.received())))
        assert sum(rounds) == 50
        assert max(rounds) <= 32


def test_a_request_is_taken_in_and_nobody_but_the_stream_says_what_came_of_it(
    publisher: Publisher, bus_address: str
) -> None:
    request = ControlBody(
        request_id="r1", action=ControlAction.RECORD, value="on", t_control_ns=9, state=ControlState.ASKED
    )
    with Inbox(bus_address) as inbox:
        for state in (ControlState.DONE, ControlState.REFUSED, ControlState.ASKED):
            _post(inbox, msgspec.structs.replace(request, state=state), "control")
        assert _collect(publisher, 1) == [("control", request)]
        assert publisher.malformed == 2


def test_an_address_without_a_desk_is_refused_in_one_line() -> None:
    with pytest.raises(BusError, match="correct the --bus address"):
        Inbox("ipc:///" + "x" * 200)


class _Stranger:
    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> zmq.Socket:
        self._context = zmq.Context()
        socket = self._context.socket(zmq.PUSH)
        socket.connect(inbox_endpoint(self._address))
        return socket

    def __exit__(self, *error: object) -> None:
        self._context.destroy(linger=500)


def test_a_mark_reaches_the_stream(publisher: Publisher, bus_address: str) -> None:
    mark = MarkBody(session_id="20260101T000000Z-000000", frame_id=4, kind=MarkKind.MISSED, t_mark_ns=9)
    with Inbox(bus_address) as inbox:
        _post(inbox, mark, "mark")
        assert _collect(publisher, 1) == [("mark", mark)]


def _post(inbox: Inbox, body: msgspec.Struct, topic: str = "health") -> None:
    deadline = time.monotonic() + 10
    while not inbox.send(topic, body):
        assert time.monotonic() < deadline, "the stream did not take it"
        time.sleep(0.005)


def _collect(publisher: Publisher, count: int) -> list[tuple[str, msgspec.Struct]]:
    found: list[tuple[str, msgspec.Struct]] = []
    deadline = time.monotonic() + 10
    while len(found) < count and time.monotonic() < deadline:
        found.extend(itertools.islice(publisher.received(), count - len(found)))
        time.sleep(0.001)
    return found
