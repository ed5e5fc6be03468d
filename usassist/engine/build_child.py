"""The child process of a build: ``python -m usassist.engine.build_child``, FOLDER BACKEND PRECISION NICENESS LIMIT_MB.

See ``engine/building.py``. FOLDER is where ``engine.toml`` lies, LIMIT_MB the limit of the cache. With the BACKEND
``speed`` nothing is built, and the order of the back ends on the processor is measured, see ``engine/speed.py``;
PRECISION is then the number of threads.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import IO

__all__ = ["SPEED", "main"]

SPEED = "speed"


def main(folder: str, backend: str, precision: str, niceness: str, cache_limit_mb: str) -> int:
    """Build, and report progress. Returns the exit code."""
    _end_with_parent()
    with contextlib.suppress(OSError):
        os.nice(int(niceness))
    os.umask(0o077)
    # Native builders write to standard output too. Reports get their own descriptor, everything else goes to stderr.
    reports = open(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", buffering=1)  # noqa: SIM115 - until the end
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    logging.basicConfig(level=logging.WARNING, format="usassist: %(name)s: %(message)s", stream=sys.stderr)

    from usassist.config import Config, EngineConfig, put_in_force
    from usassist.engine.engine_toml import load_spec
    from usassist.engine.opening import prepare, prepared_path
    from usassist.errors import UsAssistError

    put_in_force(Config(engine=EngineConfig(cache_limit_mb=int(cache_limit_mb))))

    def progress(stage: str, share: float) -> None:
        _report(reports, "building", stage=stage, share=share)

    try:
        spec = load_spec(Path(folder) / "engine.toml")
        if backend == SPEED:
            from usassist.engine.speed import measure_speeds

            measure_speeds(spec, int(precision))
            _report(reports, "done", built=True, path="")
            return 0
        built = prepare(spec, backend, precision, progress)
        path = prepared_path(spec, backend, precision)
    except UsAssistError as error:
        _report(reports, "failed", message=str(error), exit_code=error.exit_code)
        return error.exit_code
    _report(reports, "done", built=built, path=str(path))
    return 0


def _report(reports: IO[str], event: str, **content: object) -> None:
    try:
        reports.write(json.dumps({"event": event, **content}) + "\n")
    except BrokenPipeError:
        os._exit(1)  # the parent is gone


def _end_with_parent() -> None:
    """End this process when standard input closes, also while native code holds the interpreter lock.

    Linux sends a signal when the last writer of a pipe closes it. PR_SET_PDEATHSIG would send one when the *thread*
    that started this process ends. Elsewhere a thread waits for the end of the pipe.
    """
    stdin = sys.stdin.fileno()
    if hasattr(fcntl, "F_SETSIG"):
        fcntl.fcntl(stdin, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(stdin, fcntl.F_SETOWN, os.getpid())
        fcntl.fcntl(stdin, fcntl.F_SETFL, fcntl.fcntl(stdin, fcntl.F_GETFL) | os.O_ASYNC)

    def watch() -> None:
        while os.read(stdin, 1):
            pass
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stderr.flush()
    os._exit(code)  # a builder's threads may still hang in a device; everything that matters is on disk
