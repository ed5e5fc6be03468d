"""Child process: one module on one study, into a folder with its files and its planes for the viewer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from usassist.app.demo.studies.bundle import Preset, write_bundle
from usassist.app.demo.studies.findings import document_of, findings_of, write_document
from usassist.app.demo.studies.running import run_module
from usassist.app.runtime.worker import Parent
from usassist.common.process_tuning import lower_process_priority

__all__ = ["work"]

_NICENESS = 5  # below the page


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """See ``StudyAnswering.answer`` for the options; the answer lies in ``options["folder"]``."""
    lower_process_priority(_NICENESS)
    parent.report("ready")
    begin_s, last_s, last = time.monotonic(), 0.0, ""

    def tell(stage: str, name: str, share: float) -> None:
        nonlocal last_s, last
        parent.heartbeat.beat()
        if stage + name != last or time.monotonic() - last_s > 0.1:
            last_s, last = time.monotonic(), stage + name
            parent.report("progress", stage=stage, name=name, share=share)

    outcome, notes = run_module(options, parent.stop, lambda name, share: tell("stage", name, share))
    folder = Path(options["folder"])
    write_bundle(
        folder,
        outcome.input.volume,
        msgspec.convert(options["presets"], list[Preset]),
        findings_of(outcome.result, outcome.spec),
        is_placed=options["is_placed"],
        progress=lambda share: tell("writing", "", share),
    )
    write_document(folder, document_of(outcome.result, outcome.spec, time.monotonic() - begin_s, notes))
    return {}
