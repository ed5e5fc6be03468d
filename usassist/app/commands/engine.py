"""The commands ``usassist engine bench`` and ``usassist engine quantize``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from usassist.engine import EngineSpec

__all__ = ["bench", "quantize"]

EngineName = Annotated[str, typer.Argument(help="Engine: NAME or NAME@VERSION.")]
FolderOption = Annotated[Path | None, typer.Option(help="Folder of engines [default: those that ship].")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="CPU threads of the engine; 0 = all.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def bench(
    name: EngineName,
    backend: Annotated[str, typer.Option(help="Back end, or all.")] = "all",
    precision: Annotated[str, typer.Option(help="fp32, fp16, int8 or all.")] = "all",
    threads: ThreadsOption = 0,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="How long, all variants together.")] = 10.0,
    count: Annotated[int | None, typer.Option(min=1, help="Inferences of each variant instead.")] = None,
    overhead: Annotated[
        bool, typer.Option("--overhead", help="Time the layer against OpenVINO alone instead.")
    ] = False,
    engines: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time an engine on every back end and in every precision that can run here, and keep the order for `auto`."""
    from rich.console import Console

    from usassist.app.commands.engine_report import print_report, same_as_reference
    from usassist.app.commands.speed_report import speed_words
    from usassist.engine import PRECISIONS, find_engine, list_backends
    from usassist.engine.speed import measure_speeds
    from usassist.engine.timing import time_variants

    spec = find_engine(name, engines)
    if overhead:
        _overhead(spec, threads, seconds, as_json=as_json)
        return
    with Console(stderr=True, quiet=as_json).status("measuring, the variants taking turns"):
        report = time_variants(
            spec,
            list_backends() if backend == "all" else (backend,),
            PRECISIONS if precision == "all" else (precision,),
            threads=threads,
            seconds=seconds,
            count=count,
            judge=same_as_reference(spec, threads),
            judged_by="answered as the reference does",
        )
        speeds = measure_speeds(spec, threads) if backend == precision == "all" else None
    if as_json:
        order = None if speeds is None else dataclasses.asdict(speeds)
        typer.echo(json.dumps(dataclasses.asdict(report) | {"auto": order}, indent=2))
        return
    print_report(report, Console())
    if speeds is not None:
        typer.echo(f"auto takes, on the processor: {speed_words(speeds)}")


def quantize(
    name: EngineName,
    images: Annotated[Path | None, typer.Option(help="Folder of your own pictures, to set the ranges.")] = None,
    gate_images: Annotated[Path | None, typer.Option(help="Folder of your own pictures, to measure accuracy.")] = None,
    gate_masks: Annotated[Path | None, typer.Option(help="Folder of their masks, with the same names.")] = None,
    count: Annotated[int | None, typer.Option(min=20, help="Take so many of --images; 300 by default.")] = None,
    data: Annotated[Path | None, typer.Option(help="Public data sets instead; USASSIST_DATA by default.")] = None,
    engines: FolderOption = None,
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
    from usassist.training.quantize import import_quantiser

    wanted = FrameFolders(images=images, gate_images=gate_images, gate_masks=gate_masks, count=count, data=data)
    spec = find_engine(name, engines)
    check_can_quantise(spec, replace=replace, out=out)
    import_quantiser()
    console = Console(stderr=True, quiet=as_json)
    console.print("reading the frames")
    sets, gate = choose_frames(spec, wanted)
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


def _overhead(spec: EngineSpec, threads: int, seconds: float, *, as_json: bool) -> None:
    from rich.console import Console

    from usassist.app.bench.engine_overhead import overheads, print_overheads

    with Console(stderr=True, quiet=as_json).status("measuring, both taking turns"):
        done = overheads(spec, threads=threads, seconds=seconds)
    if as_json:
        typer.echo(json.dumps({"engine_id": spec.engine_id, "overheads": [dataclasses.asdict(item) for item in done]}))
    else:
        print_overheads(spec, threads, done, Console())
