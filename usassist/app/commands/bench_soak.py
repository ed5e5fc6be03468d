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

    from usassist.app.bench.soak import Soaked
    from usassist.app.bench.soak_figures import Judgement

__all__ = ["soak"]


def soak(
    frames: Annotated[int, typer.Option(min=200, help="How many.")] = 100_000,
    fps: FpsOption = 120,
    size: SizeOption = "640x360",
    frames_per_recording: Annotated[int, typer.Option(min=100, help="Then the recorder is killed.")] = 20_000,
    faults: Annotated[int, typer.Option(min=6, help="Every so many seconds something goes wrong.")] = 12,
    folder: Annotated[Path | None, typer.Option(help="Where recordings are made and deleted again.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Run for long, with everything going wrong that can: memory, files, threads, latency, and every frame."""
    from rich.console import Console

    from usassist.app.bench.soak import SOAK_SETUP
    from usassist.app.bench.soak import soak as run_soak
    from usassist.app.bench.soak_figures import as_dict, judge

    width_px, height_px = parse_size(size)
    setup = dataclasses.replace(SOAK_SETUP, fps=fps, width_px=width_px, height_px=height_px, faults_s=faults)
    say = Console(stderr=True, quiet=as_json).print
    with tempfile.TemporaryDirectory(prefix="usassist-soak-", dir=folder) as place:
        soaked = run_soak(frames, Path(place), setup=setup, frames_per_recording=frames_per_recording, say=say)
    judgement = judge(soaked)
    if as_json:
        typer.echo(json.dumps(as_dict(soaked, judgement), indent=2))
    else:
        _print_soak(soaked, judgement, Console())
    raise typer.Exit(1 if judgement.broken else 0)


def _print_soak(soaked: Soaked, judgement: Judgement, console: Console) -> None:
    """Latency over time, memory, files and threads, every frame, and what is broken."""
    from usassist.app.commands.tables import number_table

    title = "answered frames, capture to published result, and the calibration's work meanwhile, ms"
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
    states = ", ".join(f"{state} {count}" for state, count in soaked.results.by_state().items() if count)
    causes = ", ".join(f"{cause} {count}" for cause, count in soaked.results.by_cause().items()) or "none"
    console.print(f"{len(soaked.results)} frames: {states}; without an answer: {causes}")
    console.print(
        f"passed over by the source {soaked.passed_over}, reconnections {soaked.reconnects}, viewers "
        f"{soaked.viewers_seen} (killed {soaked.viewers_killed}), recorders {soaked.recorders}"
    )
    console.print(
        f"recorded: {soaked.frames_recorded} frames, {soaked.results_recorded} results; in no recording: "
        f"{soaked.frames_missing} frames, {soaked.results_missing} results; marks {soaked.marks_recorded} of "
        f"{soaked.marks_made}; unaccounted {soaked.unaccounted}"
    )
    drift = "–" if judgement.drift is None else f"{judgement.drift:.3f}"
    console.print(f"median latency, last quarter to first, both to the work: {drift}")
    for line in judgement.broken:
        console.print(f"broken: {line}")
