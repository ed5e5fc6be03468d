"""The command ``usassist bench soak``."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import FpsOption, JsonOption, SizeOption, parse_size

if TYPE_CHECKING:
    from rich.console import Console

    from usassist.app.bench.soak import SoakRun
    from usassist.app.bench.soak_figures import Judgement

__all__ = ["soak"]


def soak(
    frames: Annotated[int, typer.Option(min=200, help="How many.")] = 100_000,
    fps: FpsOption = 120,
    size: SizeOption = "640x360",
    frames_per_recording: Annotated[int, typer.Option(min=100, help="Then the recorder is killed.")] = 20_000,
    faults: Annotated[int, typer.Option(min=6, help="A fault every so many seconds.")] = 12,
    folder: Annotated[Path | None, typer.Option(help="Where recordings are made and deleted again.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run for long under fault injection: memory, files, threads, latency, and every frame."""
    from rich.console import Console

    from usassist.app.bench.soak import DEFAULT_SOAK_SETUP
    from usassist.app.bench.soak import soak as run_soak
    from usassist.app.bench.soak_figures import as_dict, judge

    width_px, height_px = parse_size(size)
    setup = dataclasses.replace(DEFAULT_SOAK_SETUP, fps=fps, width_px=width_px, height_px=height_px, faults_s=faults)
    log = Console(stderr=True, quiet=as_json).print
    with tempfile.TemporaryDirectory(prefix="usassist-soak-", dir=folder) as place:
        run = run_soak(frames, Path(place), setup=setup, frames_per_recording=frames_per_recording, log=log)
    judgement = judge(run)
    if as_json:
        typer.echo(json.dumps(as_dict(run, judgement), indent=2))
    else:
        _print_soak(run, judgement, Console())
    raise typer.Exit(1 if judgement.broken else 0)


def _print_soak(run: SoakRun, judgement: Judgement, console: Console) -> None:
    """Latency over time, memory, files and threads, every frame, and what is broken."""
    from usassist.app.commands.tables import number_table

    title = "answered frames, capture to published result, and the calibration workload meanwhile, ms"
    blocks = number_table(title, "from frame", "frames", "p50", "p99", "work")
    for block in judgement.blocks:
        work = "–" if block.work_ms is None else f"{block.work_ms:.2f}"
        blocks.add_row(str(block.first_frame), str(block.frames), f"{block.p50_ms:.2f}", f"{block.p99_ms:.2f}", work)
    console.print(blocks)
    growth = number_table(
        "from the end of the warm-up to the end", "process", "RSS MiB", "end", "most", "files", "threads"
    )
    for name, item in judgement.growth.items():
        memory = (f"{item.growth_mb:+.1f}", f"{item.rss_end_mb:.1f}", f"{item.rss_peak_mb:.1f}")
        growth.add_row(name, *memory, f"{item.fds:+d}", f"{item.threads:+d}")
    console.print(growth)
    states = ", ".join(f"{state} {count}" for state, count in run.results.by_state().items() if count)
    causes = ", ".join(f"{cause} {count}" for cause, count in run.results.by_cause().items()) or "none"
    console.print(f"{len(run.results)} frames: {states}; without an answer: {causes}")
    console.print(
        f"skipped by the source {run.passed_over}, reconnections {run.reconnects}, viewers "
        f"{run.viewers_seen} (killed {run.viewers_killed}), recorders {run.recorders}"
    )
    console.print(
        f"recorded: {run.frames_recorded} frames, {run.results_recorded} results; in no recording: "
        f"{run.frames_missing} frames, {run.results_missing} results; marks {run.marks_recorded} of "
        f"{run.marks_made}; unaccounted {run.unaccounted}"
    )
    drift = "–" if judgement.drift is None else f"{judgement.drift:.3f}"
    console.print(f"median latency, last quarter to first, relative to the workload: {drift}")
    for line in judgement.broken:
        console.print(f"broken: {line}")
