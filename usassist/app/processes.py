"""The table of processes, and how one is started, told and watched.

A child gets its options as one line of JSON on standard input and answers with lines of JSON on standard output:
``ready`` when it is set up, then ``done`` with its counts or ``error`` with one clear line. When its standard input
ends, its parent is gone. A child has a process group of its own, so that Ctrl-C in a terminal reaches the parent
only, which then ends the stream in order.

============= ========================== ================================ =====================
name          module                     reads                            writes
============= ========================== ================================ =====================
stream        usassist.app.streaming     a source                         all topics
record        usassist.sinks.record      all topics                       a session folder
results       usassist.sinks.results     result, engine, session          results.jsonl
overlay_video usassist.sinks.overlay     frame, result, engine, session   a video file
overlay       usassist.sinks.overlay     frame, result, engine, session   a window
panel         usassist.sinks.panel       all topics                       a page in the browser
bench_…       usassist.app.bench.rig     as the above do                  nothing: for measuring
============= ========================== ================================ =====================
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from usassist.errors import UsAssistError

__all__ = ["CHILDREN", "Child", "Report"]

# name → module whose `work(options, parent)` the child runs; see app/worker.py
CHILDREN: dict[str, str] = {
    "stream": "usassist.app.children.stream",
    "record": "usassist.app.children.record",
    "results": "usassist.app.children.results",
    "overlay_video": "usassist.app.children.overlay_video",
    "overlay": "usassist.app.children.overlay",
    "panel": "usassist.app.children.panel",
    "bench_overlay": "usassist.app.children.bench_overlay",
    "bench_stalled": "usassist.app.children.bench_stalled",
    "bench_viewer": "usassist.app.children.bench_viewer",
}


@dataclass(slots=True, kw_only=True)
class Report:
    """What a child has said."""

    event: str
    content: dict[str, Any]


class Child:
    """One child process. It imports what it needs at once and starts to work when it gets its options.

    As a context manager it is gone at the end.

    Parameters
    ----------
    name : from :data:`CHILDREN`
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._reports: queue.Queue[Report] = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "usassist.app.worker", CHILDREN[name]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            text=True,
            encoding="utf-8",
        )
        self._listener = threading.Thread(target=self._listen, name=f"{name} reports", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # asked for above
        for line in self._process.stdout:
            try:
                content = json.loads(line)
                self._reports.put(Report(event=content.pop("event"), content=content))
            except (json.JSONDecodeError, KeyError, AttributeError):
                sys.stderr.write(line)
        self._reports.put(Report(event="gone", content={}))

    def begin(self, options: dict[str, Any]) -> None:
        """Send the options."""
        assert self._process.stdin is not None  # asked for above
        try:
            self._process.stdin.write(json.dumps(options) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise UsAssistError(f"the process {self.name} ended before it began; run usassist doctor") from None

    @property
    def alive(self) -> bool:
        """True while it runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait_for(self, *events: str, timeout_s: float) -> dict[str, Any]:
        """Wait for one of the events.

        Returns
        -------
        content : what came with it

        Raises
        ------
        UsAssistError
            If the child reports an error, dies, or says nothing in time.
        """
        deadline = time.monotonic() + timeout_s
        while (remaining_s := deadline - time.monotonic()) > 0:
            try:
                report = self._reports.get(timeout=remaining_s)
            except queue.Empty:
                break
            if report.event in events:
                return report.content
            if report.event == "error":
                error = UsAssistError(report.content["message"])
                error.exit_code = report.content.get("exit_code", 1)
                raise error
            if report.event == "gone":
                code = self._process.wait()
                raise UsAssistError(f"the process {self.name} ended with exit code {code}; run usassist doctor")
        raise UsAssistError(f"the process {self.name} did not answer in {timeout_s:.0f} s; run usassist doctor")

    def said(self) -> Report | None:
        """What it has said and nobody has heard yet, at once; None when there is nothing."""
        try:
            return self._reports.get_nowait()
        except queue.Empty:
            return None

    def ask_to_end(self) -> None:
        """Ask it to finish what it does; it stays until :meth:`end`."""
        if self.alive:
            self._process.terminate()

    def end(self, timeout_s: float = 5.0) -> None:
        """Tell it that its parent is going, and make sure that it is gone too."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._listener.join(1.0)
        if self._process.stdout is not None and not self._listener.is_alive():
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
