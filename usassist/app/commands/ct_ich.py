"""The command ``usassist ct ich``: haemorrhage in a plain CT of the head."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import BackendOption, EngineOption, EnginesOption, JsonOption, ThreadsOption

if TYPE_CHECKING:
    from usassist.app.studies import StudyDocument, StudyOutcome

__all__ = ["ich", "print_study", "require_answer"]


def ich(
    path: Annotated[Path, typer.Argument(metavar="INPUT", help="Folder, DICOM file, zip, or NIfTI file.")],
    out: Annotated[Path, typer.Option(help="Folder for the result; it must not exist yet.")],
    series: Annotated[
        str | None, typer.Option(metavar="N", help="Number or id of the series, as usassist ct info lists them.")
    ] = None,
    engine: EngineOption = "ct_ich",
    engines: EnginesOption = None,
    backend: BackendOption = "auto",
    precision: Annotated[str, typer.Option(help="fp32, fp16, int8 or auto.")] = "auto",
    threads: ThreadsOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Score and outline haemorrhage in a plain CT of the head: result.json, labelmap.nii.gz, montage.png."""
    from usassist.app.commands.study_progress import study_progress
    from usassist.app.studies import answer_study

    with study_progress(quiet=as_json) as (progress, cancel):
        outcome = answer_study(
            path,
            engine,
            backend=backend,
            precision=precision,
            threads=threads,
            engines=engines,
            series=series,
            out=out,
            progress=progress,
            cancel=cancel,
        )
    print_study(outcome, as_json=as_json)


def require_answer(outcome: StudyOutcome) -> StudyDocument:
    """The document of a study.

    Raises
    ------
    EngineError, VolumeError
        If the study has no result; nothing was written then.
    """
    from usassist.app.studies import describe_study
    from usassist.errors import EngineError, VolumeError
    from usassist.volumes import StudyCause

    result = outcome.result
    if result.cause is not None:
        kind = VolumeError if result.cause is StudyCause.BAD_INPUT else EngineError
        raise kind(f"no result: {result.reason.rstrip('.')}; nothing was written")
    return describe_study(outcome, outcome.files)


def print_study(outcome: StudyOutcome, *, as_json: bool) -> None:
    """Print what was found, or the document.

    Raises
    ------
    EngineError, VolumeError
        As :func:`require_answer`.
    """
    document = require_answer(outcome)
    if as_json:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())
        return
    first, *others = document.labels
    typer.echo(f"{document.words}: score {first.score:.2f}, threshold {first.threshold:.2f}")
    for label in others:
        note = "" if label.reached else ", below its threshold"
        typer.echo(f"  {label.name.replace('_', ' ')}: {label.score:.2f}{note}")
    doubts = {item.reason for item in document.measurements if item.name == "study_score" and item.label != first.name}
    for doubt in sorted(doubts):
        typer.echo(f"  {doubt}")
    for item in document.measurements:
        if item.name != "study_score":
            name, value = item.name.replace("_", " "), "not measured"
            if item.value is not None:
                value = f"{item.value:.1f} {item.unit}" + ("" if item.u95 is None else f" ± {item.u95:.1f} {item.unit}")
            typer.echo(f"{name}: {value}" + (f" ({item.reason})" if item.reason else ""))
    slices = ", ".join(str(z + 1) for z in document.top_planes)
    typer.echo(f"highest scores: slice {slices} of {len(document.planes)}, counted from the feet")
    for problem in document.series.problems:
        typer.echo(f"the series: {problem}")
    if outcome.folder is not None:
        typer.echo(f"written: {', '.join(str(outcome.folder / name) for name in outcome.files)}")
    typer.echo(document.notice)
