"""Runs ``usassist live`` as a user does, and listens to it meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from usassist.bus import Subscriber

__all__ = ["DOUBLES", "LiveSession", "Seen", "rss_mb", "worker_pids"]

DOUBLES = Path(__file__).resolve().parent.parent / "doubles" / "hanging"

WORKER = b"usassist.app.runtime.worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One result, as a viewer gets it."""

    t_s: float
    session_id: str
    frame_id: int
    state: str
    cause: str | None
    reason: str
    backend: str

    @property
    def answered(self) -> bool:
        """It holds an answer."""
        return self.state in ("finding", "no_finding")


class LiveSession:
    """A live session in a process of its own; as a context manager it is gone at the end.

    Parameters
    ----------
    folder : for recordings
    options : of the command
    engine : what an engine is to do, see ``tests/doubles/hanging``; without the folder
    """

    def __init__(
        self, folder: Path, *options: str, engine: str = "", environment: dict[str, str] | None = None
    ) -> None:
        self._sockets = tempfile.TemporaryDirectory(prefix="usa")
        self.address = f"ipc://{self._sockets.name}"
        self.folder, self.results = folder, list[Seen]()
        self.stderr: list[str] = []
        values = dict(os.environ if environment is None else environment)
        if engine:
            (folder / "engine").mkdir()
            values["USASSIST_TEST_ENGINE"] = f"{engine},{folder / 'engine'}"
            values["PYTHONPATH"] = f"{DOUBLES}:{values.get('PYTHONPATH', '')}"
        command = [sys.executable, "-m", "usassist", "live", "--out", str(folder / "out"), "--bus", self.address]
        self.process = subprocess.Popen(
            [*command, "--json", *options],
            env=values,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._over = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._listen, self._read)]
        for thread in self._threads:
            thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.stderr += [""]
        for line in self.process.stderr:
            self.stderr.append(line.rstrip())

    def _listen(self) -> None:
        with Subscriber(self.address, ("result",)) as subscriber:
            while not self._over.is_set():
                for message in subscriber.events(50):
                    body: Any = message.body
                    self.results.append(
                        Seen(
                            t_s=time.monotonic(),
                            session_id=body.session_id,
                            frame_id=body.frame_id,
                            state=str(body.state),
                            cause=None if body.cause is None else str(body.cause),
                            reason=body.reason,
                            backend=body.backend,
                        )
                    )

    def until(self, condition: Callable[[], Any], what: str, limit_s: float = 120.0) -> float:
        """Wait until something holds; gives the time, monotonic s."""
        end_s = time.monotonic() + limit_s
        while not condition():
            if self.process.poll() is not None:
                raise AssertionError(f"{what}: it has ended\n" + "\n".join(self.stderr))
            if time.monotonic() > end_s:
                raise AssertionError(f"{what}: not in {limit_s:.0f} s\n" + "\n".join(self.stderr))
            time.sleep(0.01)
        return time.monotonic()

    def answers(self) -> int:
        """How many answers have come."""
        return sum(seen.answered for seen in self.results)

    def pids(self) -> dict[str, list[int]]:
        """Name → process ids of its children, the running one first."""
        return worker_pids(self.process.pid)

    def end(self) -> dict[str, Any]:
        """End it in order; gives its report."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.stdout is not None
        report: dict[str, Any] = json.loads(self.process.stdout.read())
        self.process.wait(60)
        return report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            for pid in (pid for pids in self.pids().values() for pid in pids):
                os.kill(pid, signal.SIGKILL)
            self.process.kill()
        self.process.wait()
        self._over.set()
        for thread in self._threads:
            thread.join()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()
        self._sockets.cleanup()


def worker_pids(of_pid: int) -> dict[str, list[int]]:
    """Name → process ids of the children of a command, the running one first, then its warm standby."""
    found: dict[str, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError, IndexError):
            continue
        if parent == of_pid and WORKER in arguments:
            module = arguments[arguments.index(WORKER) + 1].decode()
            found.setdefault(module.rpartition(".")[2], []).append(int(entry.name))
    return {name: sorted(pids) for name, pids in found.items()}


def rss_mb(pid: int) -> float:
    """Resident memory of a process, MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
