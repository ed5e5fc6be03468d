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
    return row | {"fit_for": _fit_for(facts)}


def _fit_for(facts: SeriesFacts) -> dict[str, dict[str, Any]]:
    """For each module whether the header speaks for the series, and why not. Voxels are looked at when it is run."""
    from usassist.modalities.ct.suitable import abdomen_reason, head_reason

    reasons = {"ich": head_reason(facts), "bodycomp": abdomen_reason(facts)}
    return {module: {"fit": not reason, "reason": reason or None} for module, reason in reasons.items()}


def _print(series: list[SeriesFacts]) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Series", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for name in ("no.", "series", "what", "voxels", "mm", "ich", "bodycomp"):
        table.add_column(name, no_wrap=name != "what", overflow="fold")
    notes = []
    for facts in series:
        fit_for = _fit_for(facts)
        what = dict.fromkeys([facts.modality, facts.body_part.lower(), *facts.description_words, facts.kernel])
        spacing = "x".join(f"{length:.3g}" for length in reversed(facts.spacing_zyx_mm))
        table.add_row(
            str(facts.number),
            facts.series_id,
            escape(", ".join(filter(None, what))),
            "x".join(map(str, reversed(facts.shape_zyx))),
            spacing if facts.spacing_is_known else "not known",
            *("yes" if fit["fit"] else "no" for fit in fit_for.values()),
        )
        if facts.unreadable:
            notes.append((facts.number, f"cannot be read: it {facts.unreadable}"))
        else:
            notes += [(facts.number, note) for note in _why_not(fit_for)]
        if facts.shape_zyx[0] == 1 and fit_for["bodycomp"]["fit"]:
            notes.append((facts.number, "is one plane: bodycomp needs its level (--level)"))
        notes += [(facts.number, problem) for problem in facts.problems]
    console = Console()
    console.print(table)
    for number, note in notes:
        console.print(f"{number}  {note}", highlight=False, markup=False, soft_wrap=True)


def _why_not(fit_for: dict[str, dict[str, Any]]) -> list[str]:
    """One line for each reason, with the modules that it speaks against."""
    modules: dict[str, list[str]] = {}
    for module, fit in fit_for.items():
        if fit["reason"]:
            modules.setdefault(fit["reason"], []).append(module)
    return [f"not for {' and '.join(names)}: it {reason}" for reason, names in modules.items()]
