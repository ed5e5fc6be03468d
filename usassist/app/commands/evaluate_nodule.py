"""The command ``usassist eval nodule``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usassist.app.commands.evaluate_output import (
    CasesOption,
    CsvOption,
    ImagesArgument,
    JsonFileOption,
    NamesOption,
    PointChoice,
    SheetOption,
    ThresholdOption,
    name_skipped,
    print_report,
    require_frames,
    resolve_outputs,
    with_progress,
    write_contact_sheet,
    write_report,
)
from usassist.app.commands.options import BackendOption, EngineOption, EnginesOption, PrecisionOption, ThreadsOption
from usassist.errors import UsageError

if TYPE_CHECKING:
    from usassist.evaluation.engine_under_test import EngineUnderTest
    from usassist.evaluation.frame_reports import NoduleFrames
    from usassist.evaluation.images import Skipped
    from usassist.evaluation.labelled_sets import OpenSet

__all__ = ["nodule"]


def nodule(
    images: ImagesArgument,
    json_path: JsonFileOption,
    masks: Annotated[
        Path | None, typer.Argument(help="Folder of masks with the names of the images; or give --boxes.")
    ] = None,
    boxes: Annotated[Path | None, typer.Option(help="CSV file of boxes, instead of masks.")] = None,
    part: Annotated[str | None, typer.Option(help="Only rows of --boxes with this word in the column part.")] = None,
    engine: EngineOption = "thyroid_nodule",
    engines: EnginesOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = 0,
    precision: PrecisionOption = "auto",
    point: PointChoice = None,
    threshold: ThresholdOption = None,
    cases: CasesOption = None,
    names: NamesOption = None,
    looks: Annotated[Path | None, typer.Option(help="CSV file: name and look, for a table by scanner look.")] = None,
    annotations: Annotated[Path | None, typer.Option(help="Folder of CASE.xml of DDTI, for TI-RADS.")] = None,
    csv_path: CsvOption = None,
    sheet: SheetOption = None,
) -> None:
    """Frames with marked nodules: outlines, nodules found, false positives, calibration of the scores."""
    from usassist.evaluation.box_reports import box_report, box_rows
    from usassist.evaluation.engine_under_test import EngineOptions, open_engine_under_test
    from usassist.evaluation.frame_reports import nodule_report, nodule_rows, require_libraries
    from usassist.evaluation.images import list_files
    from usassist.evaluation.labelled_sets import LabelledSet, open_set

    if (masks is None) == (boxes is None):
        raise UsageError("the truth is either a folder of masks or --boxes FILE; give one of them")
    if part is not None and boxes is None:
        raise UsageError("--part chooses rows of --boxes, and there is none; use --names")
    outputs = resolve_outputs(json_path, csv_path, sheet)
    require_libraries()
    if annotations is not None:
        list_files(annotations)  # a missing folder is an error, not a row of unknown
    skipped: list[Skipped] = []
    chosen = LabelledSet(name="frames", images=images, masks=masks, boxes=boxes, part=part, names=names, cases=cases)
    opened = open_set(chosen, skipped)
    require_frames(len(opened.names), images, skipped)
    name_skipped(skipped)
    look_of = _read_looks(looks, opened)
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
        taken = _run(measured, opened, boxed=boxes is not None)
    require_frames(len(taken.frames), images, skipped)
    if boxes is None:
        report, rows = nodule_report(taken, annotations, look_of), nodule_rows(taken, skipped)
        title = f"lowest Dice of {len(taken.surfaces)} frames at {measured.threshold:.2f}"
    else:
        report = box_report(taken, measured.threshold, annotations, look_of)
        rows = box_rows(taken, measured.threshold, skipped)
        title = f"least overlap of {len(taken.frames)} frames at {measured.threshold:.2f}"
    _print(measured, report, skipped, boxed=boxes is not None)
    write_report(measured, report, rows, skipped, outputs)
    write_contact_sheet(outputs[2], taken.tiles, title, with_truth=True)


def _read_looks(path: Path | None, opened: OpenSet) -> dict[str, str] | None:
    from usassist.evaluation.looks import read_looks, require_look

    if path is None:
        return opened.looks
    looks = read_looks(path)
    require_look(looks, opened.names, path)
    return looks


def _run(measured: EngineUnderTest, opened: OpenSet, *, boxed: bool) -> NoduleFrames:
    from usassist.evaluation.box_reports import collect_box_frames
    from usassist.evaluation.frame_reports import collect_nodule_frames

    outcomes = measured.run(with_progress(opened.frames, len(opened.names)))
    return (collect_box_frames if boxed else collect_nodule_frames)(outcomes, measured.threshold)


def _print(measured: EngineUnderTest, report: dict[str, Any], skipped: list[Skipped], *, boxed: bool) -> None:
    from usassist.evaluation.console_tables import print_looks, print_slices

    console = print_report(measured, report, skipped, extra=report["froc"]["at"])
    print_slices(console, report["slices"])
    if "looks" in report:
        print_looks(console, report["looks"], boxed=boxed)
