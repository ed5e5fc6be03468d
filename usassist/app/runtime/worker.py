"""Entry of every child process: ``python -m usassist.app.runtime.worker MODULE NICENESS``.

The other end is ``app/runtime/child_process.py``.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import sys
import threading
import time
from typing import Any

from usassist.common.heartbeat import Heartbeat
from usassist.common.missing_library import explain_import_error
from usassist.common.process_tuning import keep_freed_memory, lower_process_priority
from usassist.common.signals import call_on_signal
from usassist.errors import UsAssistError

__all__ = ["Parent", "main"]

_BEAT_S = 0.2
_ORPHAN_S = 60.0  # without a parent and without progress for so long, it ends whatever it waits for


class Parent:
    """The process that started this one.

    Parameters
    ----------
    niceness : by how much this process gives way to others once it is ready

    Attributes
    ----------
    gone : it is gone, or asks this process to end (SIGTERM, SIGINT)
    closed : it is gone, or needs this process no longer
    heartbeat : the work marks its progress here
    """

    def __init__(self, niceness: int = 0) -> None:
        self.gone = threading.Event()
        self.closed = threading.Event()
        self.heartbeat = Heartbeat()
        self._niceness = niceness
        self._telling = threading.Lock()

    def tell(self, event: str, **content: Any) -> None:
        """Send a report; a parent that is gone is told nothing."""
        try:
            with self._telling:
                sys.stdout.write(json.dumps({"event": event, **content}) + "\n")
                sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            self.gone.set()
            self.closed.set()
        if event == "ready" and self._niceness:
            lower_process_priority(self._niceness)

    def listen(self) -> None:
        """Notice when the parent goes, and send it the heartbeat."""
        for work, name in ((self._listen, "parent"), (self._report, "heartbeat")):
            threading.Thread(target=work, name=name, daemon=True).start()

    def _listen(self) -> None:
        while sys.stdin.read(1):
            pass
        self.gone.set()
        self.closed.set()

    def _report(self) -> None:
        sent, moved_s = -1, time.monotonic()
        while True:
            count, allowed_s = self.heartbeat.count, self.heartbeat.allowed_s
            if count != sent:
                sent, moved_s = count, time.monotonic()
                if not self.closed.is_set():
                    self.tell("beat", allowed_s=allowed_s)
            elif self.closed.is_set() and time.monotonic() - moved_s > max(_ORPHAN_S, allowed_s or 0.0):
                os._exit(1)
            time.sleep(_BEAT_S)


def main() -> int:
    """Run one child. Returns its exit code."""
    parent = Parent(int(sys.argv[2]))
    call_on_signal(parent.gone.set)
    logging.basicConfig(level=logging.WARNING, format="usassist: %(name)s: %(message)s", stream=sys.stderr)
    os.umask(0o077)
    keep_freed_memory()
    try:
        module = importlib.import_module(sys.argv[1])
        line = sys.stdin.readline()
        if not line:
            return 0
        told = json.loads(line)
        logging.getLogger().setLevel(told["log_level"])
        parent.listen()
        parent.tell("done", **module.work(told["options"], parent))
    except UsAssistError as error:
        parent.tell("error", message=str(error), exit_code=error.exit_code)
        return error.exit_code
    except ImportError as error:
        parent.tell("error", message=explain_import_error(error), exit_code=1)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    # A thread may still hang in a device or an engine; everything that matters is on disk.
    sys.stderr.flush()
    os._exit(code)
