"""Child process: write the results of a stream, and nothing else of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usassist.app.runtime.worker import Parent
from usassist.sinks.results import ResultsFile

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Write results of ``options["address"]`` into ``options["folder"]``."""
    results = ResultsFile(options["address"], Path(options["folder"]), parent.gone.is_set)
    results.subscriber.heartbeat = parent.heartbeat
    parent.tell("ready")
    results.run()
    return {"results": results.results, "gaps": results.subscriber.gaps}
