"""The command ``usassist bench start``."""

from __future__ import annotations

import json
import statistics
from typing import Annotated

import typer

from usassist.app.commands.options import JsonOption

__all__ = ["start"]


def start(
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often it is started.")] = 5,
    source: Annotated[str, typer.Option(help="Live source.")] = "loop:demo",
    as_json: JsonOption = False,
) -> None:
    """Time from the command to the first result, and memory of the stream then."""
    from rich.console import Console

    from usassist.app.bench.start import measure_start

    figures = measure_start(rounds, source=source, log=Console(stderr=True, quiet=as_json).print)
    if as_json:
        typer.echo(json.dumps(figures.as_dict(), indent=2))
        return
    for name, values in (("result", figures.first_result_s), ("answer", figures.first_answer_s)):
        typer.echo(f"first {name} after {statistics.median(values):.2f} s, {min(values):.2f} to {max(values):.2f}")
    typer.echo(f"memory of the stream {statistics.median(figures.stream_rss_mb):.0f} MiB")
    typer.echo(f"calibration {figures.calibration.median_ms:.3f} ms")
