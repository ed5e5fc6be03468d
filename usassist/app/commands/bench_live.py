"""The command ``usassist bench live``."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usassist.app.commands.options import (
    BackendOption,
    FpsOption,
    JsonOption,
    PrecisionOption,
    SizeOption,
    ThreadsOption,
    parse_size,
)

if TYPE_CHECKING:
    from rich.console import Console

    from usassist.app.bench.contract import Breach
    from usassist.app.bench.live import LiveFigures

__all__ = ["live"]

_BUSY_PERCENT = 15.0


def live(
    fps: FpsOption = 30,
    size: SizeOption = "1280x720",
    seconds: Annotated[float, typer.Option(min=1.0, help="To measure, after the warm-up.")] = 30.0,
    warm_up: Annotated[float, typer.Option("--warm-up", min=0.0, help="Seconds that do not count.")] = 5.0,
    viewers: Annotated[int, typer.Option(min=0, max=32, help="Viewers of the page; with none there is no page.")] = 1,
    stalled: Annotated[
        int,
        typer.Option(
            "--stalled-subscribers", min=0, max=64, help="Readers that subscribe to everything and are stopped."
        ),
    ] = 0,
    record: Annotated[bool, typer.Option("--record/--no-record", help="With the recorder.")] = True,
    overlay: Annotated[
        bool, typer.Option("--overlay/--no-overlay", help="With the overlay, drawn without a window.")
    ] = True,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
    contract: Annotated[bool, typer.Option("--contract/--no-contract", help="Compare with the contract.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Latency of a frame through a live session, from capture to the browser, and the resources it takes."""
    from rich.console import Console

    from usassist.app.bench.contract import breaches, find_limits, load_contract
    from usassist.app.bench.live import measure_live
    from usassist.app.bench.setup import Setup
    from usassist.common.processor import read_processor

    width_px, height_px = parse_size(size)
    setup = Setup(
        fps=fps,
        width_px=width_px,
        height_px=height_px,
        viewers=viewers,
        stalled=stalled,
        record=record,
        overlay=overlay,
        backend=backend,
        precision=precision,
        threads=threads,
    )
    found = find_limits(load_contract(), setup, read_processor().kind) if contract else None
    figures = measure_live(setup, seconds=seconds, warm_up_s=warm_up, log=Console(stderr=True, quiet=as_json).print)
    items = [] if found is None else breaches(figures, found[1])
    broken = [item.name for item in items if item.broken]
    if as_json:
        judged = None if found is None else {"table": found[0], "limits": [dataclasses.asdict(item) for item in items]}
        typer.echo(json.dumps(figures.as_dict() | {"contract": judged, "broken": broken}, indent=2))
    else:
        _print_figures(figures, Console())
        if found is not None:
            _print_contract(found[0], items, Console())
    raise typer.Exit(1 if broken or figures.accounts.unaccounted else 0)


def _print_figures(figures: LiveFigures, console: Console) -> None:
    """Stages, frames, processes, recording and the machine."""
    from usassist.app.commands.tables import number_table

    setup, accounts = figures.setup, figures.accounts
    stages = number_table(f"{setup.source}, {figures.seconds:.0f} s, ms", "stage", "p50", "p95", "p99", "max", "frames")
    for name, row in figures.stages.items():
        values = (f"{row[key]:.2f}" for key in ("p50_ms", "p95_ms", "p99_ms", "max_ms"))
        stages.add_row(name, *values, f"{row['count']:.0f}")
    console.print(stages)
    states = ", ".join(f"{state} {count}" for state, count in accounts.by_state.items() if count)
    causes = ", ".join(f"{cause} {count}" for cause, count in accounts.by_cause.items()) or "none"
    console.print(f"frames due {accounts.due}, delivered {accounts.frames}, skipped by the source {accounts.not_taken}")
    console.print(f"results: {states}; without an answer: {causes}")
    console.print(f"without their own result {accounts.without_own_percent:.2f} %; unaccounted {accounts.unaccounted}")
    usage = number_table("processes, MiB", "process", "CPU %", "RSS start", "RSS end", "RSS peak", "files", "threads")
    for name, item in figures.usage.items():
        memory = (f"{value:.1f}" for value in (item.rss_start_mb, item.rss_end_mb, item.rss_peak_mb))
        usage.add_row(name, f"{item.cpu_percent:.1f}", *memory, str(item.fds), str(item.threads))
    console.print(usage)
    if figures.recorded is not None:
        console.print(_describe_recording(figures.recorded))
    console.print(
        f"calibration {figures.calibration_ms:.3f} ms (before {figures.before.median_ms:.3f}, after "
        f"{figures.after.median_ms:.3f}, drift {figures.drift_percent:+.1f} %); engine {figures.stream['engine_id']} "
        f"on {figures.stream['backend']}"
    )
    if figures.others_percent > _BUSY_PERCENT:
        console.print(
            f"other programs used {figures.others_percent:.0f} % of a processor meanwhile: measure again without them"
        )


def _print_contract(name: str, items: list[Breach], console: Console) -> None:
    """Every limit, and which are broken."""
    from usassist.app.commands.tables import number_table

    table = number_table(f"contract {name}, ratios to the calibration", "limit", "measured", "at most", "")
    for item in items:
        table.add_row(item.name, f"{item.measured:.3f}", f"{item.limit:.3f}", "BROKEN" if item.broken else "kept")
    console.print(table)


def _describe_recording(recorded: dict[str, Any]) -> str:
    gaps = ", ".join(f"{topic} {count}" for topic, count in recorded["gaps"].items() if count) or "none"
    return (
        f"recorded: {recorded['frames']} frames, {recorded['results']} results, gaps: {gaps}, "
        f"{recorded['bytes'] / 2**20:.1f} MiB"
    )
