"""What holds for every test: Ctrl-C works, none runs for ever, and one that fails leaves no process behind.

A test has the time that ``timeout`` in ``pyproject.toml`` or its own marker gives it. Then the stacks of all threads
are printed and it fails (pytest-timeout, by SIGALRM, which reaches the main thread wherever it waits in Python). A main
thread that stands in a library and never comes back to Python takes no signal: ``--grace`` seconds later the stacks
are printed, and the whole run ends.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


def restore_signals() -> None:
    """Undo what shells do to programs in the background, and some CI runners to all: SIGINT or SIGTERM ignored.

    What is ignored here stays ignored in every program that a test starts, so none of them could be ended.
    """
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGALRM})


class Limits:
    """Hooks of pytest, for all tests."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._stderr = os.dup(sys.stderr.fileno())  # of the run; during a test it is captured
        self._began_s = 0.0
        self._left: dict[int, float] = {}

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_timeout_set_timer(self, settings: Any) -> Generator[None, Any, Any]:
        """A second limit, for what no signal reaches."""
        faulthandler.dump_traceback_later(settings.timeout + self._grace_s, exit=True, file=self._stderr)
        return (yield)

    @pytest.hookimpl(wrapper=True, optionalhook=True)
    def pytest_timeout_cancel_timer(self) -> Generator[None, Any, Any]:
        """The test has ended in time."""
        faulthandler.cancel_dump_traceback_later()
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self._began_s = time.clock_gettime(time.CLOCK_BOOTTIME)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        self._began_s = time.clock_gettime(time.CLOCK_BOOTTIME)  # what fixtures started is theirs to end

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, call: pytest.CallInfo[None]) -> None:
        """Before the fixtures end what they know of, and its children become those of init."""
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            self._left |= descendants(since_s=self._began_s)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self) -> Generator[None, None, None]:
        try:
            return (yield)
        finally:
            for pid, began_s in self._left.items():
                if started_s(pid) == began_s:  # and not another that has its number now
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            self._left.clear()


def descendants(since_s: float) -> dict[int, float]:
    """Processes that this one has started, and theirs, since a moment of the clock that runs from the boot.

    Returns
    -------
    pids : with the moment when each was started, s since the boot
    """
    table = {int(path.name): _stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
    parents = {pid: int(fields[1]) for pid, fields in table.items() if fields}
    found = {}
    for pid in parents:
        above = parents[pid]
        while above in parents and above != os.getpid():
            above = parents[above]
        began_s = started_s(pid)
        if above == os.getpid() and began_s is not None and began_s >= since_s - 0.02:
            found[pid] = began_s
    return found


def started_s(pid: int) -> float | None:
    """Moment of its start, s since the boot; None where there is none, or one that has ended and was not waited for."""
    fields = _stat(pid)
    return None if not fields or fields[0] == "Z" else int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """What ``/proc/PID/stat`` says behind the name: state, parent, …; empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []
