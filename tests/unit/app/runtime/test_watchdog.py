"""When a process is taken to hang, and when it is only slow."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from usassist.app.runtime import child_process, supervised_process
from usassist.app.runtime.child_process import ChildProcess
from usassist.app.runtime.process_table import CHILDREN, ChildSpec
from usassist.app.runtime.supervised_process import PollClock, SupervisedProcess
from usassist.app.runtime.watchdog import LIMITS, Limits, ProcessState, Watchdog, read_process_state

TICK_S = 0.1


class Process:
    """A process as ``/proc`` shows it."""

    def __init__(self, states: str, cpu: float = 0.0) -> None:
        self.states, self.cpu, self._looks = states, cpu, 0

    def __call__(self, pid: int) -> ProcessState:
        self._looks += 1
        return ProcessState(states=frozenset(self.states), cpu_s=self.cpu * TICK_S * self._looks)


def _silent_until(
    process: Process, name: str = "stream", *, ready: bool = True, allowed_s: float | None = None
) -> float:
    """How long a process without a heartbeat is tolerated, s."""
    watchdog = Watchdog(name, 0, process)
    assert watchdog.check(1, TICK_S, ready=ready, allowed_s=allowed_s) == ""
    for tick in range(1, 2000):
        if watchdog.check(1, TICK_S, ready=ready, allowed_s=allowed_s):
            return tick * TICK_S
    raise AssertionError("never")


@pytest.mark.parametrize(
    ("states", "cpu", "name", "limit_s"),
    [
        ("S", 0.0, "stream", LIMITS["stream"].still_s),
        ("T", 0.0, "stream", LIMITS["stream"].still_s),
        ("S", 0.0, "panel", Limits().still_s),
        ("T", 0.0, "overlay", Limits().still_s),
        ("SR", 1.0, "stream", LIMITS["stream"].computing_s),
        ("SR", 1.0, "panel", Limits().computing_s),
        ("SR", 0.1, "stream", LIMITS["stream"].starved_s),
        ("SR", 0.1, "panel", Limits().starved_s),
        ("SD", 0.0, "record", LIMITS["record"].disk_s),
    ],
)
def test_how_long_a_process_may_be_silent(states: str, cpu: float, name: str, limit_s: float) -> None:
    assert _silent_until(Process(states, cpu), name) == pytest.approx(limit_s, abs=2 * TICK_S)


def test_a_process_that_starts_or_has_announced_a_limit_gets_more_time() -> None:
    assert _silent_until(Process("S"), ready=False) == pytest.approx(LIMITS["stream"].start_s, abs=1)
    assert _silent_until(Process("S"), "panel", ready=False) == pytest.approx(Limits().start_s, abs=1)
    assert _silent_until(Process("T"), allowed_s=7.0) == pytest.approx(7.0, abs=0.3)


@pytest.mark.parametrize(("states", "cpu"), [("SR", 0.0), ("S", 0.1), ("D", 0.0)])
def test_a_start_that_makes_progress_or_gets_no_processor_is_waited_for_and_not_for_ever(
    states: str, cpu: float
) -> None:
    watchdog, process, waited_s = Watchdog("panel", 0, Process(states, cpu)), "", 0.0
    while not process and waited_s < 1000.0:
        waited_s += TICK_S
        process = watchdog.check(0, TICK_S, ready=False, allowed_s=None)
    assert 10 * Limits().start_s < waited_s < 1000.0
    assert "not ready after" in process


def test_a_process_with_a_heartbeat_is_never_taken_to_hang() -> None:
    watchdog = Watchdog("stream", 0, Process("R", 1.0))
    for beat in range(500):
        assert watchdog.check(beat // 5, TICK_S, ready=True, allowed_s=None) == ""


def test_every_limit_in_steady_state_leaves_time_to_replace_a_process_within_two_seconds() -> None:
    for limits in (*LIMITS.values(), Limits()):
        assert limits.still_s <= 1.5
    assert LIMITS["stream"].computing_s <= 1.7


def test_a_pause_of_the_supervisor_is_not_held_against_a_process() -> None:
    ticks = PollClock(threading.Event())
    time.sleep(0.6)
    assert ticks.elapsed_s() <= 0.2


def test_this_process_is_found_running() -> None:
    seen = read_process_state(os.getpid())
    assert "R" in seen.states
    assert seen.cpu_s > 0
    assert read_process_state(2**22 + 1) == ProcessState(states=frozenset(), cpu_s=0.0)


Start = Callable[..., SupervisedProcess]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch, repository: Any) -> Iterator[Start]:
    """Start a child that does what the test wants."""
    monkeypatch.setitem(CHILDREN, "double", ChildSpec("tests.doubles.worker"))
    monkeypatch.setenv("PYTHONPATH", str(repository))
    started: list[SupervisedProcess] = []

    def begin(then: str, *, spare: bool = False, **options: Any) -> SupervisedProcess:
        process = SupervisedProcess("double", lambda: {"then": then, **options}, standby=spare)
        started.append(process)
        process.start()
        return process

    yield begin
    for process in started:
        process.stop()


def _run(process: SupervisedProcess, until: Callable[[], bool], limit_s: float = 60.0) -> float:
    """Supervise until something is true; gives for how long."""
    begin_s, stop = time.monotonic(), threading.Event()
    for elapsed_s in PollClock(stop):
        process.poll(elapsed_s)
        if until():
            break
        assert time.monotonic() - begin_s < limit_s, "it never came true"
    return time.monotonic() - begin_s


@pytest.mark.parametrize("then", ["sleep", "gil"])
def test_a_process_whose_loop_stalls_is_killed_and_restarted(then: str, start: Start) -> None:
    process = start(then)
    _run(process, lambda: process.ready is not None)
    assert process.child is not None
    pid = process.child.pid
    _run(process, process.reap)
    assert process.killed
    assert "it hangs" in process.problem
    assert process.restart_due
    process.start()
    _run(process, lambda: process.child is not None and process.child.ready)
    assert process.child.pid != pid


def test_a_process_that_is_stopped_is_killed(start: Start) -> None:
    process = start("beat")
    _run(process, lambda: process.ready is not None)
    assert process.child is not None
    os.kill(process.child.pid, signal.SIGSTOP)
    _run(process, process.reap)
    assert process.killed
    assert "stopped" in process.problem


def test_a_process_that_announces_a_longer_silence_is_not_killed(start: Start) -> None:
    process = start("allow", allow_s=60.0)
    _run(process, lambda: process.child is not None and process.child.allowed_s == 60.0)
    begin_s = time.monotonic()
    _run(process, lambda: process.reap() or time.monotonic() - begin_s > 2.5)
    assert process.child is not None
    assert not process.killed


def test_a_process_that_reports_without_end_costs_bounded_memory(start: Start) -> None:
    process = start("flood", after_s=0.0)
    assert process.child is not None
    reports = process.child._reports
    end_s = time.monotonic() + 30
    while not reports.full():
        assert time.monotonic() < end_s
        time.sleep(0.05)
    time.sleep(0.5)
    assert reports.qsize() == child_process._MAX_REPORTS


def test_a_process_that_cannot_be_started_is_reported_and_retried_with_back_off(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: Any, **_options: Any) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", full)
        process = start("beat", standby=True)
        assert process.reap()
        assert "resource temporarily unavailable" in process.problem
        assert not process.error_reported
        assert process.child is None
        process.start()
        assert process.reap()
        assert not process.restart_due, "the back-off has not been waited for"
    monkeypatch.setattr(supervised_process, "_BACK_OFF_S", (0.0,))
    process.start()
    _run(process, lambda: process.ready is not None)
    assert process.problem == ""


def test_a_child_restores_the_signals_that_its_parent_ignores(start: Start) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start("beat")
    finally:
        signal.signal(signal.SIGINT, before)
    _run(process, lambda: process.ready is not None)
    assert process.child is not None
    os.kill(process.child.pid, signal.SIGINT)
    _run(process, process.reap, 10.0)
    assert process.finished


def test_a_child_under_sigstop_is_killed_at_the_end() -> None:
    child = ChildProcess("results")
    os.kill(child.pid, signal.SIGSTOP)
    child.stop(0.2)
    assert not child.alive
