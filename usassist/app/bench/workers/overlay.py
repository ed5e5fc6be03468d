"""Child process: draw the overlay as the window does, without a window."""

from __future__ import annotations

import time
from array import array
from typing import Any

import cv2

from usassist.app.runtime.worker import Parent
from usassist.bus import Subscriber
from usassist.common.clock import MonotonicClock
from usassist.sinks.overlay.screen import OverlayScreen

__all__ = ["work"]

_POLL_MS = 8
_TOPICS = ("frame", "result", "engine", "session")


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Draw ``options["address"]`` until the parent stops this process.

    The final report has the time at which each frame was drawn and how long that took, ms; not without
    ``options["keep"]``.
    """
    screen = OverlayScreen(MonotonicClock())
    drawn_ms, draw_ms = array("d"), array("d")
    frames = 0
    with Subscriber(options["address"], _TOPICS) as subscriber:
        subscriber.heartbeat = parent.heartbeat
        parent.report("ready")
        while not parent.stop.is_set():
            for message in subscriber.events(_POLL_MS):
                screen.take(message)
            begin_ns = time.monotonic_ns()
            image = screen.render()
            if image is None:
                continue
            cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
            frames += 1
            if options.get("keep", True):
                end_ns = time.monotonic_ns()
                drawn_ms.append(end_ns / 1e6)
                draw_ms.append((end_ns - begin_ns) / 1e6)
    return {
        "frames": frames,
        "drawn_ms": [round(value, 3) for value in drawn_ms],
        "draw_ms": [round(value, 3) for value in draw_ms],
    }
