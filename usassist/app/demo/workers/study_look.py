"""Child process: list the series of a study, and write the planes of one for the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from usassist.app.demo.studies.bundle import Preset, write_bundle
from usassist.app.demo.studies.limits import check_shape
from usassist.app.demo.studies.material import make_series
from usassist.app.demo.studies.opened import SeriesLine
from usassist.app.runtime.worker import Parent
from usassist.common.process_tuning import lower_process_priority
from usassist.errors import SourceError, UsageError, UsAssistError
from usassist.sources.volumes import SeriesFacts, list_series, read_volume

__all__ = ["work"]

_NICENESS = 5  # below the page


def work(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    """Fields of ``Opened``; see ``StudyAnswering.open`` for the options. No path of a file leaves the worker."""
    try:
        return _look(options, parent)
    except UsAssistError as error:
        told = str(error).replace(options["path"], "the study").replace(options["folder"], "the folder")
        raise UsAssistError(told) from None


def _look(options: dict[str, Any], parent: Parent) -> dict[str, Any]:
    lower_process_priority(_NICENESS)
    parent.report("ready")

    def tell(stage: str, share: float) -> None:
        if parent.stop.is_set():
            raise UsAssistError("it was stopped")
        parent.heartbeat.beat()
        parent.report("progress", stage=stage, share=share)

    path = Path(options["path"])
    if options["simulated"] and not path.exists():
        make_series(options["simulated"], path, lambda share: tell("making", share), parent.stop)
    tell("opening", 0.0)
    lines = [line_of(facts) for facts in list_series(path) if usable(facts, options["modality"]) == ""]
    if not lines:
        reasons = [usable(facts, options["modality"]) for facts in list_series(path)]
        raise SourceError(f"no series of it can be shown: {'; '.join(sorted(set(reasons)))}")
    chosen = options["series"] or max(lines, key=lambda line: line.shape_zyx[0]).number
    line = next((line for line in lines if line.number == chosen), None)
    if line is None:
        raise UsageError(f"there is no series {chosen} that can be shown; choose another")
    check_shape(line.shape_zyx)
    folder = Path(options["folder"])
    study = read_volume(
        path, session_id="demo", series=chosen, scratch=folder, progress=lambda share: tell("opening", 0.6 * share)
    )
    presets = msgspec.convert(options["presets"], list[Preset])
    write_bundle(
        folder,
        study.volume,
        presets,
        is_placed=line.is_placed,
        progress=lambda share: tell("opening", 0.6 + 0.4 * share),
    )
    return {"series": msgspec.to_builtins(lines), "chosen": chosen}


def usable(facts: SeriesFacts, modality: str) -> str:
    """Why a series cannot be shown; empty where it can."""
    if facts.unreadable:
        return f"series {facts.number} {facts.unreadable}"
    if facts.modality != modality:
        return f"series {facts.number} is {facts.modality} and not {modality}"
    return ""


def line_of(facts: SeriesFacts) -> SeriesLine:
    """What the page shows of a series."""
    return SeriesLine(
        number=facts.number,
        modality=facts.modality,
        shape_zyx=facts.shape_zyx,
        spacing_zyx_mm=facts.spacing_zyx_mm,
        is_placed=facts.spacing_is_known,
        problems=list(facts.problems),
    )
