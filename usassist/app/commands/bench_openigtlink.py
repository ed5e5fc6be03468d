"""The command ``usassist bench openigtlink``."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import FpsOption, JsonOption, SizeOption, parse_size
from usassist.errors import UsageError

if TYPE_CHECKING:
    from usassist.app.bench.openigtlink import LinkFigures

__all__ = ["openigtlink"]


def openigtlink(
    clients: Annotated[int, typer.Option(min=1, max=8, help="Clients, each in a process of its own.")] = 1,
    reader: Annotated[str, typer.Option(help="What they read with: usassist, or pyigtl.")] = "usassist",
    seconds: Annotated[float, typer.Option(min=1.0, help="To measure, after a warm-up.")] = 20.0,
    fps: FpsOption = 30,
    size: SizeOption = "1280x720",
    record: Annotated[bool, typer.Option("--record/--no-record", help="With the recorder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Rate and latency of image and outline at OpenIGTLink clients, from capture until both are there."""
    from rich.console import Console

    from usassist.app.bench.openigtlink import measure_link
    from usassist.app.bench.setup import Setup

    if reader not in ("usassist", "pyigtl"):
        raise UsageError(f"there is no reader {reader}; choose usassist or pyigtl")
    width_px, height_px = parse_size(size)
    setup = Setup(fps=fps, width_px=width_px, height_px=height_px, viewers=0, overlay=False, record=record)
    log = Console(stderr=True, quiet=as_json).print
    figures = measure_link(setup, clients=clients, reader=reader, seconds=seconds, log=log)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(figures), indent=2))
    else:
        _print_figures(figures)


def _print_figures(figures: LinkFigures) -> None:
    from rich.console import Console

    from usassist.app.commands.tables import number_table

    console = Console()
    height_px, width_px = figures.image_hw_px
    title = f"{figures.source}, {figures.seconds:g} s, ms from capture; {width_px} x {height_px} px; {figures.reader}"
    table = number_table(title, "", "frames/s", "p50", "p95", "p99", "max", "frames", "lost")
    rows = {"results published": figures.results} | {f"pair at {name}": seen for name, seen in figures.clients.items()}
    for name, seen in rows.items():
        times = (f"{value:.2f}" for value in (seen.p50_ms, seen.p95_ms, seen.p99_ms, seen.max_ms))
        lost = str(figures.lost.get(name.removeprefix("pair at "), ""))
        table.add_row(name, f"{seen.rate_hz:.1f}", *times, str(seen.frames), lost)
    console.print(table)
    console.print("images without their outline: " + ", ".join(map(str, figures.unpaired.values())))
    console.print("CPU %: " + ", ".join(f"{name} {cpu}" for name, cpu in figures.cpu_percent.items()))
