"""The command ``usassist eval negatives``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.evaluate_output import (
    CasesOption,
    CsvOption,
    JsonFileOption,
    NamesOption,
    PointChoice,
    SheetOption,
    ThresholdOption,
    print_report,
    require_frames,
    resolve_outputs,
    with_progress,
    write_contact_sheet,
    write_report,
)
from usassist.app.commands.options import BackendOption, EngineOption, EnginesOption, PrecisionOption, ThreadsOption

if TYPE_CHECKING:
    from usassist.evaluation.images import Skipped

__all__ = ["negatives"]


def negatives(
    images: Annotated[Path, typer.Argument(help="Folder of images without nodules, or of clips.")],
    json_path: JsonFileOption,
    engine: EngineOption = "thyroid_nodule",
    engines: EnginesOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = 0,
    precision: PrecisionOption = "auto",
    point: PointChoice = None,
    threshold: ThresholdOption = None,
    cases: CasesOption = None,
    names: NamesOption = None,
    csv_path: CsvOption = None,
    sheet: SheetOption = None,
) -> None:
    """Frames without nodules: false alarms. Of a clip every 20th of the first 100 frames is taken."""
    from usassist.evaluation.cases import Cases, read_cases, read_names
    from usassist.evaluation.engine_under_test import EngineOptions, open_engine_under_test
    from usassist.evaluation.folders import list_negatives, read_negatives
    from usassist.evaluation.frame_reports import collect_negative_frames, negative_report, negative_rows

    outputs = resolve_outputs(json_path, csv_path, sheet)
    skipped: list[Skipped] = []
    paths = list_negatives(images, None if names is None else read_names(names), skipped)
    groups = None if cases is None else Cases(read_cases(cases))
    choice = EngineOptions(
        name=engine,
        engines=engines,
        backend=backend,
        threads=threads,
        precision=precision,
        point=point,
        threshold=threshold,
    )
    with open_engine_under_test(choice) as measured:
        outcomes = measured.run(with_progress(read_negatives(paths, groups, skipped), len(paths)))
        taken = collect_negative_frames(outcomes, measured.threshold)
    require_frames(len(taken.frames), images, skipped)
    report = negative_report(taken)
    print_report(measured, report, skipped)
    write_report(measured, report, negative_rows(taken, skipped), skipped, outputs)
    title = f"false alarms with the highest scores, of {len(taken.frames)} frames at {measured.threshold:.2f}"
    write_contact_sheet(outputs[2], taken.tiles, title, with_truth=False)
