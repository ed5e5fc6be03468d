"""The command ``usassist bench worklist``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from usassist.app.commands.options import JsonOption

__all__ = ["worklist"]

_PERCENTILES = (50, 90, 95)


def worklist(
    sensitivity: Annotated[float, typer.Option(help="Of the flag.")] = 0.9,
    specificity: Annotated[float, typer.Option(help="Of the flag.")] = 0.9,
    load: Annotated[float, typer.Option(help="Share of time in which the reader is busy, below 1.")] = 0.8,
    prevalence: Annotated[float, typer.Option(help="Share of positive studies.")] = 0.1,
    reading_min: Annotated[float, typer.Option(help="Mean time of reading a study, min.")] = 6.0,
    scoring_min: Annotated[float, typer.Option(help="From arrival until a study is scored, min.")] = 1.0,
    constant: Annotated[bool, typer.Option("--constant", help="Every study takes the mean time.")] = False,
    studies: Annotated[int, typer.Option(min=1, max=5_000_000, help="How many arrive.")] = 200_000,
    seed: Annotated[int, typer.Option(help="Of the random numbers.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Simulate what reordering does to waiting times: the same arrivals in order of arrival, and flagged ones first."""
    from usassist.app.bench.worklist_waiting import WaitingSetup, simulate_waiting

    waiting = simulate_waiting(
        WaitingSetup(
            studies=studies,
            load=load,
            reading_min=reading_min,
            prevalence=prevalence,
            sensitivity=sensitivity,
            specificity=specificity,
            scoring_min=scoring_min,
            constant_reading=constant,
            seed=seed,
        )
    )
    groups = {
        "positive": waiting.positive,
        "positive, flagged": waiting.positive & waiting.flagged,
        "positive, missed": waiting.positive & ~waiting.flagged,
        "negative": ~waiting.positive,
        "all": waiting.positive | True,
    }
    figures = {
        name: {
            "studies": int(chosen.sum()),
            "fifo_min": _figures(waiting.fifo[chosen]),
            "reordered_min": _figures(waiting.reordered[chosen]),
        }
        for name, chosen in groups.items()
        if chosen.any()
    }
    if as_json:
        typer.echo(json.dumps(figures, indent=2))
        return
    _print(figures)


def _figures(waiting_min: object) -> dict[str, float]:
    import numpy as np

    values = np.asarray(waiting_min)
    found = {"mean": float(values.mean())}
    return found | {f"p{rank}": float(np.percentile(values, rank)) for rank in _PERCENTILES}


def _print(figures: dict[str, dict[str, object]]) -> None:
    from rich.console import Console

    from usassist.app.commands.tables import number_table

    names = ("mean", *(f"p{rank}" for rank in _PERCENTILES))
    table = number_table("from arrival to the beginning of reading, min", "studies", "number", "order", *names)
    for group, row in figures.items():
        for order, key in (("arrival", "fifo_min"), ("reordered", "reordered_min")):
            values = [f"{row[key][name]:.1f}" for name in names]  # type: ignore[index]
            table.add_row(group, str(row["studies"]), order, *values)
    Console().print(table)
