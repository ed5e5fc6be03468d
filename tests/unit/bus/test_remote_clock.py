from __future__ import annotations

import time

import pytest

from tests.samples import LIVE_SESSION, make_frame, make_result
from usassist.bus import TOPICS, Message, Publisher, Subscriber, decode, frame_from, result_from
from usassist.bus.codec import encode, encode_frame, encode_result
from usassist.bus.remote_clock import RemoteClock
from usassist.common.clock import Clock, FakeClock, MonotonicClock

DAY_NS = 86_400 * 10**9
MS = 10**6


def _result(t_ns: int, age_ms: int = 5) -> Message:
    """A result that was published at a time of its stream, and captured a little before."""
    message = decode(bytes(encode_result(make_result(3, t_capture_ns=t_ns - age_ms * MS), 0, t_ns)))
    result_from(message)
    return message


def _age_ms(message: Message, clock: Clock) -> float:
    return (clock.now_ns() - result_from(message).t_capture_ns) / 1e6


def test_times_of_this_machine_are_left_alone() -> None:
    clock = FakeClock(DAY_NS)
    far = RemoteClock(clock)
    for delay_ms in (3, 900, 5_000, 0):
        message = _result(clock.now_ns() - delay_ms * MS)
        assert far.translate(message) is message


@pytest.mark.parametrize("behind_ns", [-5 * DAY_NS, -3 * 10**9, 3 * 10**9, 5 * DAY_NS])
def test_an_answer_from_another_machine_has_the_age_that_it_has_there(behind_ns: int) -> None:
    clock = FakeClock(10 * DAY_NS)
    far = RemoteClock(clock)
    ages = []
    for delay_ms in (1, 1, 20, 400, 1):
        clock.advance_ms(33)
        ages.append(_age_ms(far.translate(_result(clock.now_ns() - behind_ns - delay_ms * MS)), clock))
    assert ages == pytest.approx([5, 5, 24, 404, 5], abs=0.1)  # all but the shortest way, which is 1 ms


def test_an_answer_that_was_held_up_for_minutes_does_not_pass_for_a_new_one() -> None:
    clock = FakeClock(10 * DAY_NS)
    far = RemoteClock(clock)
    far.translate(_result(clock.now_ns() - DAY_NS))
    held_up = _result(clock.now_ns() - DAY_NS + 33 * MS)
    clock.advance_ms(300_000)
    assert _age_ms(far.translate(held_up), clock) > 299_000


def test_clocks_that_drift_apart_are_followed() -> None:
    clock = FakeClock(10 * DAY_NS)
    far = RemoteClock(clock)
    start_ns = clock.now_ns()
    for _ in range(3_600):
        clock.advance_ms(1_000)
        there_ns = int((clock.now_ns() - start_ns) * (1 - 50e-6)) + DAY_NS  # a clock that loses 180 ms in an hour
        age_ms = _age_ms(far.translate(_result(there_ns)), clock)
        assert age_ms == pytest.approx(5, abs=0.1)


def test_a_new_connection_may_lead_to_another_machine() -> None:
    clock = FakeClock(10 * DAY_NS)
    far = RemoteClock(clock)
    far.translate(_result(clock.now_ns() - DAY_NS))
    rebooted = _result(clock.now_ns() - 8 * DAY_NS)
    assert _age_ms(far.translate(rebooted), clock) > 6e8  # not known yet: old, never new
    far.restart()
    assert _age_ms(far.translate(rebooted), clock) == pytest.approx(5, abs=0.1)


def test_every_time_of_a_message_is_told_in_this_machine_s_time() -> None:
    clock = FakeClock(10 * DAY_NS)
    far = RemoteClock(clock)
    there_ns = DAY_NS
    frame = decode(
        bytes(encode_frame(make_frame(1, t_capture_ns=there_ns - 7, t_decoded_ns=there_ns - 3), 0, there_ns))
    )
    frame_from(frame)
    moved = far.translate(frame)
    by_ns = clock.now_ns() - there_ns
    assert moved.t_publish_ns == clock.now_ns()
    assert (moved.body.t_capture_ns, moved.body.t_decoded_ns) == (there_ns - 7 + by_ns, there_ns - 3 + by_ns)
    record = frame_from(moved)
    assert (record.t_capture_ns, record.t_decoded_ns, record.t_cropped_ns) == (
        there_ns - 7 + by_ns,
        there_ns - 3 + by_ns,
        None,
    )
    session = far.translate(decode(bytes(encode(TOPICS["session"], "us0", 0, there_ns, LIVE_SESSION, {}))))
    before = LIVE_SESSION.signal
    assert before is not None
    assert session.body.signal.t_since_ns == before.t_since_ns + by_ns
    assert session.body.image_hw_px == LIVE_SESSION.image_hw_px


class _Faraway:
    """The clock of a machine that was started ten days later."""

    def now_ns(self) -> int:
        return MonotonicClock().now_ns() - 10 * DAY_NS

    def sleep_until(self, t_ns: int) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("service", ["view", "archive"])
def test_a_viewer_is_told_this_machine_s_time_and_a_recorder_the_stream_s(service: str, bus_address: str) -> None:
    publisher = Publisher(bus_address, "us0", _Faraway())
    with Subscriber(bus_address, ("result",), service) as reader:  # type: ignore[arg-type]
        deadline, found = time.monotonic() + 10, []
        while not found and time.monotonic() < deadline:
            publisher.result(make_result())
            found = list(reader.events(20))
        age_ns = MonotonicClock().now_ns() - found[0].t_publish_ns
        assert 0 <= age_ns < DAY_NS if service == "view" else age_ns > 9 * DAY_NS
    publisher.close()
