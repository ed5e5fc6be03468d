"""Building in a process of its own, so that a crash, an interrupt or a lack of memory never touches the stream.

The child is ``python -m usassist.engine.build_child``. It says how far it is, one line of JSON at a time, on standard
output; its standard input is a pipe that only the parent holds, and the child goes with it. It may be killed at any
moment: the cache holds nothing half-written.
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

_PATIENCE_S = 1.0
_CANCELLED = "the build was cancelled"
_ENDS = {
    "SIGKILL": "was killed (SIGKILL), as happens when memory runs out; free memory, or build on a larger machine",
    "SIGSEGV": "crashed (SIGSEGV); install its runtime again, or use another --backend",
    "SIGABRT": "gave up (SIGABRT); install its runtime again, or use another --backend",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildState:
    """How a build goes.

    Attributes
    ----------
    state : ``building``, ``done`` or ``failed``
    stage : what is being done
    share : how much of the stage is done, 0 to 1
    built : False when everything was there already
    path : where the plan lies, when it is done
    reason : one line, when it failed
    exit_code : that the reason deserves on a command line
    """

    state: Literal["building", "done", "failed"] = "building"
    stage: str = "starting"
    share: float = 0.0
    built: bool = False
    path: str = ""
    reason: str = ""
    exit_code: int = 0


class BuildJob(Closeable):
    """One build that is going on. Nothing here blocks, except :meth:`close` for as long as a process takes to die.

    Parameters
    ----------
    spec : the engine
    backend, precision : as for ``usassist.engine.opening.prepare``, which is what the child runs
    niceness : by how much the child gives way to others, 0 to 19

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
        self._said: collections.deque[str] = collections.deque(maxlen=20)
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
        """How it goes, at once.

        Returns
        -------
        state : ``building``, ``done`` or ``failed``; the last two once the process is gone
        words : what is being done, or why it failed
        share : how much of that is done, 0 to 1
        """
        found = self.state
        return found.state, found.reason or found.stage, found.share

    @property
    def state(self) -> BuildState:
        """How it goes, in full."""
        code = self._process.poll()
        if code is not None and self._gone_s is None:
            self._gone_s = time.monotonic()
        # What it has said is complete once its pipes have ended; a helper of its own may keep them open.
        patient = self._gone_s is None or time.monotonic() - self._gone_s < _PATIENCE_S
        listening = patient and any(listener.is_alive() for listener in self._listeners)
        with self._lock:
            if code is None or listening:
                return replace(self._state, state="building", reason="")
            if self._state.state == "building":
                reason = _CANCELLED if self._cancelled else _why_ended(self.backend, code, self._said)
                exit_code = 130 if self._cancelled else 1
                self._state = replace(self._state, state="failed", reason=reason, exit_code=exit_code)
            return self._state

    def cancel(self) -> None:
        """End it now, if it has not ended by itself; at once."""
        self._cancelled = True
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it, if it has not ended by itself, and wait until it is gone. May be called twice."""
        self.cancel()
        self._process.wait()
        pipes = (self._process.stdout, self._process.stderr)
        for listener, pipe in zip(self._listeners, pipes, strict=True):
            listener.join(_PATIENCE_S)
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
                self._said.append(line.strip())

    def _keep(self, pipe: IO[str]) -> None:
        for line in pipe:
            if line.strip():
                self._said.append(line.strip())
                # Our own warnings begin so, see build_child; the rest is what native libraries say.
                level = logging.WARNING if line.startswith("usassist: ") else logging.INFO
                logger.log(level, "%s: %s", self.backend, line.strip().removeprefix("usassist: "))


def _after(state: BuildState, report: dict[str, Any]) -> BuildState:
    if report["event"] == "building":
        return replace(state, stage=str(report["stage"]), share=min(1.0, max(0.0, float(report["share"]))))
    if report["event"] == "done":
        return replace(state, state="done", share=1.0, built=bool(report["built"]), path=str(report["path"]))
    return replace(state, state="failed", reason=str(report["message"]), exit_code=int(report["exit_code"]))


def _why_ended(backend: str, code: int, said: collections.deque[str]) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        return f"the builder of {backend} {_ENDS.get(name, f'was ended by {name}; start it again')}"
    last = f" after saying: {said[-1]}" if said else ""
    return f"the builder of {backend} ended with exit code {code}{last}; run usassist doctor"
