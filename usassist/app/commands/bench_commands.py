"""The commands ``usassist bench live``, ``start``, ``replay``, ``isolation``, ``soak`` and ``codecs``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["codecs", "isolation", "live", "replay", "soak", "start"]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
SizeOption = Annotated[str, typer.Option(help="Size of the screen, px.")]
FpsOption = Annotated[int, typer.Option(min=1, max=240, help="Pictures a second.")]
BackendOption = Annotated[str, typer.Option(help="Back end, or auto.")]
PrecisionOption = Annotated[str, typer.Option(help="fp32, int8 or auto.")]


def live(
    fps: FpsOption = 30,
    size: SizeOption = "1280x720",
    seconds: Annotated[float, typer.Option(min=1.0, help="To measure, after the warm-up.")] = 30.0,
    warm_up: Annotated[float, typer.Option("--warm-up", min=0.0, help="Seconds that do not count.")] = 5.0,
    viewers: Annotated[int, typer.Option(min=0, max=32, help="Viewers of the page; with none there is no page.")] = 1,
    stalled: Annotated[
        int, typer.Option("--stalled-subscribers", min=0, max=64, help="Readers that ask for all and are stopped.")
    ] = 0,
    record: Annotated[bool, typer.Option("--record/--no-record", help="With the recorder.")] = True,
    overlay: Annotated[
        bool, typer.Option("--overlay/--no-overlay", help="With the overlay, drawn without a window.")
    ] = True,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    threads: Annotated[int, typer.Option(min=0, help="CPU threads of the engine; 0 = all.")] = 0,
    contract: Annotated[bool, typer.Option("--contract/--no-contract", help="Hold it against the contract.")] = True,
    as_json: JsonOption = False,
) -> None:
    """How long a frame takes through a live session, from capture to the browser, and what that costs."""
    import dataclasses

    from rich.console import Console

    from usassist.app.bench.contract import breaches, find_limits, load_contract
    from usassist.app.bench.live import measure_live
    from usassist.app.bench.setup import Setup
    from usassist.app.commands.bench_report import print_contract, print_figures
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
    figures = measure_live(setup, seconds=seconds, warm_up_s=warm_up, say=Console(stderr=True, quiet=as_json).print)
    items = [] if found is None else breaches(figures, found[1])
    broken = [item.name for item in items if item.broken]
    if as_json:
        words = None if found is None else {"table": found[0], "limits": [dataclasses.asdict(item) for item in items]}
        typer.echo(json.dumps(figures.as_dict() | {"contract": words, "broken": broken}, indent=2))
    else:
        print_figures(figures, Console())
        if found is not None:
            print_contract(found[0], items, Console())
    raise typer.Exit(1 if broken or figures.accounts.unaccounted else 0)


def start(
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often it is started.")] = 5,
    source: Annotated[str, typer.Option(help="Live source.")] = "loop:demo",
    as_json: JsonOption = False,
) -> None:
    """How long it takes from the command to the first result, and how much memory the stream then has."""
    import statistics

    from rich.console import Console

    from usassist.app.bench.start import measure_start

    figures = measure_start(rounds, source=source, say=Console(stderr=True, quiet=as_json).print)
    if as_json:
        typer.echo(json.dumps(figures.as_dict(), indent=2))
        return
    for words, values in (("result", figures.first_result_s), ("answer", figures.first_answer_s)):
        typer.echo(f"first {words} after {statistics.median(values):.2f} s, {min(values):.2f} to {max(values):.2f}")
    typer.echo(f"memory of the stream {statistics.median(figures.stream_rss_mb):.0f} MiB")
    typer.echo(f"calibration {figures.calibration.median_ms:.3f} ms")


def replay(
    clip: Annotated[str, typer.Argument(help="What is played over and over.")] = "demo",
    count: Annotated[int, typer.Option(min=10, help="Frames of a round.")] = 900,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often.")] = 3,
    results_only: Annotated[bool, typer.Option("--results-only", help="Without recording the frames.")] = False,
    as_json: JsonOption = False,
) -> None:
    """How many frames a second are answered and recorded, as fast as it goes."""
    from rich.console import Console

    from usassist.app.bench.start import measure_replay

    say = Console(stderr=True, quiet=as_json).print
    figures = measure_replay(rounds, count, clip=clip, results_only=results_only, say=say)
    told = figures.as_dict()
    if as_json:
        typer.echo(json.dumps(told, indent=2))
        return
    typer.echo(
        f"{told['kept_median_per_s']} frames/s answered and on disk, median of {rounds} rounds of {count} frames"
    )
    typer.echo(
        f"calibration {figures.calibration.median_ms:.3f} ms: {told['frames_per_calibration']:.3f} frames in that time"
    )


def isolation(
    stalled: Annotated[int, typer.Option(min=1, max=64, help="Readers that are stopped.")] = 10,
    rounds: Annotated[int, typer.Option(min=2, max=100, help="Of each kind, in turn.")] = 5,
    seconds: Annotated[float, typer.Option(min=1.0, help="Of each round.")] = 12.0,
    fps: FpsOption = 30,
    size: SizeOption = "1280x720",
    as_json: JsonOption = False,
) -> None:
    """What readers that have stopped cost everybody else: latency and the stream's memory."""
    import dataclasses

    from rich.console import Console

    from usassist.app.bench.isolation import measure_isolation
    from usassist.app.bench.setup import Setup

    width_px, height_px = parse_size(size)
    setup = Setup(fps=fps, width_px=width_px, height_px=height_px, viewers=1)
    say = Console(stderr=True, quiet=as_json).print
    figures = measure_isolation(setup, stalled=stalled, rounds=rounds, seconds=seconds, say=say)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(figures) | {"broken": figures.broken}, indent=2))
    else:
        typer.echo(f"capture to published result, ms, {rounds} rounds of {seconds:g} s each")
        typer.echo(f"  alone                    p50 {figures.alone_p50_ms:.2f}  p99 {figures.alone_p99_ms:.2f}")
        typer.echo(
            f"  beside {stalled:3d} stopped readers p50 {figures.beside_p50_ms:.2f}  p99 {figures.beside_p99_ms:.2f}"
        )
        interval = f"{figures.ratio_low:.3f} to {figures.ratio_high:.3f}"
        typer.echo(f"p99 beside to alone {figures.ratio_p99:.3f} (95 % interval {interval})")
        typer.echo(
            f"memory of the stream at most {figures.growth_mb:+.1f} MiB; recorder's gaps {figures.recorder_gaps}"
        )
        typer.echo("broken: " + ", ".join(figures.broken) if figures.broken else "kept")
    raise typer.Exit(1 if figures.broken else 0)


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
    import dataclasses
    import tempfile

    from rich.console import Console

    from usassist.app.bench.soak import SOAK_SETUP
    from usassist.app.bench.soak import soak as run_soak
    from usassist.app.bench.soak_figures import as_dict, judge
    from usassist.app.commands.bench_report import print_soak

    width_px, height_px = parse_size(size)
    setup = dataclasses.replace(SOAK_SETUP, fps=fps, width_px=width_px, height_px=height_px, faults_s=faults)
    say = Console(stderr=True, quiet=as_json).print
    with tempfile.TemporaryDirectory(prefix="usassist-soak-", dir=folder) as place:
        soaked = run_soak(frames, Path(place), setup=setup, frames_per_recording=frames_per_recording, say=say)
    judgement = judge(soaked)
    if as_json:
        typer.echo(json.dumps(as_dict(soaked, judgement), indent=2))
    else:
        print_soak(soaked, judgement, Console())
    raise typer.Exit(1 if judgement.broken else 0)


def codecs(
    source: Annotated[str, typer.Argument(help="What is kept: an address as replay takes it, or demo.")] = "demo",
    count: Annotated[int, typer.Option(min=5, help="Frames.")] = 60,
    size: Annotated[str, typer.Option(help="Scaled to this size, px; empty = as they are.")] = "1280x720",
    colour: Annotated[bool, typer.Option("--colour", help="With a little colour in every frame.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What a frame costs in each lossless codec: processor time to write and to read it, and its size."""
    import dataclasses

    from rich.console import Console

    from usassist.app.bench.codecs import candidates, measure_codecs, read_frames
    from usassist.app.commands.bench_report import print_codecs
    from usassist.app.commands.options import resolve_demo

    address, _ = resolve_demo(source, None)
    frames = read_frames(address, count, colour=colour, size_wh_px=parse_size(size) if size else None)
    figures = measure_codecs(frames, candidates(), Console(stderr=True, quiet=as_json).print)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(item) for item in figures], indent=2))
    else:
        print_codecs(figures, frames[0].shape, len(frames), Console())


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of ``1280x720``.

    Raises
    ------
    UsageError
        If it is another text.
    """
    from usassist.errors import UsageError

    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    if match is None:
        raise UsageError(f"{text} is no size; write WIDTHxHEIGHT such as 1280x720")
    return int(match[1]), int(match[2])
