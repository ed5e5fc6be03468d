"""Child process: ask a stream for everything, as a viewer and as an archive, and then read nothing, for measuring."""

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
    """Subscribe to ``options["address"]``, say ``ready`` when messages come, and wait to be stopped (SIGSTOP)."""
    if sys.platform == "linux":  # one that is stopped does not notice that its parent is gone
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    topics = tuple(TOPICS)
    with Subscriber(options["address"], topics) as viewer, Subscriber(options["address"], topics, "archive") as archive:
        viewer.latest(_FIRST_MS)
        archive.latest(_FIRST_MS)
        parent.report("ready")
        parent.stop.wait()
    return {}
