"""The command ``usassist eval nodule``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.evaluate_output import (
    CasesOption,
    CsvOption,
    ImagesArgument,
    JsonFileOption,
    MasksArgument,
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

__all__ = ["nodule"]


def nodule(
    images: ImagesArgument,
    masks: MasksArgument,
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
    annotations: Annotated[Path | None, typer.Option(help="Folder of CASE.xml of DDTI, for TI-RADS.")] = None,
    csv_path: CsvOption = None,
    sheet: SheetOption = None,
) -> None:
    """Frames with marked nodules: outlines, nodules found, false positives, calibration of the scores."""
    from usassist.evaluation.cases import Cases, read_cases, read_names
    from usassist.evaluation.console_tables import print_slices
    from usassist.evaluation.engine_under_test import EngineOptions, open_engine_under_test
    from usassist.evaluation.folders import list_pairs, read_pairs
    from usassist.evaluation.frame_reports import collect_nodule_frames, nodule_report, nodule_rows, require_libraries
    from usassist.evaluation.images import list_files

    outputs = resolve_outputs(json_path, csv_path, sheet)
    require_libraries()
    if annotations is not None:
        list_files(annotations)  # a missing folder is an error, not a row of unknown
    skipped: list[Skipped] = []
    pairs = list_pairs(images, masks, None if names is None else read_names(names), skipped)
    groups = Cases(None if cases is None else read_cases(cases))
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
        outcomes = measured.run(with_progress(read_pairs(pairs, groups, skipped), len(pairs)))
        taken = collect_nodule_frames(outcomes, measured.threshold)
    require_frames(len(taken.frames), images, skipped)
    report = nodule_report(taken, annotations)
    console = print_report(measured, report, skipped, extra=report["froc"]["at"])
    print_slices(console, report["slices"])
    write_report(measured, report, nodule_rows(taken, skipped), skipped, outputs)
    title = f"lowest Dice of {len(taken.surfaces)} frames at {measured.threshold:.2f}"
    write_contact_sheet(outputs[2], taken.tiles, title, with_truth=True)
