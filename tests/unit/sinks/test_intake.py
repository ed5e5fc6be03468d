"""Messages are taken in beside whoever writes them down."""

from __future__ import annotations

import itertools
import threading
import time

import msgspec
import pytest

from tests.samples import SESSION, make_frame
from usassist.bus import Publisher, Subscriber
from usassist.common.clock import MonotonicClock
from usassist.sinks.intake import Intake

HW = (480, 640)
COUNT = 150


@pytest.fixture
def publisher(bus_address: str) -> Publisher:
    return Publisher(bus_address, "us0", MonotonicClock(), frame_bytes=HW[0] * HW[1])


def _take(intake: Intake, count: int) -> list[int]:
    ids: list[int] = []
    for item in intake.each(lambda: len(ids) >= count):
        if item is not None and item[1].topic.name == "frame":
            ids.append(item[1].body.frame_id)
    return ids


def test_a_writer_that_stands_still_for_a_while_misses_nothing(publisher: Publisher, bus_address: str) -> None:
    """A stream in real time waits for nobody: what is not taken in is lost."""
    subscriber = Subscriber(bus_address, ("frame", "session"), "archive")
    intake = Intake(subscriber)
    assert publisher.wait_for_archives(1, 10, lambda: True)
    intake.start()
    for number in range(COUNT):
        publisher.frame(make_frame(number, HW))
        time.sleep(0.003)
    assert _take(intake, COUNT) == list(range(COUNT))
    assert subscriber.gaps["frame"] == 0
    intake.close()
    subscriber.close()
    publisher.close()


def test_no_more_waits_than_there_is_room_for(publisher: Publisher, bus_address: str) -> None:
    subscriber = Subscriber(bus_address, ("frame", "session"), "archive")
    intake = Intake(subscriber, most_bytes=3 * HW[0] * HW[1])
    assert publisher.wait_for_archives(1, 10, lambda: True)
    intake.start()
    for number in range(COUNT):
        publisher.frame(make_frame(number, HW))
        time.sleep(0.001)
    time.sleep(0.1)
    assert intake._bytes <= 4.5 * HW[0] * HW[1]
    intake.close()
    subscriber.close()
    publisher.close()


def test_what_the_subscriber_raises_is_raised_behind_what_came_before(
    publisher: Publisher, bus_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriber = Subscriber(bus_address, ("frame", "session"), "archive")
    real = subscriber.each

    def failing(timeout_ms, stop):  # type: ignore[no-untyped-def]
        for count, item in enumerate(real(timeout_ms, stop)):
            if count == 3:
                raise OSError("the line is cut")
            yield item

    monkeypatch.setattr(subscriber, "each", failing)
    intake = Intake(subscriber)
    assert publisher.wait_for_archives(1, 10, lambda: True)
    for _ in range(5):
        publisher.event("session", msgspec.structs.replace(SESSION, realtime=True))
    intake.start()
    taken = (item for item in intake.each(lambda: False) if item is not None)
    assert [item[1].topic.name for item in itertools.islice(taken, 3)] == ["session"] * 3
    with pytest.raises(OSError, match="the line is cut"):
        next(taken)
    intake.close()
    subscriber.close()
    publisher.close()


def test_it_ends_while_it_waits_for_room(publisher: Publisher, bus_address: str) -> None:
    subscriber = Subscriber(bus_address, ("frame", "session"), "archive")
    intake = Intake(subscriber, most_bytes=1)
    assert publisher.wait_for_archives(1, 10, lambda: True)
    intake.start()
    for number in range(10):
        publisher.frame(make_frame(number, HW))
    ended = threading.Event()
    threading.Thread(target=lambda: (intake.close(), ended.set()), daemon=True).start()
    assert ended.wait(10)
    subscriber.close()
    publisher.close()
