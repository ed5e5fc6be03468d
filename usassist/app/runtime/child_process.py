"""A child process, from its parent's side; the other side is ``app/runtime/worker.py``.

A child reads its options as one line of JSON from standard input and reports in lines of JSON on standard output:
``ready`` when it is set up, then ``done`` with its counts or ``error`` with one clear line; in between ``beat``, the
heartbeat, up to five times a second while its main loop iterates (``app/runtime/watchdog.py`` judges by that). What
follows the options on its standard input are messages, also in JSON; end of file there means that its parent is gone.
A child has its own process group, so that Ctrl-C in a terminal reaches the parent only, which then shuts down in order.
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

__all__ = ["ChildProcess", "ChildReport", "ChildTimeoutError"]

_MAX_REPORTS = 256  # in the queue; a child that reports more blocks
_KILL_S = 2.0


class ChildTimeoutError(UsAssistError):
    """A child did not report what was waited for before the timeout."""


@dataclass(slots=True, kw_only=True)
class ChildReport:
    """One report of a child."""

    event: str
    content: dict[str, Any]


class ChildProcess:
    """One child process. It imports its module at once, and works when it gets its options.

    As a context manager it is stopped at the end.

    Parameters
    ----------
    name : from ``process_table.CHILDREN``

    Attributes
    ----------
    beats : heartbeats and other reports so far
    allowed_s : how long it may be silent from now on, as it has announced; None = the usual limit
    ready : it has reported ``ready``

    Raises
    ------
    OSError, RuntimeError
        If no process or thread can be started.
    """

    def __init__(self, name: str) -> None:
        spec = CHILDREN[name]
        self.name = name
        self.beats = 0
        self.allowed_s: float | None = None
        self.ready = False
        self._reports: queue.Queue[ChildReport] = queue.Queue(_MAX_REPORTS)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "usassist.app.runtime.worker", spec.module, str(spec.niceness)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,
            text=True,
            encoding="utf-8",
        )
        self._watchdog = Watchdog(name, self._process.pid)
        self._reader = threading.Thread(target=self._read_stdout, name=f"{name} reports", daemon=True)
        try:
            self._reader.start()
        except RuntimeError:
            self._process.kill()
            self._process.communicate()
            raise

    def _read_stdout(self) -> None:
        assert self._process.stdout is not None  # asked for above
        for line in self._process.stdout:
            try:
                content = json.loads(line)
                self._take(ChildReport(event=content.pop("event"), content=content))
            except (json.JSONDecodeError, KeyError, AttributeError):
                sys.stderr.write(line)
        self._reports.put(ChildReport(event="gone", content={}))  # always the last report

    def _take(self, report: ChildReport) -> None:
        """Count a heartbeat, queue every other report; a full queue blocks the child."""
        self.beats += 1
        if report.event == "beat":
            self.allowed_s = report.content.get("allowed_s")
            return
        self.ready = self.ready or report.event == "ready"
        self._reports.put(report)

    def hang_reason(self, elapsed_s: float) -> str:
        """Why this process is taken to hang; empty = it does not. See :meth:`Watchdog.check`."""
        return self._watchdog.check(self.beats, elapsed_s, ready=self.ready, allowed_s=self.allowed_s)

    def kill(self) -> None:
        """Kill it (SIGKILL)."""
        self._process.kill()

    def start(self, options: dict[str, Any]) -> None:
        """Send the options; the child starts to work."""
        assert self._process.stdin is not None  # asked for above
        try:
            line = json.dumps({"log_level": logging.getLogger().getEffectiveLevel(), "options": options})
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except OSError:
            raise UsAssistError(f"the process {self.name} exited before it was ready; run usassist doctor") from None

    def send(self, message: dict[str, Any]) -> bool:
        """Send a message to a child that has its options; see ``Parent.messages``.

        Returns
        -------
        sent : False where it is gone
        """
        assert self._process.stdin is not None  # asked for above
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    @property
    def alive(self) -> bool:
        """True while it runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, as of ``subprocess.Popen.returncode``; None while it runs."""
        return self._process.poll()

    def wait_for(self, *events: str, timeout_s: float, others: list[ChildReport] | None = None) -> dict[str, Any]:
        """Wait for one of the events.

        Parameters
        ----------
        events : names of reports
        timeout_s : longest wait
        others : gets the other reports that come meanwhile

        Returns
        -------
        content : of the report

        Raises
        ------
        ChildTimeoutError
            If none comes in time.
        UsAssistError
            If it reports an error, or exits.
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
                raise UsAssistError(f"the process {self.name} exited with code {code}; run usassist doctor")
            if others is not None:
                others.append(report)
        raise ChildTimeoutError(f"the process {self.name} did not answer in {timeout_s:.0f} s; run usassist doctor")

    def next_report(self, timeout_s: float = 0.0) -> ChildReport | None:
        """The next report in the queue; None where none comes before the timeout."""
        try:
            return self._reports.get(timeout=timeout_s) if timeout_s else self._reports.get_nowait()
        except queue.Empty:
            return None

    def terminate(self) -> None:
        """Ask it to finish (SIGTERM); :meth:`stop` waits for it."""
        if self.alive:
            self._process.terminate()

    def release(self) -> None:
        """Close its standard input, so that it exits when it is done; does not wait."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def stop(self, timeout_s: float = 5.0) -> None:
        """Release it, wait for it to exit, and kill it after the timeout."""
        self.release()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):  # in uninterruptible sleep until its device answers
                self._process.wait(_KILL_S)
        self._reader.join(1.0)
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
