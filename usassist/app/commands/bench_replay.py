"""The command ``usassist bench replay``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from usassist.app.commands.options import JsonOption

__all__ = ["replay"]


def replay(
    clip: Annotated[str, typer.Argument(help="What is played over and over.")] = "demo",
    count: Annotated[int, typer.Option(min=10, help="Frames of a round.")] = 900,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often.")] = 3,
    results_only: Annotated[bool, typer.Option("--results-only", help="Without recording the frames.")] = False,
    as_json: JsonOption = False,
) -> None:
    """How many frames a second are answered and recorded, as fast as it goes."""
    from rich.console import Console

    from usassist.app.bench.start import measure_replay

    say = Console(stderr=True, quiet=as_json).print
    figures = measure_replay(rounds, count, clip=clip, results_only=results_only, say=say)
    told = figures.as_dict()
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(
        f"{told['kept_median_per_s']} frames/s answered and on disk, median of {rounds} rounds of {count} frames"
    )
    typer.echo(
        f"calibration {figures.calibration.median_ms:.3f} ms: {told['frames_per_calibration']:.3f} frames in that time"
    )
