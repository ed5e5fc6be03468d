"""Entry of every child process: ``python -m usassist.app.worker MODULE``; see ``app/processes.py``."""

from __future__ import annotations

import importlib
import json
import logging
import os
import signal
import sys
import threading
from typing import Any

from usassist.errors import UsAssistError
from usassist.usage import keep_memory

__all__ = ["Parent", "main"]

# Child → how far it gives way to the stream (see `man nice`): who looks on must not hold up who answers.
_NICENESS = {"overlay": 10, "overlay_video": 5, "panel": 10, "bench_overlay": 10}


class Parent:
    """The process that started this one.

    Attributes
    ----------
    gone : it is gone, or asks this process to end (SIGTERM)
    closed : it is gone, or needs this process no longer
    """

    def __init__(self) -> None:
        self.gone = threading.Event()
        self.closed = threading.Event()

    def tell(self, event: str, **content: Any) -> None:
        """Send a report; a parent that is gone is told nothing."""
        try:
            sys.stdout.write(json.dumps({"event": event, **content}) + "\n")
            sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            self.gone.set()
            self.closed.set()

    def listen(self) -> None:
        """Notice when the parent goes."""
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    def _listen(self) -> None:
        while sys.stdin.read(1):
            pass
        self.gone.set()
        self.closed.set()


def main() -> int:
    """Run one child. Returns its exit code."""
    logging.basicConfig(level=logging.WARNING, format="usassist: %(name)s: %(message)s", stream=sys.stderr)
    os.umask(0o077)
    keep_memory()
    parent = Parent()
    signal.signal(signal.SIGTERM, lambda *_: parent.gone.set())
    try:
        module = importlib.import_module(sys.argv[1])
        line = sys.stdin.readline()
        if not line:
            return 0
        os.nice(_NICENESS.get(sys.argv[1].rpartition(".")[2], 0))
        parent.listen()
        parent.tell("done", **module.work(json.loads(line), parent))
    except UsAssistError as error:
        parent.tell("error", message=str(error), exit_code=error.exit_code)
        return error.exit_code
    return 0


if __name__ == "__main__":
    code = main()
    # A thread may still hang in a device; everything that matters is on disk.
    sys.stderr.flush()
    os._exit(code)
