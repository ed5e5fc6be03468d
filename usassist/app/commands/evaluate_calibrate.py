"""The command ``usassist eval calibrate``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.evaluate_output import (
    CasesOption,
    ImagesArgument,
    MasksArgument,
    NamesOption,
    require_frames,
    with_progress,
)
from usassist.app.commands.options import BackendOption, EngineOption, EnginesOption, PrecisionOption, ThreadsOption
from usassist.errors import UsageError

if TYPE_CHECKING:
    from usassist.evaluation.images import Skipped

__all__ = ["calibrate"]


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
    from rich.console import Console

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
        frames = [tally(item) for item in measured.run(with_progress(read_pairs(pairs, groups, skipped), len(pairs)))]
        require_frames(len(frames), images, skipped)
        without = None
        if paths is not None:
            read = with_progress(read_negatives(paths, None, skipped), len(paths))
            without = [tally(item) for item in measured.run(read)]
            require_frames(len(without), paths[0].parent if paths else images, skipped)
    fitted = calibrate_scores(
        frames,
        without,
        calibration_id=out.stem,
        spec=measured.spec,
        command=describe_command("usassist", sys.argv[1:]),
    )
    write_text(out, fitted.text)
    console = Console()
    print_calibration(console, fitted.label, fitted.points)
    print_skipped(console, skipped)
    console.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)
