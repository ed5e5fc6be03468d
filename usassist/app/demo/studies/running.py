"""One module on one study, by the room that commands use too; runs in a worker."""

from __future__ import annotations

import csv
import importlib
import importlib.util
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from usassist.app.demo.studies.findings import Line, document_of
from usassist.app.demo.studies.prepared import Prepared
from usassist.app.demo.studies.routes import RESULT
from usassist.app.demo.studies.table import TABS
from usassist.app.studies.answer import StudyOutcome, answer_study
from usassist.app.studies.files import describe_study
from usassist.errors import UsAssistError
from usassist.records import ResultState

__all__ = ["run_module", "write_csv"]


def run_module(
    options: dict[str, Any], stop: threading.Event, progress: Callable[[str, float], None]
) -> tuple[StudyOutcome, list[str]]:
    """Answer a study, with files in ``result`` in its folder; gives the outcome and lines to be read with it.

    Without nibabel there is no mask in NIfTI, and everything else is written.

    Raises
    ------
    UsAssistError
        If it was stopped, or cannot be answered.
    """
    folder = Path(options["folder"])
    out = folder / RESULT
    prepared = _prepare(options)
    whole = importlib.util.find_spec("nibabel") is not None
    try:
        outcome = answer_study(
            options["path"],
            options["engine"],
            backend=options["backend"],
            precision=options["precision"],
            threads=options["threads"] or 0,
            engines=None if options["engines"] is None else Path(options["engines"]),
            series=options["series"],
            out=out if whole else None,
            scratch=folder,
            writers=prepared.writers,
            progress=progress,
            cancel=stop,
            **prepared.options,
        )
    except UsAssistError as error:
        told = str(error).replace(str(options["path"]), "the study").replace(str(folder), "the folder")
        raise UsAssistError(told) from None  # no path of a visitor's file leaves the worker
    if outcome.result.state is ResultState.NO_RESULT:
        return outcome, []
    if not whole:
        out.mkdir(mode=0o700)
        (out / "result.json").write_bytes(msgspec.json.encode(describe_study(outcome)))
    write_csv(out / "measurements.csv", document_of(outcome.result, outcome.spec).lines)
    return outcome, prepared.notes() if whole else []


def write_csv(path: Path, lines: Sequence[Line]) -> None:
    """Measurements as a table, one a row; what is missing is an empty cell with its reason beside it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["measurement", "label", "value", "unit", "u95", "reason"])
        for line in lines:
            value, u95 = ("" if number is None else repr(number) for number in (line.value, line.u95))
            writer.writerow([line.name, line.label, value, line.unit, u95, line.reason])


def _prepare(options: dict[str, Any]) -> Prepared:
    function = TABS[options["modality"]].module(options["module"]).prepare
    if not function:
        return Prepared(options=options["options"])
    module, _, name = function.partition(":")
    prepared: Prepared = getattr(importlib.import_module(module), name)(options["options"])
    return prepared
