"""The command ``usassist bench view``."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import FpsOption, JsonOption, SizeOption, parse_size

if TYPE_CHECKING:
    from usassist.app.bench.view import Seen, ViewFigures

__all__ = ["view"]


def view(
    viewers: Annotated[int, typer.Option(min=0, max=32, help="Viewers of the page, beside the window.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="Without and with them, in turn.")] = 2,
    seconds: Annotated[float, typer.Option(min=1.0, help="Of each round.")] = 15.0,
    fps: FpsOption = 30,
    size: SizeOption = "1280x720",
    record: Annotated[bool, typer.Option("--record/--no-record", help="With the recorder.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Rate and latency of window and page, from capture to shown, and what they cost the stream.

    Needs a display for the window: xvfb-run -s '-screen 0 1920x1080x24' usassist bench view.
    """
    from rich.console import Console

    from usassist.app.bench.setup import Setup
    from usassist.app.bench.view import measure_view
    from usassist.sinks.overlay.window import require_display

    require_display()
    width_px, height_px = parse_size(size)
    setup = Setup(fps=fps, width_px=width_px, height_px=height_px, viewers=0, overlay=False, record=record)
    log = Console(stderr=True, quiet=as_json).print
    figures = measure_view(setup, viewers=viewers, rounds=rounds, seconds=seconds, log=log)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(figures) | {"ratio_p99": round(figures.ratio_p99, 3)}, indent=2))
    else:
        _print_figures(figures)


def _print_figures(figures: ViewFigures) -> None:
    from rich.console import Console

    from usassist.app.commands.tables import number_table

    console = Console()
    title = f"{figures.source}, {figures.rounds} rounds of {figures.seconds:g} s each, from capture, ms"
    table = number_table(title, "", "frames/s", "p50", "p95", "p99", "max", "frames")
    rows: dict[str, Seen] = {
        "results, without viewers": figures.stream_alone,
        "results, with viewers": figures.stream_beside,
    } | {f"shown, {name}": seen for name, seen in figures.shown.items()}
    for name, seen in rows.items():
        times = (f"{value:.2f}" for value in (seen.p50_ms, seen.p95_ms, seen.p99_ms, seen.max_ms))
        table.add_row(name, f"{seen.rate_hz:.1f}", *times, str(seen.frames))
    console.print(table)
    console.print(f"p99 of the stream with viewers to that without: {figures.ratio_p99:.3f}")
    console.print(f"frames without an answer: {figures.dropped[0]} without viewers, {figures.dropped[1]} with")
    console.print("CPU % with viewers: " + ", ".join(f"{name} {cpu}" for name, cpu in figures.cpu_percent.items()))
