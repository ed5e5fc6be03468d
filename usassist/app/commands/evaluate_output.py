"""Arguments and output that the commands ``usassist eval …`` have in common."""

from __future__ import annotations

import dataclasses
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

__all__ = [
    "CasesOption",
    "CsvOption",
    "ImagesArgument",
    "JsonFileOption",
    "MasksArgument",
    "NamesOption",
    "PointChoice",
    "SheetOption",
    "ThresholdOption",
    "name_skipped",
    "print_report",
    "require_frames",
    "resolve_outputs",
    "with_progress",
    "write_contact_sheet",
    "write_report",
]

ImagesArgument = Annotated[Path, typer.Argument(help="Folder of images.")]
MasksArgument = Annotated[Path, typer.Argument(help="Folder of masks with the names of the images.")]
PointChoice = Annotated[str | None, typer.Option(help="Operating point: sensitive, balanced or quiet.")]
ThresholdOption = Annotated[float | None, typer.Option(min=0, max=1, help="Threshold of the score, instead.")]
CasesOption = Annotated[Path | None, typer.Option(help="Text file: name and case in each line.")]
NamesOption = Annotated[Path | None, typer.Option(help="Text file: only the frames named there.")]
JsonFileOption = Annotated[Path, typer.Option("--json", help="File for all figures.")]
CsvOption = Annotated[Path | None, typer.Option("--csv", help="File for one row per frame (default: beside --json).")]
SheetOption = Annotated[Path | None, typer.Option(help="Contact sheet, .png (default: beside --json).")]


def resolve_outputs(json_path: Path, csv_path: Path | None, sheet: Path | None) -> tuple[Path, Path, Path]:
    """Paths of JSON, CSV and contact sheet, checked before any frame is run."""
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


def with_progress(frames: Any, total: int, what: str = "frames") -> Any:
    """The frames, or what else there is to count, with a progress bar on standard error."""
    from rich.console import Console
    from rich.progress import track

    return track(frames, what, total=total, console=Console(stderr=True), transient=True)


def name_skipped(skipped: Sequence[Skipped]) -> None:
    """Name on standard error, before the run, what it will not use."""
    from rich.console import Console

    from usassist.evaluation.console_tables import print_skipped

    print_skipped(Console(stderr=True), skipped)


def require_frames(count: int, folder: Path, skipped: Sequence[Skipped]) -> None:
    """Refuse to report on nothing.

    Raises
    ------
    SourceError
        If `count` is 0.
    """
    if count:
        return
    first = f"; the first of {len(skipped)} left out: {skipped[0].name}, {skipped[0].reason}" if skipped else ""
    raise SourceError(f"no frame in {folder} can be evaluated{first}; check the folders and the names")


def print_report(
    measured: EngineUnderTest,
    report: Mapping[str, Any],
    skipped: Sequence[Skipped],
    extra: Mapping[str, Any] | None = None,
) -> Any:
    """Print the figures of a report; gives the console for more."""
    from usassist.bus import AssociationBody
    from usassist.evaluation.console_tables import format_counts, print_figures, print_skipped

    console = _console()
    figures = dict(report["figures"])
    figures |= {f"nodules found at {rate} false pos. per frame": item for rate, item in (extra or {}).items()}
    cut = f"threshold {measured.threshold:.3f} ({measured.threshold_from})"
    if measured.association is not None:
        words = AssociationBody(**dataclasses.asdict(measured.association)).words
        cut = f"{measured.threshold_from}, findings associated {words}"
    title = f"{measured.spec.engine_id} on {measured.backend}\n{cut}, scores {measured.scores}"
    print_figures(console, title, {"": figures})
    console.print(format_counts(report["counts"]), highlight=False, soft_wrap=True)
    print_skipped(console, skipped)
    return console


def write_report(
    measured: EngineUnderTest,
    report: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    skipped: Sequence[Skipped],
    outputs: tuple[Path, Path, Path],
) -> None:
    """Write JSON and CSV, and print the names of all files."""
    from usassist.evaluation.report_files import describe_command, write_csv, write_json

    json_path, csv_path, _ = outputs
    head = {
        "schema": 1,
        "command": describe_command("usassist", sys.argv[1:]),
        "engine": measured.spec.engine_id,
        "backend": measured.backend,
        "scores": measured.scores,
        "threshold": measured.threshold if measured.association is None else None,
        "threshold_from": measured.threshold_from,
    }
    write_json(json_path, head | dict(report) | {"skipped": list(skipped)})
    write_csv(csv_path, rows)
    for path in outputs:
        _console().print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


def write_contact_sheet(path: Path, tiles: Sequence[Tile], title: str, *, with_truth: bool) -> None:
    """Draw and write the contact sheet."""
    from usassist.evaluation.contact_sheet import draw_sheet
    from usassist.evaluation.report_files import write_image

    write_image(path, draw_sheet(tiles, title, with_truth=with_truth))


def _console() -> Any:
    from rich.console import Console

    return Console()
