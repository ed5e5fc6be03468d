"""The command ``usassist bench isolation``."""

from __future__ import annotations

import dataclasses
import json
from typing import Annotated

import typer

from usassist.app.commands.options import FpsOption, JsonOption, SizeOption, parse_size

__all__ = ["isolation"]


def isolation(
    stalled: Annotated[int, typer.Option(min=1, max=64, help="Readers that stall.")] = 10,
    rounds: Annotated[int, typer.Option(min=2, max=100, help="Of each kind, in turn.")] = 5,
    seconds: Annotated[float, typer.Option(min=1.0, help="Of each round.")] = 12.0,
    fps: FpsOption = 30,
    size: SizeOption = "1280x720",
    as_json: JsonOption = False,
) -> None:
    """What stalled readers cost the stream and its other readers: latency and memory."""
    from rich.console import Console

    from usassist.app.bench.isolation import measure_isolation
    from usassist.app.bench.setup import Setup

    width_px, height_px = parse_size(size)
    setup = Setup(fps=fps, width_px=width_px, height_px=height_px, viewers=1)
    log = Console(stderr=True, quiet=as_json).print
    figures = measure_isolation(setup, stalled=stalled, rounds=rounds, seconds=seconds, log=log)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(figures) | {"broken": figures.broken}, indent=2))
    else:
        typer.echo(f"capture to published result, ms, {rounds} rounds of {seconds:g} s each")
        typer.echo(f"  alone                    p50 {figures.alone_p50_ms:.2f}  p99 {figures.alone_p99_ms:.2f}")
        typer.echo(
            f"  beside {stalled:3d} stalled readers p50 {figures.beside_p50_ms:.2f}  p99 {figures.beside_p99_ms:.2f}"
        )
        interval = f"{figures.ratio_low:.3f} to {figures.ratio_high:.3f}"
        typer.echo(f"p99 beside to alone {figures.ratio_p99:.3f} (95 % interval {interval})")
        typer.echo(
            f"memory of the stream at most {figures.growth_mb:+.1f} MiB; recorder's gaps {figures.recorder_gaps}"
        )
        typer.echo("broken: " + ", ".join(figures.broken) if figures.broken else "kept")
    raise typer.Exit(1 if figures.broken else 0)
