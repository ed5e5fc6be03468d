"""How ``usassist live`` starts with page and recording while other processes keep the machine busy.

``python -m tools.start_report --starts 20 --busy 2`` starts it again and again and prints, of every start, the times
from the command to the first result, to the page being ready and to the first picture that a page received, and whether
the recording is whole. It exits with 1 where a start failed or a recording was ended by it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usassist.app.runtime.private_bus import private_bus
from usassist.bus import Subscriber
from usassist.session import open_session

_SOURCE = "loop:demo"
_LIMIT_S = 120.0
_SPIN = "while True: sum(range(10000))"


@dataclass(slots=True, kw_only=True)
class Start:
    """One start; times in s from the command, None where it never came."""

    result_s: float | None = None
    page_s: float | None = None
    picture_s: float | None = None
    returncode: int | None = None
    sessions: int = 0
    restarts: str = ""
    frames: int = 0
    lost: int = 0
    recording: str = ""
    last_line: str = ""

    @property
    def is_good(self) -> bool:
        """The page showed a picture, nothing was restarted, and one recording was closed in order."""
        came = None not in (self.result_s, self.page_s, self.picture_s)
        return came and self.returncode == 0 and not self.restarts and self.recording == "closed" and self.frames > 0


@contextlib.contextmanager
def _busy(count: int) -> Iterator[None]:
    """Processes that compute all the time."""
    processes = [subprocess.Popen([sys.executable, "-c", _SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


class _Live:
    """``usassist live`` as a user starts it, with what is heard of it."""

    def __init__(self, bus: str, folder: str, source: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "usassist", "live", "--source", source, "--out", folder, "--bus", bus]
        self.start = Start()
        self._bus, self._began_s = bus, time.monotonic()
        self._over = threading.Event()
        self._lines: list[str] = []
        self.url = ""
        self._process = subprocess.Popen(
            [*command, "--port", str(port), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._read)]
        for thread in self._threads:
            thread.start()

    def _since_s(self) -> float:
        return time.monotonic() - self._began_s

    def _listen(self) -> None:
        with Subscriber(self._bus, ("result",)) as subscriber:
            while not self._over.is_set() and self.start.result_s is None:
                if any(True for _ in subscriber.events(20)):
                    self.start.result_s = self._since_s()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._lines.append(line.rstrip())
            if "the page is at" in line and self.start.page_s is None:
                self.start.page_s = self._since_s()
                self.url = line.split("the page is at", 1)[1].split()[0]

    def watch(self, seconds: float) -> None:
        """Wait for the first picture as a browser does, and then let it run."""
        while self._process.poll() is None and self._since_s() < _LIMIT_S and not self.url:
            time.sleep(0.02)
        if self.url:
            self.start.picture_s = self._first_picture()
        end_s = time.monotonic() + seconds
        while self._process.poll() is None and time.monotonic() < end_s:
            time.sleep(0.1)

    def _first_picture(self) -> float | None:
        from tools.page_client import first_picture

        return self._since_s() if first_picture(self.url, _LIMIT_S - self._since_s()) else None

    def end(self) -> Start:
        """End it with Ctrl-C, and look at what it has recorded."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        assert self._process.stdout is not None
        text = self._process.stdout.read()
        start = self.start
        start.returncode = self._process.wait(60)
        self._over.set()
        for thread in self._threads:
            thread.join()
        start.last_line = self._lines[-1] if self._lines else ""
        if not text.strip():
            return start
        report: dict[str, Any] = json.loads(text)
        start.sessions = len(report["sessions"])
        start.restarts = ", ".join(f"{name} {count}" for name, count in report["restarts"].items())
        start.lost = report["messages_lost"]
        if report["folders"]:
            session = open_session(Path(report["folders"][0]))
            start.frames = len(session.frames)
            start.recording = session.manifest.recording
        return start


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run the starts and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--busy", type=int, default=2, help="processes that compute meanwhile")
    parser.add_argument("--seconds", type=float, default=3.0, help="that each runs on after the first picture")
    parser.add_argument("--source", default=_SOURCE)
    options = parser.parse_args()
    starts = []
    _say(f"{os.cpu_count()} processors, {options.busy} busy processes, source {options.source}")
    _say("start  first result  page ready  first picture  recorded frames  lost messages  restarts")
    with _busy(options.busy):
        for number in range(1, options.starts + 1):
            with private_bus() as bus, tempfile.TemporaryDirectory(prefix="usassist-starts-") as folder:
                live = _Live(bus, folder, options.source)
                live.watch(options.seconds)
                starts.append(start := live.end())
            times = "".join(
                f"{'never' if value is None else f'{value:.1f} s':>14}"
                for value in (start.result_s, start.page_s, start.picture_s)
            )
            told = start.restarts or ("none" if start.is_good else f"FAILED: {start.last_line}")
            _say(f"{number:>5}{times}{start.frames:>14}{start.lost:>15}    {told}")
    good = sum(start.is_good for start in starts)
    for name in ("result_s", "page_s", "picture_s"):
        values = [value for start in starts if (value := getattr(start, name)) is not None]
        if values:
            _say(f"{name}: median {statistics.median(values):.1f}, longest {max(values):.1f}")
    _say(f"{good} of {len(starts)} came up with page and one whole recording")
    return 0 if good == len(starts) else 1


if __name__ == "__main__":
    sys.exit(main())
