"""A publisher that is closed while others are publishing."""

from __future__ import annotations

import threading
import time

import pytest

from tests.samples import SESSION, make_frame, make_result
from usassist.bus import Publisher, Subscriber
from usassist.common.clock import MonotonicClock


@pytest.mark.parametrize("lossless", [False, True])
def test_close_and_senders_never_meet_in_a_socket(bus_address: str, *, lossless: bool) -> None:
    frame, result = make_frame(hw=(96, 160)), make_result()
    for round_number in range(25):
        publisher = Publisher(bus_address, "us0", MonotonicClock(), lossless=lossless, frame_bytes=96 * 160)
        problems: list[BaseException] = []
        done = threading.Event()

        def hammer(number: int, publisher: Publisher, done: threading.Event, problems: list[BaseException]) -> None:
            try:
                while not done.is_set():
                    if number == 0:
                        publisher.frame(frame)
                    else:
                        publisher.result(result)
                        publisher.event("session", SESSION)
                        list(publisher.received())
            except BaseException as error:  # noqa: BLE001 - the test looks at whatever it is
                problems.append(error)

        threads = [threading.Thread(target=hammer, args=(n, publisher, done, problems)) for n in range(3)]
        with Subscriber(bus_address, ("frame", "result", "session"), "archive" if lossless else "view"):
            if lossless:
                assert publisher.wait_for_archives(1, 10, lambda: True, of_pixels=1)
            for thread in threads:
                thread.start()
            time.sleep(0.002 * (round_number % 5))
            publisher.close()
            publisher.frame(frame)
            publisher.result(result)
            assert list(publisher.received()) == []
            assert not publisher.wait_for_archives(1, 0.1, lambda: True)
            publisher.close()
            done.set()
            for thread in threads:
                thread.join(10)
                assert not thread.is_alive()
        assert problems == []


def test_a_publisher_that_waits_for_a_recorder_lets_go_when_it_is_closed(bus_address: str) -> None:
    publisher = Publisher(bus_address, "us0", MonotonicClock(), lossless=True, frame_bytes=2**20)
    frame = make_frame(hw=(1024, 1024))
    with Subscriber(bus_address, ("frame", "session"), "archive"):  # reads nothing
        assert publisher.wait_for_archives(1, 10, lambda: True, of_pixels=1)
        sender = threading.Thread(target=lambda: [publisher.frame(frame) for _ in range(200)])
        sender.start()
        time.sleep(1.0)
        assert sender.is_alive(), "it waits for the recorder"
        begin_s = time.monotonic()
        publisher.close()
        sender.join(10)
    assert not sender.is_alive()
    assert time.monotonic() - begin_s < 10
