"""Entry point of every child process: ``python -m usassist.app.runtime.worker MODULE NICENESS``.

The parent's side is ``app/runtime/child_process.py``.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import queue
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
_ORPHAN_S = 60.0  # a process without a parent and without progress for so long exits, whatever it waits for


class Parent:
    """The process that started this one: requests to stop come from it, reports and heartbeats go to it.

    Parameters
    ----------
    niceness : added to the nice value of this process once it is ready

    Attributes
    ----------
    stop : set when this process is to stop: SIGTERM, SIGINT, or the parent is gone
    released : set when the parent is gone, or needs this process no longer
    messages : what the parent has sent since the options, in order; see ``ChildProcess.send``
    heartbeat : the work marks its progress here
    """

    def __init__(self, niceness: int = 0) -> None:
        self.stop = threading.Event()
        self.released = threading.Event()
        self.heartbeat = Heartbeat()
        self.messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._niceness = niceness
        self._lock = threading.Lock()

    def report(self, event: str, **content: Any) -> None:
        """Send a report. Where the parent is gone, this process is to stop."""
        try:
            with self._lock:
                sys.stdout.write(json.dumps({"event": event, **content}) + "\n")
                sys.stdout.flush()
        except (BrokenPipeError, ValueError):
            self.stop.set()
            self.released.set()
        if event == "ready" and self._niceness:
            lower_process_priority(self._niceness)

    def start_threads(self) -> None:
        """Start to watch for the end of the parent, and to send the heartbeat."""
        for work, name in ((self._watch_stdin, "parent"), (self._send_heartbeats, "heartbeat")):
            threading.Thread(target=work, name=name, daemon=True).start()

    def _watch_stdin(self) -> None:
        for line in sys.stdin:
            try:
                self.messages.put(json.loads(line))
            except json.JSONDecodeError:  # the parent has died in the middle of a line
                break
        self.stop.set()
        self.released.set()

    def _send_heartbeats(self) -> None:
        sent, moved_s = -1, time.monotonic()
        while True:
            count, allowed_s = self.heartbeat.count, self.heartbeat.allowed_s
            if count != sent:
                sent, moved_s = count, time.monotonic()
                if not self.released.is_set():
                    self.report("beat", allowed_s=allowed_s)
            elif self.released.is_set() and time.monotonic() - moved_s > max(_ORPHAN_S, allowed_s or 0.0):
                os._exit(1)
            time.sleep(_BEAT_S)


def main() -> int:
    """Run one child; returns its exit code."""
    parent = Parent(int(sys.argv[2]))
    call_on_signal(parent.stop.set)
    logging.basicConfig(level=logging.WARNING, format="usassist: %(name)s: %(message)s", stream=sys.stderr)
    os.umask(0o077)
    keep_freed_memory()
    try:
        module = importlib.import_module(sys.argv[1])
        line = sys.stdin.readline()
        if not line:
            return 0
        request = json.loads(line)
        logging.getLogger().setLevel(request["log_level"])
        parent.start_threads()
        parent.report("done", **module.work(request["options"], parent))
    except UsAssistError as error:
        parent.report("error", message=str(error), exit_code=error.exit_code)
        return error.exit_code
    except ImportError as error:
        parent.report("error", message=explain_import_error(error), exit_code=1)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    # Do not join threads: one may still hang in a device or an engine. What matters is on disk.
    sys.stderr.flush()
    os._exit(code)
