"""Building in a child process, so that a crash, an interrupt or a lack of memory never affects the stream.

The child is ``python -m usassist.engine.build_child``. It reports progress on standard output, one line of JSON at a
time. Its standard input is a pipe that only the parent holds; the child ends when the pipe closes. It may be killed at
any time: the cache never holds anything half-written.
"""

from __future__ import annotations

import collections
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from typing import IO, Any, Literal

from usassist.common.closeable import Closeable
from usassist.config import in_force
from usassist.engine.spec import EngineSpec
from usassist.errors import EngineError

__all__ = ["BuildJob", "BuildState"]

logger = logging.getLogger(__name__)

_PIPE_TIMEOUT_S = 1.0
_CANCELLED = "the build was cancelled"
_ENDS = {
    "SIGKILL": "was killed (SIGKILL), as happens when memory runs out; free memory, or build on a larger machine",
    "SIGSEGV": "crashed (SIGSEGV); install its runtime again, or use another --backend",
    "SIGABRT": "aborted (SIGABRT); install its runtime again, or use another --backend",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildState:
    """State of a build.

    Attributes
    ----------
    state : ``building``, ``done`` or ``failed``
    stage : what is being done
    share : how much of the stage is done, 0 to 1
    built : False when the plan was there already
    path : where the plan lies, when it is done
    reason : one line, when it failed
    exit_code : of a command line that failed for this reason
    """

    state: Literal["building", "done", "failed"] = "building"
    stage: str = "starting"
    share: float = 0.0
    built: bool = False
    path: str = ""
    reason: str = ""
    exit_code: int = 0


class BuildJob(Closeable):
    """One running build. Nothing here blocks, except :meth:`close` until the process has ended.

    Parameters
    ----------
    spec : the engine
    backend, precision : as for ``usassist.engine.opening.prepare``, which is what the child runs
    niceness : of the child, 0 to 19

    Raises
    ------
    EngineError
        If no process can be started.
    """

    def __init__(self, spec: EngineSpec, backend: str, precision: str, *, niceness: int = 10) -> None:
        self.backend = backend
        self.precision = precision
        self._state = BuildState()
        self._lock = threading.Lock()
        self._output: collections.deque[str] = collections.deque(maxlen=20)
        self._cancelled = False
        self._gone_s: float | None = None
        command = [sys.executable, "-m", "usassist.engine.build_child"]
        try:
            self._process = subprocess.Popen(
                [*command, str(spec.folder), backend, precision, str(niceness), str(in_force().engine.cache_limit_mb)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
                text=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise EngineError(
                f"the process that builds for {backend} cannot be started: {error.strerror}; end other programs"
            ) from error
        self._listeners = [
            threading.Thread(target=listen, args=(pipe,), name=f"build {backend}", daemon=True)
            for listen, pipe in ((self._listen, self._process.stdout), (self._keep, self._process.stderr))
        ]
        for listener in self._listeners:
            listener.start()

    def poll(self) -> tuple[str, str, float]:
        """Its state; returns at once.

        Returns
        -------
        state : ``building``, ``done`` or ``failed``; the last two once the process is gone
        detail : what is being done, or why it failed
        share : how much of that is done, 0 to 1
        """
        found = self.state
        return found.state, found.reason or found.stage, found.share

    @property
    def state(self) -> BuildState:
        """The full state."""
        code = self._process.poll()
        if code is not None and self._gone_s is None:
            self._gone_s = time.monotonic()
        # Its output is complete once its pipes are closed; a process of its own may keep them open.
        waiting = self._gone_s is None or time.monotonic() - self._gone_s < _PIPE_TIMEOUT_S
        listening = waiting and any(listener.is_alive() for listener in self._listeners)
        with self._lock:
            if code is None or listening:
                return replace(self._state, state="building", reason="")
            if self._state.state == "building":
                reason = _CANCELLED if self._cancelled else _why_ended(self.backend, code, self._output)
                exit_code = 130 if self._cancelled else 1
                self._state = replace(self._state, state="failed", reason=reason, exit_code=exit_code)
            return self._state

    def cancel(self) -> None:
        """Kill it if it still runs; returns at once."""
        self._cancelled = True
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Kill it if it still runs, and wait until it has ended. May be called twice."""
        self.cancel()
        self._process.wait()
        pipes = (self._process.stdout, self._process.stderr)
        for listener, pipe in zip(self._listeners, pipes, strict=True):
            listener.join(_PIPE_TIMEOUT_S)
            if pipe is not None and not listener.is_alive():
                pipe.close()
        if self._process.stdin is not None:
            self._process.stdin.close()

    def _listen(self, pipe: IO[str]) -> None:
        for line in pipe:
            try:
                report = json.loads(line)
                with self._lock:
                    self._state = _after(self._state, report)
            except (json.JSONDecodeError, KeyError, TypeError, ValueError):
                self._output.append(line.strip())

    def _keep(self, pipe: IO[str]) -> None:
        for line in pipe:
            if line.strip():
                self._output.append(line.strip())
                # The prefix of our own warnings, see build_child; the rest comes from native libraries.
                level = logging.WARNING if line.startswith("usassist: ") else logging.INFO
                logger.log(level, "%s: %s", self.backend, line.strip().removeprefix("usassist: "))


def _after(state: BuildState, report: dict[str, Any]) -> BuildState:
    if report["event"] == "building":
        return replace(state, stage=str(report["stage"]), share=min(1.0, max(0.0, float(report["share"]))))
    if report["event"] == "done":
        return replace(state, state="done", share=1.0, built=bool(report["built"]), path=str(report["path"]))
    return replace(state, state="failed", reason=str(report["message"]), exit_code=int(report["exit_code"]))


def _why_ended(backend: str, code: int, output: collections.deque[str]) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"the builder of {backend} {_ENDS.get(name, f'was ended by {name}; start it again')}"
    last = f"; its last line was: {output[-1]}" if output else ""
    return f"the builder of {backend} ended with exit code {code}{last}; run usassist doctor"
