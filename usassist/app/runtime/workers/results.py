"""Child process: write the results of a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from usassist.app.runtime.worker import Parent
from usassist.sinks.results import ResultsFile

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Write results of ``options["address"]`` into ``options["folder"]``; with ``times`` also those of its frames."""
    times = bool(options.get("times"))
    results = ResultsFile(options["address"], Path(options["folder"]), parent.stop.is_set, times=times)
    results.subscriber.heartbeat = parent.heartbeat
    parent.report("ready")
    results.run()
    return {"results": results.results, "gaps": results.subscriber.gaps}
