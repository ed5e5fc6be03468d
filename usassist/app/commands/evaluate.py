"""``usassist eval``: measure an engine on folders of labelled frames, and calibrate its scores."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usassist.errors import SessionError, SourceError, UsageError

if TYPE_CHECKING:
    from usassist.evaluation.contact_sheet import Tile
    from usassist.evaluation.engine_under_test import EngineUnderTest
    from usassist.evaluation.images import Skipped

__all__ = ["evaluate_app"]

evaluate_app = typer.Typer(help="Measure an engine on labelled frames.", no_args_is_help=True)

ImagesArgument = Annotated[Path, typer.Argument(help="Folder of pictures.")]
MasksArgument = Annotated[Path, typer.Argument(help="Folder of masks with the names of the pictures.")]
EngineOption = Annotated[str, typer.Option(help="Engine: NAME or NAME@VERSION.")]
EnginesOption = Annotated[Path | None, typer.Option(help="Folder of engines [default: those that ship].")]
BackendOption = Annotated[str, typer.Option(help="Back end, or auto.")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="CPU threads of the engine; 0 = all.")]
PrecisionOption = Annotated[str, typer.Option(help="fp32, int8, or auto.")]
PointOption = Annotated[str | None, typer.Option(help="Operating point: sensitive, balanced or quiet.")]
ThresholdOption = Annotated[float | None, typer.Option(min=0, max=1, help="Threshold of the score, instead.")]
CasesOption = Annotated[Path | None, typer.Option(help="Text file: name and case in each line.")]
NamesOption = Annotated[Path | None, typer.Option(help="Text file: only the frames named there.")]
JsonOption = Annotated[Path, typer.Option("--json", help="File for all figures.")]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="File for one row per frame [default: beside --json].")]
SheetOption = Annotated[Path | None, typer.Option(help="Contact sheet, .png [default: beside --json].")]


@evaluate_app.command()
def nodule(
    images: ImagesArgument,
    masks: MasksArgument,
    json_path: JsonOption,
    engine: EngineOption = "thyroid_nodule",
    engines: EnginesOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = 0,
    precision: PrecisionOption = "auto",
    point: PointOption = None,
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

    outputs = _outputs(json_path, csv_path, sheet)
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
        outcomes = measured.run(_counted(read_pairs(pairs, groups, skipped), len(pairs)))
        taken = collect_nodule_frames(outcomes, measured.threshold)
    _need_frames(len(taken.frames), images, skipped)
    report = nodule_report(taken, annotations)
    console = _show(measured, report, skipped, extra=report["froc"]["at"])
    print_slices(console, report["slices"])
    _write(measured, report, nodule_rows(taken, skipped), skipped, outputs)
    title = f"lowest Dice of {len(taken.surfaces)} frames at {measured.threshold:.2f}"
    _write_sheet(outputs[2], taken.tiles, title, with_truth=True)


@evaluate_app.command()
def negatives(
    images: Annotated[Path, typer.Argument(help="Folder of pictures without nodules, or of clips.")],
    json_path: JsonOption,
    engine: EngineOption = "thyroid_nodule",
    engines: EnginesOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = 0,
    precision: PrecisionOption = "auto",
    point: PointOption = None,
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

    outputs = _outputs(json_path, csv_path, sheet)
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
        outcomes = measured.run(_counted(read_negatives(paths, groups, skipped), len(paths)))
        taken = collect_negative_frames(outcomes, measured.threshold)
    _need_frames(len(taken.frames), images, skipped)
    report = negative_report(taken)
    _show(measured, report, skipped)
    _write(measured, report, negative_rows(taken, skipped), skipped, outputs)
    title = f"false alarms with the highest scores, of {len(taken.frames)} frames at {measured.threshold:.2f}"
    _write_sheet(outputs[2], taken.tiles, title, with_truth=False)


@evaluate_app.command()
def calibrate(
    images: ImagesArgument,
    masks: MasksArgument,
    out: Annotated[Path, typer.Option(help="File to write, .toml; a new one for every measurement.")],
    engine: EngineOption = "thyroid_nodule",
    engines: EnginesOption = None,
    backend: BackendOption = "auto",
    threads: ThreadsOption = 0,
    precision: PrecisionOption = "auto",
    negatives: Annotated[Path | None, typer.Option(help="Folder of frames without nodules.")] = None,
    cases: CasesOption = None,
    names: NamesOption = None,
) -> None:
    """Fit what the engine's raw score means, and choose its operating points."""
    from usassist.evaluation.cases import Cases, read_cases, read_names
    from usassist.evaluation.console_tables import print_calibration, print_skipped
    from usassist.evaluation.engine_under_test import EngineOptions, open_engine_under_test
    from usassist.evaluation.extras import import_extra
    from usassist.evaluation.folders import list_negatives, list_pairs, read_negatives, read_pairs
    from usassist.evaluation.report_files import describe_command, write_text
    from usassist.evaluation.score_calibration import calibrate_scores
    from usassist.evaluation.tally import tally

    import_extra("sklearn.linear_model")
    if out.exists() or out.suffix != ".toml":
        raise UsageError(f"{out} must be a new file that ends in .toml; files of calibration are never changed")
    skipped: list[Skipped] = []
    pairs = list_pairs(images, masks, None if names is None else read_names(names), skipped)
    paths = None if negatives is None else list_negatives(negatives, None, skipped)
    groups = Cases(None if cases is None else read_cases(cases))
    choice = EngineOptions(
        name=engine, engines=engines, backend=backend, threads=threads, precision=precision, raw=True
    )
    with open_engine_under_test(choice) as measured:
        frames = [tally(item) for item in measured.run(_counted(read_pairs(pairs, groups, skipped), len(pairs)))]
        _need_frames(len(frames), images, skipped)
        without = None
        if paths is not None:
            read = _counted(read_negatives(paths, None, skipped), len(paths))
            without = [tally(item) for item in measured.run(read)]
            _need_frames(len(without), paths[0].parent if paths else images, skipped)
    fitted = calibrate_scores(
        frames,
        without,
        calibration_id=out.stem,
        spec=measured.spec,
        command=describe_command("usassist", sys.argv[1:]),
    )
    write_text(out, fitted.text)
    console = _console()
    print_calibration(console, fitted.label, fitted.points)
    print_skipped(console, skipped)
    console.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)


def _outputs(json_path: Path, csv_path: Path | None, sheet: Path | None) -> tuple[Path, Path, Path]:
    """Where JSON, CSV and sheet go; found out before any frame is run."""
    paths = (json_path, csv_path or json_path.with_suffix(".csv"), sheet or json_path.with_suffix(".png"))
    if len(set(paths)) < len(paths):
        raise UsageError(f"{json_path} cannot be JSON, CSV and contact sheet at once; give different names")
    for path in paths:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SessionError(f"{path.parent} cannot be made: {error.strerror}; choose another place") from error
        if path.is_dir():
            raise UsageError(f"{path} is a folder; give the name of a file")
    return paths


def _counted(frames: Any, total: int) -> Any:
    """The frames, with a bar on standard error."""
    from rich.console import Console
    from rich.progress import track

    return track(frames, "frames", total=total, console=Console(stderr=True), transient=True)


def _need_frames(count: int, folder: Path, skipped: Sequence[Skipped]) -> None:
    if count:
        return
    first = f"; the first of {len(skipped)} left out: {skipped[0].name}, {skipped[0].reason}" if skipped else ""
    raise SourceError(f"no frame in {folder} can be evaluated{first}; check the folders and the names")


def _show(
    measured: EngineUnderTest,
    report: Mapping[str, Any],
    skipped: Sequence[Skipped],
    extra: Mapping[str, Any] | None = None,
) -> Any:
    from usassist.evaluation.console_tables import format_counts, print_figures, print_skipped

    console = _console()
    figures = dict(report["figures"])
    figures |= {f"nodules found at {rate} false pos. per frame": item for rate, item in (extra or {}).items()}
    title = (
        f"{measured.spec.engine_id} on {measured.backend}\n"
        f"threshold {measured.threshold:.3f} ({measured.threshold_from}), scores {measured.scores}"
    )
    print_figures(console, title, {"": figures})
    console.print(format_counts(report["counts"]), highlight=False, soft_wrap=True)
    print_skipped(console, skipped)
    return console


def _write(
    measured: EngineUnderTest,
    report: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    skipped: Sequence[Skipped],
    outputs: tuple[Path, Path, Path],
) -> None:
    from usassist.evaluation.report_files import describe_command, write_csv, write_json

    json_path, csv_path, _ = outputs
    head = {
        "schema": 1,
        "command": describe_command("usassist", sys.argv[1:]),
        "engine": measured.spec.engine_id,
        "backend": measured.backend,
        "scores": measured.scores,
        "threshold": measured.threshold,
        "threshold_from": measured.threshold_from,
    }
    write_json(json_path, head | dict(report) | {"skipped": list(skipped)})
    write_csv(csv_path, rows)
    for path in outputs:
        _console().print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


def _write_sheet(path: Path, tiles: Sequence[Tile], title: str, *, with_truth: bool) -> None:
    from usassist.evaluation.contact_sheet import draw_sheet
    from usassist.evaluation.report_files import write_image

    write_image(path, draw_sheet(tiles, title, with_truth=with_truth))


def _console() -> Any:
    from rich.console import Console

    return Console()
