"""Readers whose process stands still: what they cost the publisher. Memory is measured, never time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.samples import make_frame, make_result
from usassist.bus import Publisher
from usassist.clock import MonotonicClock

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc (Linux)")

_READERS = 10
_LIMIT_BYTES = 64 * 2**20
_READER = """
import os, sys
from usassist.bus import Subscriber
address, service, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
for _ in range(count):  # one start of Python for all of them
    if os.fork() == 0:
        with Subscriber(address, ("frame", "result", "engine", "session", "health", "mark"), service) as reader:
            told = False
            for message in reader.each(1000, lambda: os.getppid() == 1):
                if not told:
                    os.write(1, b"%d\\n" % os.getpid())
                    told = True
        os._exit(0)
sys.stdin.read()
"""


class _Readers:
    """Ten processes that read one stream, and can be made to stand still."""

    def __init__(self, address: str, service: str) -> None:
        command = [sys.executable, "-c", _READER, address, service, str(_READERS)]
        pipe = subprocess.PIPE
        self._parent = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.pids: list[int] = []

    def wait(self, publisher: Publisher) -> None:
        """Publish until all of them have received something."""
        assert self._parent.stdout is not None
        os.set_blocking(self._parent.stdout.fileno(), False)
        text = b""
        for number in range(20_000):
            publisher.result(make_result(number))
            publisher.frame(make_frame(number, (8, 8)))
            text += self._parent.stdout.read() or b""
            if text.count(b"\n") == _READERS:
                self.pids = [int(line) for line in text.split()]
                return
            signal.sigtimedwait([], 0.005)
        raise AssertionError(f"of {_READERS} readers came {text.split()}")

    def end(self) -> None:
        os.killpg(self._parent.pid, signal.SIGKILL)
        self._parent.communicate()


@pytest.fixture(params=["view", "archive"])
def readers(request: pytest.FixtureRequest, bus_address: str) -> Iterator[_Readers]:
    readers = _Readers(bus_address, request.param)
    yield readers
    readers.end()


def test_ten_readers_that_stand_still_cost_the_publisher_less_than_64_mib(readers: _Readers, bus_address: str) -> None:
    frame = make_frame(0, (720, 1280), 3)
    publisher = Publisher(bus_address, "us0", MonotonicClock(), frame_bytes=frame.image.nbytes)
    try:
        readers.wait(publisher)
        _publish(publisher, frame, 30)
        before = _resident_bytes()
        peak = before
        for pid in readers.pids:  # one after the other, so that each is left with messages of its own
            os.kill(pid, signal.SIGSTOP)
            peak = max(peak, _publish(publisher, frame, 20))
        peak = max(peak, _publish(publisher, frame, 150))
        assert peak - before < _LIMIT_BYTES
    finally:
        publisher.close()


def _publish(publisher: Publisher, frame: object, count: int) -> int:
    """Publish frames with their results, and give the most memory that was in use meanwhile."""
    peak = 0
    for number in range(count):
        publisher.frame(frame)  # type: ignore[arg-type]
        publisher.result(make_result(number))
        peak = max(peak, _resident_bytes())
        signal.sigtimedwait([], 0.002)
    return peak


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
