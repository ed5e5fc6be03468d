"""A child process that does what a test wants, ``options["then"]``, once it has worked for ``options["after_s"]``."""

from __future__ import annotations

import ctypes
import signal
import sys
import time
from typing import Any

from usassist.app.runtime.worker import Parent

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Beat, and then ``sleep``, ``spin``, ``gil``, ``allow``, ``die``, ``flood`` or ``beat``."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # with its parent, whatever it does
    parent.report("ready", url="http://nowhere/")
    until_s, then = time.monotonic() + options.get("after_s", 0.5), options["then"]
    while not parent.stop.is_set() and (then == "beat" or time.monotonic() < until_s):
        parent.heartbeat.beat()
        time.sleep(0.02)
    if then == "allow":
        parent.heartbeat.allow(options["allow_s"])
    while not parent.stop.is_set():
        if then == "die":
            sys.stdout.flush()
            return {}
        if then == "gil":
            ctypes.PyDLL(None).pause()  # PyDLL does not let go of the interpreter
        elif then == "flood":
            parent.report("noise")
        elif then != "spin":
            time.sleep(0.1)
    return {}
