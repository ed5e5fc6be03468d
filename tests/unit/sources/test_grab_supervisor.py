from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.in_thread import InThread
from usassist.common.clock import FakeClock
from usassist.errors import SourceError
from usassist.sources.grab import Grab, Grabber, Input
from usassist.sources.grab_supervisor import GrabSupervisor
from usassist.sources.screen import Screen


def _grab(number: int) -> Grab:
    image = np.full((4, 6), number % 256, np.uint8)
    return Grab(number=number, screen=Screen(image), t_capture_ns=number, t_decoded_ns=10**9, stamp="arrival")


class FakeGrabber:
    """Gives what `script` gives; None in it is a system call that never comes back."""

    description = "fake"
    warnings = ()
    rate_hz = 30.0

    def __init__(self, script: Callable[[], Iterator[Grab | None]]) -> None:
        self._script = script
        self.closed = threading.Event()
        self.hanging = threading.Event()
        self.let_go = threading.Event()

    def grabs(self) -> Iterator[Grab]:
        for grab in self._script():
            if grab is None:
                self.hanging.set()
                self.let_go.wait(30)
                return
            yield grab

    def close(self) -> None:
        self.closed.set()


def _until(condition: Callable[[], bool], supervisor: GrabSupervisor | None = None) -> None:
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s
        if supervisor is not None:
            supervisor.supervise()
        time.sleep(0.001)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1_000_000_000)


def _supervisor(clock: FakeClock, *grabbers: FakeGrabber | SourceError) -> tuple[GrabSupervisor, list[FakeGrabber]]:
    left, opened = list(grabbers), []

    def opener() -> Grabber:
        if not left:
            raise SourceError("there is nothing left; plug it in")
        following = left.pop(0)
        if isinstance(following, SourceError):
            raise following
        opened.append(following)
        return following

    return GrabSupervisor(InThread(opener), clock), opened


@pytest.mark.parametrize(
    ("waited_ms", "taken"), [(0, [(2, 2), (3, 0), (4, 0)]), (80, [(2, 2), (3, 0), (4, 0)]), (100, [(4, 4)])]
)
def test_the_newest_screens_are_kept_while_they_are_fresh_and_the_others_are_counted(
    clock: FakeClock, waited_ms: float, taken: list[tuple[int, int]]
) -> None:
    grabber = FakeGrabber(lambda: iter([*map(_grab, range(5)), None]))
    supervisor, _ = _supervisor(clock, grabber)
    supervisor.supervise()
    assert grabber.hanging.wait(20)
    clock.advance_ms(waited_ms)
    for expected in taken:
        grab, skipped = supervisor.take(5)
        assert grab is not None
        assert (grab.number, skipped) == expected
    assert supervisor.take(0) == (None, 0)
    grabber.let_go.set()
    supervisor.close()


def test_an_input_that_ends_is_opened_again_after_a_pause(clock: FakeClock) -> None:
    first, second = (FakeGrabber(lambda: iter([_grab(7)])), FakeGrabber(lambda: iter([_grab(8), None])))
    supervisor, opened = _supervisor(clock, first, second)
    supervisor.supervise()
    assert supervisor.take(20)[0] is not None
    assert first.closed.wait(20)
    _until(lambda: supervisor.problem != "", supervisor)
    assert "ended" in supervisor.problem
    supervisor.supervise()
    assert opened == [first]
    clock.advance_ms(101)
    supervisor.supervise()
    grab, _ = supervisor.take(20)
    assert grab is not None
    assert grab.number == 8
    assert (supervisor.problem, supervisor.reconnects) == ("", 1)
    second.let_go.set()
    supervisor.close()


def test_input_that_cannot_be_opened_is_retried_and_the_reason_reported(clock: FakeClock) -> None:
    supervisor, _ = _supervisor(clock, *[SourceError(f"refused {i}; start the sender") for i in range(20)])
    for i in range(20):
        _until(lambda i=i: supervisor.problem == f"refused {i}; start the sender", supervisor)  # type: ignore[misc]
        clock.advance_ms(501)  # the longest pause
    assert supervisor.reconnects >= 19
    supervisor.close()


def test_a_thread_that_hangs_while_reading_is_abandoned_and_its_late_screens_are_ignored(clock: FakeClock) -> None:
    def late() -> Iterator[Grab | None]:
        yield _grab(1)
        stuck.hanging.set()
        stuck.let_go.wait(30)
        yield _grab(99)

    stuck = FakeGrabber(late)
    fresh = FakeGrabber(lambda: iter([_grab(2), None]))
    supervisor, _ = _supervisor(clock, stuck, fresh)
    supervisor.supervise()
    assert supervisor.take(20)[0] is not None
    assert stuck.hanging.wait(20)
    clock.advance_ms(1_499)
    supervisor.supervise()
    assert supervisor.problem == ""
    clock.advance_ms(2)
    supervisor.supervise()
    assert "does not respond" in supervisor.problem
    assert stuck.closed.wait(20)
    clock.advance_ms(101)
    supervisor.supervise()
    grab, _ = supervisor.take(20)
    assert grab is not None
    assert grab.number == 2
    stuck.let_go.set()
    time.sleep(0.05)
    assert supervisor.take(0)[0] is None
    fresh.let_go.set()
    supervisor.close()


def test_an_input_that_hangs_while_opening_is_killed_and_does_not_block_the_caller(clock: FakeClock) -> None:
    let_go = threading.Event()

    def hang() -> Grabber:
        let_go.wait(30)
        raise SourceError("too late")

    opener = InThread(hang)
    supervisor = GrabSupervisor(opener, clock)
    for number in range(3):
        supervisor.supervise()
        clock.advance_ms(2_999)
        supervisor.supervise()
        assert (opener.prepared, opener.killed) == (number, number)
        clock.advance_ms(2)
        supervisor.supervise()  # three quarters of its time are over: a standby is started
        assert (opener.prepared, opener.killed) == (number + 1, number)
        clock.advance_ms(1_000)
        supervisor.supervise()
        assert (opener.prepared, opener.killed) == (number + 1, number + 1)
        clock.advance_ms(501)
    assert "does not respond" in supervisor.problem
    let_go.set()
    supervisor.close()


def test_the_number_of_inputs_that_cannot_be_killed_is_limited(clock: FakeClock) -> None:
    let_go, tries = threading.Event(), []

    def hang() -> Grabber:
        tries.append(threading.current_thread())
        let_go.wait(30)
        raise SourceError("too late")

    supervisor = GrabSupervisor(InThread(hang), clock)
    for _ in range(40):
        supervisor.supervise()
        clock.advance_ms(4_001)
        supervisor.supervise()
        clock.advance_ms(501)
    assert len(tries) == 4
    assert "4 processes hang in the input and cannot be killed" in supervisor.problem
    let_go.set()
    for thread in tries:
        thread.join(20)
    supervisor.supervise()
    _until(lambda: len(tries) == 5)  # the driver has released them: it is retried
    supervisor.close()


def test_a_process_may_take_longer_to_start_than_a_device_to_open(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.in_thread._Input.started", False)
    let_go = threading.Event()

    def slow() -> Grabber:
        let_go.wait(30)
        raise SourceError("too late")

    opener = InThread(slow)
    supervisor = GrabSupervisor(opener, clock)
    supervisor.supervise()
    clock.advance_ms(29_000)
    supervisor.supervise()
    monkeypatch.setattr("tests.in_thread._Input.started", True)
    supervisor.supervise()
    clock.advance_ms(3_999)
    supervisor.supervise()
    assert opener.killed == 0
    clock.advance_ms(2)
    supervisor.supervise()
    assert opener.killed == 1
    let_go.set()
    supervisor.close()


def test_where_not_even_a_process_can_be_started_it_is_tried_again(clock: FakeClock) -> None:
    grabber = FakeGrabber(lambda: iter([_grab(1), None]))
    opener = InThread(lambda: grabber)
    begin, refused = opener.open, iter([True, True, False])

    def open_input() -> Input:
        if next(refused):
            raise SourceError("no process can be started; end other programs")
        return begin()

    opener.open = open_input  # type: ignore[method-assign,assignment]
    supervisor = GrabSupervisor(opener, clock)
    for _ in range(2):
        supervisor.supervise()
        assert "no process can be started" in supervisor.problem
        clock.advance_ms(501)
    supervisor.supervise()
    assert supervisor.take(20)[0] is not None
    assert supervisor.problem == ""
    grabber.let_go.set()
    supervisor.close()


def test_a_fault_in_a_grabber_is_reported_and_does_not_end_the_supervisor(clock: FakeClock) -> None:
    def broken() -> Iterator[Grab | None]:
        raise ZeroDivisionError("oops")
        yield None

    supervisor, _ = _supervisor(clock, FakeGrabber(broken), FakeGrabber(lambda: iter([_grab(1), None])))
    _until(lambda: supervisor.problem != "", supervisor)
    assert "fault of usassist" in supervisor.problem
    clock.advance_ms(101)
    supervisor.supervise()
    assert supervisor.take(20)[0] is not None
    supervisor.close()
