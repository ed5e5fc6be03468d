"""The command ``usassist eval calibrate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.evaluate_output import (
    CasesOption,
    NamesOption,
    name_skipped,
    require_frames,
    with_progress,
)
from usassist.app.commands.options import BackendOption, EngineOption, EnginesOption, PrecisionOption, ThreadsOption
from usassist.errors import UsageError

if TYPE_CHECKING:
    from usassist.evaluation.engine_under_test import EngineUnderTest
    from usassist.evaluation.images import Skipped
    from usassist.evaluation.labelled_sets import LabelledSet, OpenSet
    from usassist.evaluation.score_scale import TalliedSet

__all__ = ["calibrate"]


def calibrate(
    out: Annotated[Path, typer.Option(help="File to write, .toml; a new one for every measurement.")],
    images: Annotated[Path | None, typer.Argument(help="Folder of images; or give --sets.")] = None,
    masks: Annotated[Path | None, typer.Argument(help="Folder of masks with the names of the images.")] = None,
    sets: Annotated[Path | None, typer.Option(help="TOML file of sets with masks, boxes or no nodule.")] = None,
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
    from rich.console import Console

    from usassist.evaluation.console_tables import print_calibration, print_skipped
    from usassist.evaluation.engine_under_test import EngineOptions, open_engine_under_test
    from usassist.evaluation.extras import import_extra
    from usassist.evaluation.labelled_sets import open_set
    from usassist.evaluation.report_files import describe_command, write_text
    from usassist.evaluation.score_calibration import calibrate_scores

    import_extra("sklearn.linear_model")
    if out.exists() or out.suffix != ".toml":
        raise UsageError(f"{out} must be a new file that ends in .toml; files of calibration are never changed")
    chosen = _choose_sets(sets, images, masks, negatives, names, cases)
    skipped: list[Skipped] = []
    opened = [open_set(item, skipped) for item in chosen]  # all, so that no error comes after an hour
    for item, ready in zip(chosen, opened, strict=True):
        require_frames(len(ready.names), item.images, skipped)
    name_skipped(skipped)
    choice = EngineOptions(
        name=engine, engines=engines, backend=backend, threads=threads, precision=precision, raw=True
    )
    with open_engine_under_test(choice) as measured:
        tallied = [_run(measured, item, ready, skipped) for item, ready in zip(chosen, opened, strict=True)]
    fitted = calibrate_scores(
        tallied,
        calibration_id=out.stem,
        spec=measured.spec,
        command=describe_command("usassist", sys.argv[1:]),
    )
    write_text(out, fitted.text)
    console = Console()
    print_calibration(console, fitted.calibration)
    for note in fitted.notes:
        console.print(f"note: {note}", highlight=False, soft_wrap=True)
    print_skipped(console, skipped)
    console.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)


def _choose_sets(
    sets: Path | None,
    images: Path | None,
    masks: Path | None,
    negatives: Path | None,
    names: Path | None,
    cases: Path | None,
) -> list[LabelledSet]:
    """The sets of a file, or those of the command line: one with masks, and one without nodules."""
    from usassist.evaluation.labelled_sets import LabelledSet, read_sets

    if sets is not None:
        if any(item is not None for item in (images, masks, negatives, names, cases)):
            raise UsageError("--sets names all folders and files; leave out IMAGES, MASKS and their options")
        return read_sets(sets)
    if images is None or masks is None:
        raise UsageError("there are no frames to calibrate on; give IMAGES and MASKS, or --sets FILE")
    chosen = [LabelledSet(name="nodules", images=images, masks=masks, names=names, cases=cases)]
    if negatives is not None:
        chosen.append(LabelledSet(name="negatives", images=negatives, negative=True))
    return chosen


def _run(measured: EngineUnderTest, chosen: LabelledSet, opened: OpenSet, skipped: list[Skipped]) -> TalliedSet:
    from usassist.evaluation.score_scale import TalliedSet
    from usassist.evaluation.tally import tally

    frames = [tally(item) for item in measured.run(with_progress(opened.frames, len(opened.names)))]
    require_frames(len(frames), chosen.images, skipped)
    return TalliedSet(name=chosen.name, truth=chosen.truth, frames=tuple(frames))
