"""The command ``usassist engine bench``."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import EngineArgument, EnginesOption, JsonOption, ThreadsOption

if TYPE_CHECKING:
    from rich.console import Console

    from usassist.app.bench.engine_overhead import Overhead
    from usassist.engine import EngineSpec
    from usassist.engine.timing import TimingReport, Variant

__all__ = ["bench", "print_overheads", "print_report"]


def bench(
    name: EngineArgument,
    backend: Annotated[str, typer.Option(help="Back end, or all.")] = "all",
    precision: Annotated[str, typer.Option(help="fp32, fp16, int8 or all.")] = "all",
    threads: ThreadsOption = 0,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="How long, all variants together.")] = 10.0,
    count: Annotated[int | None, typer.Option(min=1, help="Inferences of each variant instead.")] = None,
    overhead: Annotated[
        bool, typer.Option("--overhead", help="Time the layer against OpenVINO alone instead.")
    ] = False,
    engines: EnginesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Time an engine on every back end and in every precision that can run here, and keep the order for `auto`."""
    from rich.console import Console

    from usassist.app.bench.engine_judge import reference_judge
    from usassist.app.runtime.describe_speed import describe_speeds
    from usassist.engine import PRECISIONS, find_engine, list_backends
    from usassist.engine.speed import measure_speeds
    from usassist.engine.timing import time_variants

    spec = find_engine(name, engines)
    if overhead:
        _overhead(spec, threads, seconds, as_json=as_json)
        return
    with Console(stderr=True, quiet=as_json).status("measuring, the variants take turns"):
        report = time_variants(
            spec,
            list_backends() if backend == "all" else (backend,),
            PRECISIONS if precision == "all" else (precision,),
            threads=threads,
            seconds=seconds,
            count=count,
            judge=reference_judge(spec, threads),
            judged_by="answered as the reference does",
        )
        speeds = measure_speeds(spec, threads) if backend == precision == "all" else None
    if as_json:
        order = None if speeds is None else dataclasses.asdict(speeds)
        typer.echo(json.dumps(dataclasses.asdict(report) | {"auto": order}, indent=2))
        return
    print_report(report, Console())
    if speeds is not None:
        typer.echo(f"auto takes, on the processor: {describe_speeds(speeds)}")


def print_report(report: TimingReport, console: Console) -> None:
    """Print the figures as tables, and the fastest variant that the judge accepts."""
    from rich import box
    from rich.table import Table

    from usassist.app.commands.left_out import print_left_out

    threads = f"{report.threads} threads" if report.threads else "all threads"
    table = Table(
        title=f"{report.engine_id}, {threads}, {report.rounds} rounds", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("times in ms", no_wrap=True)
    table.add_column("device", max_width=12)
    for column in ("ratio", "p50", "p95", "p99", "per s", "open", "warm-up", "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for item in report.variants:
        table.add_row(*_cells(item))
    console.print(table)
    if report.fastest is None:
        console.print(f"none {report.judged_by}")
    else:
        console.print(f"fastest that {report.judged_by}: {' '.join(report.fastest)}")
    console.print(
        f"ratio: median against {' '.join(report.reference)} in the same round, less is faster; "
        "times hold for this machine and its load now\n"
        "warm-up: inferences until one takes at most 1.25 times the median of the later half of the first 20, and "
        "how long they took; MB: memory of the process that opening added, without that of a GPU"
    )
    for item in report.variants:
        if item.rejected is not None:
            console.print(f"{item.backend} {item.precision}: {item.rejected}", style="red", markup=False)
    print_left_out([(gone.backend, gone.precision, gone.reason) for gone in report.left_out], "left out", console)


def print_overheads(spec: EngineSpec, threads: int, items: tuple[Overhead, ...], console: Console) -> None:
    """Print the figures as a table."""
    from rich import box
    from rich.table import Table

    used = f"{threads} threads" if threads else "all threads"
    table = Table(
        title=f"{spec.engine_id}: the engine layer over OpenVINO alone, {used}",
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    columns = ("precision", "direct", "layer", "ratio (95 %)", "difference (95 %)", "own work", "rounds")
    for column in columns:
        table.add_column(column, justify="left" if column == "precision" else "right", no_wrap=True)
    for item in items:
        table.add_row(
            item.precision,
            f"{item.direct_p50_ms:.3f}",
            f"{item.layer_p50_ms:.3f}",
            f"{item.ratio:.3f} ({item.ratio_low:.3f} to {item.ratio_high:.3f})",
            f"{item.difference_ms:.2f} ({item.difference_low_ms:.2f} to {item.difference_high_ms:.2f})",
            f"{item.own_ms:.3f}",
            str(item.rounds),
        )
    console.print(table)
    console.print(
        "medians in ms; ratio and difference in the same round, intervals by bootstrap over rounds; own work: of the "
        "layer, with a back end that returns a stored answer"
    )


def _overhead(spec: EngineSpec, threads: int, seconds: float, *, as_json: bool) -> None:
    from rich.console import Console

    from usassist.app.bench.engine_overhead import measure_overheads

    with Console(stderr=True, quiet=as_json).status("measuring, both take turns"):
        done = measure_overheads(spec, threads=threads, seconds=seconds)
    if as_json:
        typer.echo(json.dumps({"engine_id": spec.engine_id, "overheads": [dataclasses.asdict(item) for item in done]}))
    else:
        print_overheads(spec, threads, done, Console())


def _cells(item: Variant) -> list[str]:
    times = (f"{time_ms:.1f}" for time_ms in (item.p50_ms, item.p95_ms, item.p99_ms))
    return [
        f"{item.backend} {item.precision}",
        item.device,
        f"{item.ratio:.2f}",
        *times,
        f"{item.per_s:.0f}",
        f"{item.cold_open_ms:.0f}",
        f"{item.warm_up_count} in {item.warm_up_ms:.0f}",
        "?" if item.growth_mb is None else f"{item.growth_mb:.0f}",
    ]
