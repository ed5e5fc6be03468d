"""The command ``usassist bench codecs``."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import JsonOption, parse_size, resolve_demo

if TYPE_CHECKING:
    from rich.console import Console

    from usassist.app.bench.codecs import CodecFigures

__all__ = ["codecs"]


def codecs(
    source: Annotated[
        str, typer.Argument(help="Source of the frames: an address as replay takes it, or demo.")
    ] = "demo",
    count: Annotated[int, typer.Option(min=5, help="Frames.")] = 60,
    size: Annotated[str, typer.Option(help="Scaled to this size, px; empty = as they are.")] = "1280x720",
    colour: Annotated[bool, typer.Option("--colour", help="With a little colour in every frame.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Cost of a frame in each lossless codec: processor time to write and to read it, and its size."""
    from rich.console import Console

    from usassist.app.bench.codecs import candidates, measure_codecs, read_frames

    address, _ = resolve_demo(source, None)
    frames = read_frames(address, count, colour=colour, size_wh_px=parse_size(size) if size else None)
    figures = measure_codecs(frames, candidates(), Console(stderr=True, quiet=as_json).print)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(item) for item in figures], indent=2))
    else:
        _print_codecs(figures, frames[0].shape, len(frames), Console())


def _print_codecs(figures: list[CodecFigures], shape: tuple[int, ...], count: int, console: Console) -> None:
    """One line per codec; times are of one processor."""
    from usassist.app.commands.tables import number_table

    size = " x ".join(str(side) for side in shape)
    table = number_table(
        f"{count} frames of {size}; ms of processor time", "codec", "write p50", "p95", "read p50", "kB", "exact"
    )
    for item in figures:
        if item.problem:
            table.add_row(item.name, "", "", "", "", item.problem[:60])
            continue
        times = (f"{value:.2f}" for value in (item.encode_p50_ms, item.encode_p95_ms, item.decode_p50_ms))
        table.add_row(item.name, *times, f"{item.frame_kb:.1f}", "yes" if item.lossless else "NO")
    console.print(table)
