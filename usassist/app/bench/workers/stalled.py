"""Child process: subscribe to everything of a stream, as a viewer and as an archive, and stop reading."""

from __future__ import annotations

import ctypes
import signal
import sys
from typing import Any

from usassist.app.runtime.worker import Parent
from usassist.bus import TOPICS, Subscriber

__all__ = ["work"]

_PR_SET_PDEATHSIG = 1
_FIRST_MS = 5000


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Subscribe to ``options["address"]``, report ``ready`` when messages come, and wait to be stopped (SIGSTOP)."""
    if sys.platform == "linux":  # a stopped process cannot react when its parent exits
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    topics = tuple(TOPICS)
    with Subscriber(options["address"], topics) as viewer, Subscriber(options["address"], topics, "archive") as archive:
        viewer.latest(_FIRST_MS)
        archive.latest(_FIRST_MS)
        parent.report("ready")
        parent.stop.wait()
    return {}
