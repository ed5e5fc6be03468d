"""Child process: show the overlay of a stream in a window."""

from __future__ import annotations

from typing import Any

from usassist.app.runtime.worker import Parent
from usassist.config import OverlayConfig
from usassist.sinks.overlay.window import run_window

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Show ``options["address"]`` until the parent stops this process or the user closes the window."""
    settings = OverlayConfig(**options["overlay"])
    run_window(
        options["address"],
        parent.stop,
        parent.heartbeat,
        settings=settings,
        on_open=lambda: parent.report("ready"),
    )
    return {}
