"""Child process: serve the page in the browser."""

from __future__ import annotations

from typing import Any

from usassist.app.runtime.cards import read_card
from usassist.app.runtime.worker import Parent
from usassist.config import PanelConfig
from usassist.frames.burnt_text import find_text_boxes
from usassist.modalities import stream_titles
from usassist.sinks.panel import Choices, RunSecrets, run_panel

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Serve the page of ``usassist.sinks.panel.page_options``, until the parent stops this process.

    ``options["choices"]``, where they are given, are what may be changed while the stream runs.
    """
    choices = options.get("choices")
    run_panel(
        options["address"],
        PanelConfig(**options["panel"]),
        secrets=RunSecrets(**options["secrets"]),
        modality=stream_titles(),
        choices=None if choices is None else Choices(**{name: _fixed(value) for name, value in choices.items()}),
        find_text=find_text_boxes,
        read_card=read_card,
        on_ready=lambda url: parent.report("ready", url=url),
        stop=parent.stop,
        heartbeat=parent.heartbeat,
    )
    return {}


def _fixed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
