"""The processes of a live session, started for a benchmark, each with a known process id.

They are those that ``usassist live`` starts, with a loop as the source and an overlay without a window. Viewers are
clients of the page's own WebSocket in processes of their own.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from usassist.app.bench.process_usage import find_capture, read_sample
from usassist.app.bench.result_collector import ResultCollector
from usassist.app.bench.setup import Setup
from usassist.app.runtime.child_process import ChildProcess
from usassist.app.runtime.open_stream import StreamOptions
from usassist.app.runtime.private_bus import private_bus
from usassist.app.runtime.supervised_process import PollClock
from usassist.config import OpenIgtLinkConfig, PanelConfig
from usassist.errors import UsAssistError
from usassist.sinks.panel import page_options

__all__ = ["BenchSession"]

_READY_S = 60.0
_FIRST_S = 30.0
_FINISH_S = 30.0
_WATCHED = ("stream", "record")
_PANEL = PanelConfig(port=0)


class BenchSession:
    """Runs the processes of a setup. As a context manager all are stopped at the end.

    Parameters
    ----------
    setup : what runs
    folder : recordings go into folders in it; it must exist

    Attributes
    ----------
    collector : receives every result
    children : name → process; ``stream``, ``record``, ``overlay``, ``panel``, ``viewer 1``, ``stalled 1``, …
    folders : of the recordings, in order
    address : of the bus
    final_reports : of recorder, viewers and overlay
    """

    def __init__(self, setup: Setup, folder: Path) -> None:
        self.setup, self._folder = setup, folder
        self.children: dict[str, ChildProcess] = {}
        self.folders: list[Path] = []
        self.final_reports: dict[str, dict[str, Any]] = {}
        self.summary: dict[str, Any] | None = None
        self._stack = contextlib.ExitStack()
        self._url = ""
        self._numbers = 0
        self._clock = PollClock(threading.Event())

    def __enter__(self) -> Self:
        try:
            self.address = self._stack.enter_context(private_bus())
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.children):
            self._end(name)
        self._stack.close()

    def processes(self) -> dict[str, int]:
        """Name → process id, without viewers and stalled readers; ``capture`` is the stream's capture process."""
        found = {name: child.pid for name, child in list(self.children.items()) if " " not in name}
        capture = find_capture(found["stream"]) if "stream" in found else None
        return found if capture is None else found | {"capture": capture}

    def cpu_s(self) -> float:
        """Processor time of this process and all of these so far, s."""
        pids = {os.getpid(), *(child.pid for child in list(self.children.values())), *self.processes().values()}
        return sum(sample.cpu_s for sample in map(read_sample, pids) if sample is not None)

    def wait_for_frames(self) -> None:
        """Wait for the first result.

        Raises
        ------
        UsAssistError
            If none comes, or the stream has exited.
        """
        deadline_s = time.monotonic() + _FIRST_S
        while self.collector.count == 0:
            self.check()
            if time.monotonic() > deadline_s:
                session = self.collector.session
                why = session.signal.reason if session is not None and session.signal is not None else "no session"
                raise UsAssistError(f"no result came in {_FIRST_S:.0f} s ({why}); run usassist doctor")
            time.sleep(0.05)

    def check(self) -> None:
        """Check that all processes run, and that neither stream nor recorder hangs.

        Raises
        ------
        UsAssistError
            With the name of the process and its error.
        """
        elapsed_s = self._clock.elapsed_s()
        for name, child in list(self.children.items()):
            if not child.alive:
                child.wait_for("nothing", timeout_s=1.0)
                raise UsAssistError(f"the process {name} has died; run usassist doctor")
            if name in _WATCHED and (reason := child.hang_reason(elapsed_s)):
                child.kill()
                raise UsAssistError(f"the process {name} was killed: {reason}; run usassist doctor")

    def add_page(self) -> None:
        """Start the page, where the setup has none."""
        self._ready(self._begin("panel", "panel", page_options(self.address, _PANEL)))

    def add_window(self) -> str:
        """Add an overlay window; gives its name. It needs a display."""
        return self._ready(self._begin("window", "bench_window", {"address": self.address}))

    def add_viewer(self, *, keep: bool = True) -> str:
        """Add a viewer; gives its name."""
        return self._ready(self._begin(f"viewer {self._next()}", "bench_viewer", {"url": self._url, "keep": keep}))

    def add_link(self) -> int:
        """Start the server for OpenIGTLink clients; gives its port."""
        settings = dataclasses.asdict(OpenIgtLinkConfig(port=0))
        self._begin("openigtlink", "openigtlink", {"address": self.address, "openigtlink": settings})
        return int(self.children["openigtlink"].wait_for("ready", timeout_s=_READY_S)["port"])

    def add_link_client(self, port: int, reader: str) -> str:
        """Add an OpenIGTLink client that reads with ``usassist`` or ``pyigtl``; gives its name."""
        return self._ready(self._begin(f"client {self._next()}", "bench_openigtlink", {"port": port, "reader": reader}))

    def add_stalled(self, count: int) -> list[str]:
        """Add readers that subscribe to everything and are then stopped (SIGSTOP); gives their names."""
        options = {"address": self.address}
        names = [self._begin(f"stalled {self._next()}", "bench_stalled", options) for _ in range(count)]
        for name in names:
            self._ready(name)
            os.kill(self.children[name].pid, signal.SIGSTOP)
        return names

    def remove(self, name: str) -> None:
        """Stop a viewer or a stalled reader; the final report of a viewer is in ``final_reports``."""
        child = self.children[name]
        if name.startswith("stalled"):
            os.kill(child.pid, signal.SIGKILL)
        elif child.alive:
            child.terminate()
            self.final_reports[name] = child.wait_for("done", timeout_s=_FINISH_S)
        self._end(name)

    def kill(self, name: str) -> None:
        """Kill a process at once, as a crash would."""
        os.kill(self.children[name].pid, signal.SIGKILL)
        self._end(name)

    def rename(self, name: str) -> str:
        """Free a name for another process; gives the new name of the one that had it."""
        other = f"{name} {self._next()}"
        self.children[other] = self.children.pop(name)
        return other

    def start_recorder(self) -> Path:
        """Start a recorder with a folder of its own."""
        folder = self._folder / f"session-{len(self.folders) + 1}"
        self._ready(self._begin("record", "record", {"address": self.address, "folder": str(folder)}))
        self.folders.append(folder)
        return folder

    def shut_down(self) -> dict[str, Any]:
        """The stream publishes its final session message, the recorder writes it, then all processes stop.

        Returns
        -------
        summary : of the stream
        """
        for name in [name for name in self.children if name.startswith("stalled")]:
            self.remove(name)
        stream = self.children["stream"]
        stream.terminate()
        wanted = "ended" if self.setup.record else "done"
        self.summary = stream.wait_for(wanted, timeout_s=_FINISH_S)["summary"]
        if "record" in self.children:
            self.final_reports["record"] = self.children["record"].wait_for("done", timeout_s=_FINISH_S)
        for name in [name for name in self.children if name.startswith(("viewer", "overlay", "window", "client"))]:
            self.remove(name)
        time.sleep(0.2)  # the last results are in flight
        return self.summary

    def _start(self) -> None:
        setup = self.setup
        options = StreamOptions(
            source=setup.source,
            bus=self.address,
            engine=setup.engine,
            backend=setup.backend,
            precision=setup.precision,
            threads=setup.threads,
        )
        self._begin("stream", "stream", dataclasses.asdict(options) | {"archives": int(setup.record)})
        if setup.viewers:
            self._begin("panel", "panel", page_options(self.address, _PANEL))
        if setup.overlay:
            self._begin("overlay", "bench_overlay", {"address": self.address})
        if setup.record:
            self.start_recorder()
        for name in [name for name in self.children if name != "record"]:
            self._ready(name)
        self.collector = self._stack.enter_context(ResultCollector(self.address))
        self.wait_for_frames()
        for _ in range(setup.viewers):
            self.add_viewer()
        self.add_stalled(setup.stalled)

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _begin(self, name: str, kind: str, options: dict[str, Any]) -> str:
        child = self.children[name] = ChildProcess(kind)
        child.start(options)
        return name

    def _ready(self, name: str) -> str:
        report = self.children[name].wait_for("ready", timeout_s=_READY_S)
        self._url = report.get("url", self._url)
        return name

    def _end(self, name: str) -> None:
        child = self.children.pop(name, None)
        if child is None:
            return
        if name.startswith("stalled") and child.alive:
            os.kill(child.pid, signal.SIGKILL)
        child.stop()
