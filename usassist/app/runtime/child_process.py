"""How a child process is started, told and watched.

A child gets its options as one line of JSON on standard input and answers with lines of JSON on standard output:
``ready`` when it is set up, then ``done`` with its counts or ``error`` with one clear line; in between ``beat``, up to
five times a second, as long as its main loop comes round (``app/runtime/watchdog.py`` judges by that). When its
standard input ends, its parent is gone. A child has a process group of its own, so that Ctrl-C in a terminal reaches
the parent only, which then ends the stream in order.
"""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from usassist.app.runtime.process_table import CHILDREN
from usassist.app.runtime.watchdog import Watchdog
from usassist.errors import UsAssistError

__all__ = ["Child", "ChildSilentError", "Report"]

_MAX_REPORTS = 256  # that wait to be read
_KILL_S = 2.0


class ChildSilentError(UsAssistError):
    """A child has not reported what was waited for, in the time that was given."""


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
    name : from ``process_table.CHILDREN``

    Attributes
    ----------
    beats : signs of progress so far
    allowed_s : for how long it may be silent from now on, as it has announced; None = as usual
    ready : it has been set up

    Raises
    ------
    OSError, RuntimeError
        If this machine has no process or no thread left for it.
    """

    def __init__(self, name: str) -> None:
        spec = CHILDREN[name]
        self.name = name
        self.beats = 0
        self.allowed_s: float | None = None
        self.ready = False
        self._reports: queue.Queue[Report] = queue.Queue(_MAX_REPORTS)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "usassist.app.runtime.worker", spec.module, str(spec.niceness)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            text=True,
            encoding="utf-8",
        )
        self._watchdog = Watchdog(name, self._process.pid)
        self._listener = threading.Thread(target=self._listen, name=f"{name} reports", daemon=True)
        try:
            self._listener.start()
        except RuntimeError:
            self._process.kill()
            self._process.communicate()
            raise

    def _listen(self) -> None:
        assert self._process.stdout is not None  # asked for above
        for line in self._process.stdout:
            try:
                content = json.loads(line)
                self._take(Report(event=content.pop("event"), content=content))
            except (json.JSONDecodeError, KeyError, AttributeError):
                sys.stderr.write(line)
        self._reports.put(Report(event="gone", content={}))  # the last one

    def _take(self, report: Report) -> None:
        """Count a beat, and keep everything else; a child that talks without end waits until it is listened to."""
        self.beats += 1
        if report.event == "beat":
            self.allowed_s = report.content.get("allowed_s")
            return
        self.ready = self.ready or report.event == "ready"
        self._reports.put(report)

    def why_hung(self, elapsed_s: float) -> str:
        """Why this process is taken to hang; empty = it is not. See :meth:`Watchdog.check`."""
        return self._watchdog.check(self.beats, elapsed_s, ready=self.ready, allowed_s=self.allowed_s)

    def kill(self) -> None:
        """End it at once, whatever it does."""
        self._process.kill()

    def begin(self, options: dict[str, Any]) -> None:
        """Send the options."""
        assert self._process.stdin is not None  # asked for above
        try:
            line = json.dumps({"log_level": logging.getLogger().getEffectiveLevel(), "options": options})
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
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
        ChildSilentError
            If the child says nothing in time.
        UsAssistError
            If it reports an error, or dies.
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
        raise ChildSilentError(f"the process {self.name} did not answer in {timeout_s:.0f} s; run usassist doctor")

    def said(self, timeout_s: float = 0.0) -> Report | None:
        """What it has said and nobody has heard yet; None when there is nothing in the time given."""
        try:
            return self._reports.get(timeout=timeout_s) if timeout_s else self._reports.get_nowait()
        except queue.Empty:
            return None

    def ask_to_end(self) -> None:
        """Ask it to finish what it does; it stays until :meth:`end`."""
        if self.alive:
            self._process.terminate()

    def leave(self) -> None:
        """Tell it that it is not needed any more, and do not wait for it."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def end(self, timeout_s: float = 5.0) -> None:
        """Tell it that its parent is going, and make sure that it is gone too."""
        self.leave()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # one that waits for a device goes when it answers
                self._process.wait(_KILL_S)
        self._listener.join(1.0)
        if self._process.stdout is not None and not self._listener.is_alive():
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
