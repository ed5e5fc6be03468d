"""What readers that stand still cost a publisher, in a process of its own: ``python -m tests.unit.bus.stalled``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.samples import make_frame, make_result
from usassist.bus import Publisher
from usassist.common.clock import MonotonicClock

READERS = 10
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


def main() -> None:
    """Print how many bytes the publisher has grown by."""
    address, service = sys.argv[1:]
    readers = _Readers(address, service)
    frame = make_frame(0, (720, 1280), 3)
    publisher = Publisher(address, "us0", MonotonicClock(), frame_bytes=frame.image.nbytes)
    try:
        readers.wait(publisher)
        _publish(publisher, frame, 30)
        before = peak = _resident_bytes()
        for pid in readers.pids:  # one after the other, so that each is left with messages of its own
            os.kill(pid, signal.SIGSTOP)
            peak = max(peak, _publish(publisher, frame, 20))
        sys.stdout.write(f"{max(peak, _publish(publisher, frame, 150)) - before}\n")
    finally:
        readers.end()
        publisher.close()


class _Readers:
    """Ten processes that read one stream, and can be made to stand still."""

    def __init__(self, address: str, service: str) -> None:
        command = [sys.executable, "-c", _READER, address, service, str(READERS)]
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
            if text.count(b"\n") == READERS:
                self.pids = [int(line) for line in text.split()]
                return
            signal.sigtimedwait([], 0.005)
        raise AssertionError(f"of {READERS} readers came {text.split()}")

    def end(self) -> None:
        os.killpg(self._parent.pid, signal.SIGKILL)
        self._parent.communicate()


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


if __name__ == "__main__":
    main()
