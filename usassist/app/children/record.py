"""Child process: record a stream into a session folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usassist.app.worker import Parent
from usassist.sinks.record import Recorder

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Record ``options["address"]`` into ``options["folder"]``."""
    recorder = Recorder(options["address"], Path(options["folder"]), parent.gone.is_set)
    parent.tell("ready")
    recorder.run()
    return {"frames": recorder.frames, "results": recorder.results, "gaps": recorder.subscriber.gaps}
