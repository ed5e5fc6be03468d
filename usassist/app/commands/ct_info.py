"""The command ``usassist ct info``: the series of an input, and what each is fit for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usassist.app.commands.options import JsonOption

if TYPE_CHECKING:
    from usassist.sources.volumes import SeriesFacts

__all__ = ["info"]


def info(
    path: Annotated[Path, typer.Argument(metavar="INPUT", help="Folder, DICOM file, zip, or NIfTI file.")],
    as_json: JsonOption = False,
) -> None:
    """List the series of an input: size, spacing, what is wrong, what each is fit for. Shows nothing of the patient."""
    from usassist.sources.volumes import list_series

    series = list_series(path)
    if as_json:
        typer.echo(json.dumps({"series": [_row(facts) for facts in series]}, indent=2))
    else:
        _print(series)


def _row(facts: SeriesFacts) -> dict[str, Any]:
    row = facts.as_dict()
    del row["patient"]
    return row


def _print(series: list[SeriesFacts]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Series", title_justify="left")
    for name in ("no.", "series", "what", "voxels x, y, z", "spacing, mm", "encoding"):
        table.add_column(name, no_wrap=name in ("no.", "series"))
    for facts in series:
        what = [facts.modality, facts.body_part.lower(), *facts.description_words, facts.kernel]
        spacing = " x ".join(f"{length:.3g}" for length in reversed(facts.spacing_zyx_mm))
        table.add_row(
            str(facts.number),
            facts.series_id,
            escape(", ".join(filter(None, what))),
            " x ".join(map(str, reversed(facts.shape_zyx))),
            spacing if facts.spacing_is_known else "not known",
            escape(facts.transfer_syntax),
        )
    console = Console()
    console.print(table)
    for facts in series:
        for problem in facts.problems:
            console.print(f"{facts.number}: {problem}", highlight=False, markup=False, soft_wrap=True)
        if facts.unreadable:
            console.print(f"{facts.number} cannot be read: it {facts.unreadable}", markup=False, soft_wrap=True)
