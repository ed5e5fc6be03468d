"""The command ``usassist engine quantize``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import EngineArgument, EnginesOption, JsonOption, ThreadsOption

__all__ = ["quantize"]


def quantize(
    name: EngineArgument,
    images: Annotated[Path | None, typer.Option(help="Folder of your own images, to set the ranges.")] = None,
    gate_images: Annotated[Path | None, typer.Option(help="Folder of your own images, to measure accuracy.")] = None,
    gate_masks: Annotated[Path | None, typer.Option(help="Folder of their masks, with the same names.")] = None,
    count: Annotated[int | None, typer.Option(min=20, help="Take so many of --images; 300 by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="Public data sets instead; USASSIST_DATA by default.")] = None,
    engines: EnginesOption = None,
    out: Annotated[Path | None, typer.Option(help="Write a copy of the engine with its INT8 to this folder.")] = None,
    threads: ThreadsOption = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Make it again where there is one.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Quantise an engine to INT8, and keep the result if it passes the gate. Needs the extra `train`."""
    from rich.console import Console

    from usassist.app.quantization.choose_frames import FrameFolders, choose_frames
    from usassist.app.quantization.quantize import check_can_quantise, quantise_engine
    from usassist.engine import find_engine
    from usassist.training.int8.quantize import import_quantiser

    folders = FrameFolders(images=images, gate_images=gate_images, gate_masks=gate_masks, count=count, data=data)
    spec = find_engine(name, engines)
    check_can_quantise(spec, replace=replace, out=out)
    import_quantiser()
    console = Console(stderr=True, quiet=as_json)
    console.print("reading the frames")
    sets, gate = choose_frames(spec, folders)
    console.print(f"quantising with {sum(len(item.images) for item in sets)} frames, and measuring both precisions")
    done = quantise_engine(spec, sets, gate, threads=threads, replace=replace, out=out)
    if as_json:
        typer.echo(json.dumps(done.as_dict(), indent=2))
        return
    for line in gate.lines(done.gate):
        typer.echo(line)
    typer.echo(f"size: {done.bytes_fp32 / 1e6:.2f} MB in FP32, {done.bytes_int8 / 1e6:.2f} MB in INT8")
    for path in done.files:
        typer.echo(f"wrote {path}")
