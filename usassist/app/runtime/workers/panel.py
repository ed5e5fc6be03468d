"""Child process: serve the page in the browser."""

from __future__ import annotations

from typing import Any

from usassist.app.runtime.cards import read_card
from usassist.app.runtime.worker import Parent
from usassist.config import PanelConfig
from usassist.frames.burnt_text import find_text_boxes
from usassist.modalities import stream_titles
from usassist.sinks.panel import run_panel

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Serve ``options["address"]`` with the settings ``options["panel"]``, until the parent stops this process."""
    run_panel(
        options["address"],
        PanelConfig(**options["panel"]),
        modality=stream_titles(),
        find_text=find_text_boxes,
        read_card=read_card,
        on_ready=lambda url: parent.report("ready", url=url),
        stop=parent.stop,
        heartbeat=parent.heartbeat,
    )
    return {}
