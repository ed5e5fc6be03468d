"""The command ``usassist bench replay``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from usassist.app.commands.options import JsonOption

__all__ = ["replay"]


def replay(
    clip: Annotated[str, typer.Argument(help="What is played in a loop.")] = "demo",
    count: Annotated[int, typer.Option(min=10, help="Frames of a round.")] = 900,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often it runs.")] = 3,
    results_only: Annotated[bool, typer.Option("--results-only", help="Without recording the frames.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Frames per second that are answered and recorded, as fast as possible."""
    from rich.console import Console

    from usassist.app.bench.start import measure_replay

    log = Console(stderr=True, quiet=as_json).print
    figures = measure_replay(rounds, count, clip=clip, results_only=results_only, log=log)
    document = figures.as_dict()
    if as_json:
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(
        f"{document['kept_median_per_s']} frames/s answered and on disk, median of {rounds} rounds of {count} frames"
    )
    in_time = document["frames_per_calibration"]
    typer.echo(f"calibration {figures.calibration.median_ms:.3f} ms: {in_time:.3f} frames in that time")
