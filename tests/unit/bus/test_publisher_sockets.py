from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from tests.samples import SESSION, make_frame, make_result
from usassist.bus import Message, Publisher, Subscriber
from usassist.bus import publisher as module
from usassist.bus.address import endpoint
from usassist.bus.publisher_sockets import ArchiveSocket
from usassist.common.clock import MonotonicClock

FRAME = b"frame/"


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the frames whose bytes have been made."""
    numbers: list[int] = []
    encode = module.encode_frame

    def count(frame: object, seq: int, t_publish_ns: int) -> bytearray:
        numbers.append(seq)
        return encode(frame, seq, t_publish_ns)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "encode_frame", count)
    return numbers


@pytest.fixture
def publisher(bus_address: str) -> Iterator[Publisher]:
    publisher = Publisher(bus_address, "us0", MonotonicClock())
    yield publisher
    publisher.close()


def test_pixels_that_nobody_wants_are_not_made_into_messages(publisher: Publisher, encoded: list[int]) -> None:
    for number in range(10):
        publisher.frame(make_frame(number))
    assert encoded == []


@pytest.mark.parametrize("service", ["view", "archive"])
def test_who_joins_late_sees_the_number_of_the_frame_and_no_gap(
    publisher: Publisher, encoded: list[int], bus_address: str, service: str
) -> None:
    for number in range(10):
        publisher.frame(make_frame(number))
    with Subscriber(bus_address, ("frame",), service) as reader:  # type: ignore[arg-type]
        message = _next(publisher, reader)
        assert message.seq >= 10
        assert reader.gaps == {"frame": 0}
    assert min(encoded) >= 10


@pytest.mark.parametrize("service", ["view", "archive"])
def test_when_the_last_reader_has_left_no_more_messages_are_made(
    publisher: Publisher, encoded: list[int], bus_address: str, service: str
) -> None:
    with Subscriber(bus_address, ("frame",), service) as reader:  # type: ignore[arg-type]
        _next(publisher, reader)

    def silent() -> bool:
        before = len(encoded)
        publisher.frame(make_frame(0))
        return len(encoded) == before

    _until(silent)
    assert all(silent() for _ in range(20))


def test_a_reader_that_asks_for_everything_is_a_reader(
    publisher: Publisher, encoded: list[int], bus_address: str
) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.subscribe(b"")
    socket.connect(endpoint(bus_address, "frame", "archive"))
    _until(lambda: (publisher.frame(make_frame(0)), socket.poll(10))[1] > 0)
    context.destroy(linger=0)


def test_an_archive_that_has_left_is_no_longer_counted(publisher: Publisher, bus_address: str) -> None:
    topics = ("frame", "result", "session")
    first = Subscriber(bus_address, topics, "archive")
    assert publisher.wait_for_archives(1, 10, lambda: True)
    with Subscriber(bus_address, topics, "archive"):
        assert publisher.wait_for_archives(2, 10, lambda: True)
        first.close()
        _until(lambda: not publisher.wait_for_archives(2, 0.05, lambda: True))
        assert publisher.wait_for_archives(1, 10, lambda: True)


def test_events_reach_whom_frames_do_not_concern(publisher: Publisher, bus_address: str) -> None:
    with Subscriber(bus_address, ("result", "session")) as viewer:
        _until(
            lambda: (publisher.result(make_result()), publisher.event("session", SESSION), viewer.latest(20))[2] != {}
        )


@pytest.mark.parametrize(("message_bytes", "queue"), [(1, 256), (370_000, 11), (2**20, 4), (2**24, 1)])
def test_what_may_wait_for_an_archive_follows_from_the_size_of_a_message(message_bytes: int, queue: int) -> None:
    context = zmq.Context()
    socket = context.socket(zmq.XPUB)
    ArchiveSocket(socket, FRAME, lossless=False, timeout_ms=100, message_bytes=message_bytes)
    assert socket.get(zmq.SNDHWM) == queue
    context.destroy(linger=0)


def test_an_archive_goes_on_receiving_while_others_come_and_stop_reading(bus_address: str) -> None:
    publisher = Publisher(bus_address, "us0", MonotonicClock(), frame_bytes=2**20)
    context = zmq.Context()
    idle = [context.socket(zmq.SUB) for _ in range(4)]
    with Subscriber(bus_address, ("frame",), "archive") as reader:
        _next(publisher, reader)
        for socket in idle:
            socket.set(zmq.RCVHWM, 1)
            socket.subscribe(b"")
            socket.connect(endpoint(bus_address, "frame", "archive"))
        for _ in range(60):
            assert _next(publisher, reader).topic.name == "frame"
    for socket in idle:
        socket.close(linger=0)
    context.term()
    publisher.close()


def _next(publisher: Publisher, reader: Subscriber) -> Message:
    found: list[Message] = []

    def look() -> bool:
        publisher.frame(make_frame(len(found)))
        found.extend(message for _, message in reader.each(10, lambda: True))
        return bool(found)

    _until(look)
    return found[0]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
