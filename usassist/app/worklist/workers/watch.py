"""Child process: watch a folder while its parent serves the page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from usassist.app.runtime.worker import Parent
from usassist.app.worklist.scoring import ScoringOptions
from usassist.app.worklist.state_folder import open_state
from usassist.app.worklist.watch import WatchOptions, WorklistProcess
from usassist.common.process_tuning import set_parent_death_signal

__all__ = ["work"]


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Watch ``options["folder"]`` until the parent stops this process or is gone."""
    set_parent_death_signal()
    if os.getppid() != options["parent_pid"]:
        return {}
    watch = WatchOptions(**{**options["watch"], "scoring": ScoringOptions(**options["watch"]["scoring"])})
    state = None if options["state"] is None else Path(options["state"])
    with open_state(Path(options["folder"]), state) as opened:
        process = WorklistProcess(Path(options["folder"]), opened, watch)
        process.begin()
        parent.report("ready", state=str(opened.path))
        process.run(parent.stop)
    return {}
