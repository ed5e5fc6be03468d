"""Child process: the overlay window, with the time at which each frame was on the screen."""

from __future__ import annotations

import time
from typing import Any

from usassist.app.runtime.worker import Parent
from usassist.config import OverlayConfig
from usassist.records import Frame
from usassist.sinks.overlay.window import run_window

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Show ``options["address"]`` over the whole screen until the parent stops this process.

    The final report has, for each frame, when it was captured and how much later the window had painted it, ms of the
    machine's monotonic clock.
    """
    captured_ms: list[float] = []
    latency_ms: list[float] = []

    def shown(frame: Frame) -> None:
        captured_ms.append(round(frame.t_capture_ns / 1e6, 3))
        latency_ms.append(round((time.monotonic_ns() - frame.t_capture_ns) / 1e6, 3))

    run_window(
        options["address"],
        parent.stop,
        parent.heartbeat,
        settings=OverlayConfig(full_screen=True),
        on_open=lambda: parent.report("ready"),
        on_shown=shown,
    )
    return {"captured_ms": captured_ms, "latency_ms": latency_ms}
