"""The commands ``usassist engine bench`` and ``usassist engine quantize``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["bench", "quantize"]

EngineName = Annotated[str, typer.Argument(help="Engine: NAME or NAME@VERSION.")]
FolderOption = Annotated[Path | None, typer.Option(help="Folder of engines [default: those that ship].")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="CPU threads of the engine; 0 = all.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def bench(
    name: EngineName,
    backend: Annotated[str, typer.Option(help="Back end, or all.")] = "all",
    precision: Annotated[str, typer.Option(help="fp32, int8 or all.")] = "all",
    threads: ThreadsOption = 0,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="How long, all variants together.")] = 10.0,
    count: Annotated[int | None, typer.Option(min=1, help="Inferences of each variant instead.")] = None,
    engines: FolderOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time an engine on every back end and in every precision that can run here."""
    from rich.console import Console

    from usassist.app.bench import print_report
    from usassist.engine import BACKENDS, PRECISIONS, find_engine
    from usassist.engine.bench import bench as run_bench

    spec = find_engine(name, engines)
    with Console(stderr=True, quiet=as_json).status("measuring, the variants taking turns"):
        report = run_bench(
            spec,
            tuple(BACKENDS) if backend == "all" else (backend,),
            PRECISIONS if precision == "all" else (precision,),
            threads=threads,
            seconds=seconds,
            count=count,
        )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(report), indent=2))
    else:
        print_report(report, Console())


def quantize(
    name: EngineName,
    data: Annotated[Path | None, typer.Option(help="Folder of the data sets [default: USASSIST_DATA].")] = None,
    engines: FolderOption = None,
    threads: ThreadsOption = 0,
    replace: Annotated[bool, typer.Option("--replace", help="Make it again where there is one.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Quantise an engine to INT8, and keep the result if it passes the accuracy gate. Needs the extra `train`."""
    from rich.console import Console

    from usassist.app.quantize import check_may_write, judge_nodules, quantise_engine
    from usassist.config import data_dir
    from usassist.engine import find_engine
    from usassist.training.quantize import thyroid_sets

    spec = find_engine(name, engines)
    root = data if data is not None else data_dir()
    check_may_write(spec, replace=replace)
    console = Console(stderr=True, quiet=as_json)
    console.print("reading the calibration frames")
    sets = thyroid_sets(root)
    console.print("quantising, and measuring both precisions")
    done = quantise_engine(spec, sets, judge_nodules(spec, root), threads=threads, replace=replace)
    if as_json:
        typer.echo(json.dumps(done.as_dict(), indent=2))
        return
    for figure, value in done.gate.items():
        typer.echo(f"{figure}: {value.fp32:.4f} in FP32, {value.int8:.4f} in INT8, may fall by {value.limit:g}")
    typer.echo(f"size: {done.bytes_fp32 / 1e6:.2f} MB in FP32, {done.bytes_int8 / 1e6:.2f} MB in INT8")
    for path in done.files:
        typer.echo(f"wrote {path}")
