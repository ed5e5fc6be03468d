"""The commands ``usassist phantom …``: the simulated scanner as a file, or over a real socket, with faults."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import JsonOption
from usassist.app.commands.phantom_ct import phantom_ct_app
from usassist.errors import UsageError

__all__ = ["phantom_app"]

phantom_app = typer.Typer(help="The simulated scanner, and simulated studies.", no_args_is_help=True)
phantom_app.add_typer(phantom_ct_app, name="ct")


@phantom_app.command()
def serve(
    to: Annotated[
        str, typer.Option(help="udp://HOST:PORT, tcp://HOST:PORT or rtsp://HOST:PORT/NAME (both listen), or fifo:PATH.")
    ],
    faults: Annotated[
        str | None, typer.Option(help="Fault file (TOML), or all: each kind in turn. Without it there are no faults.")
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="How long (default: until Ctrl-C; faults come once).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same screens.")] = 1,
    rate: Annotated[float, typer.Option(min=1, max=120, help="Frames per second.")] = 30.0,
    size: Annotated[str, typer.Option(help="Height and width of the screen, HxW.")] = "720x1280",
    codec: Annotated[
        str | None,
        typer.Option(help="mpeg2video or mpeg4; for a FIFO also mjpeg, ffv1, rawvideo (default: mpeg2video; mjpeg)."),
    ] = None,
    log: Annotated[Path | None, typer.Option(help="Log of events with their times, one JSON object per line.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Fail when the reader disconnects.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Play the simulated scanner in real time, with faults at stated times."""
    from usassist.app.commands.progress import ProgressBar
    from usassist.common.signals import stop_on_signal
    from usassist.phantom.encoder import CODECS
    from usassist.phantom.fault_scanner import FaultScanner
    from usassist.phantom.faults import FaultPlan, load_faults
    from usassist.phantom.serve import open_transport
    from usassist.phantom.serve import serve as play

    def log_line(line: str) -> None:
        typer.echo(f"usassist: {line}", err=True)

    screen_hw_px = _size(size)
    plan = FaultPlan.all_kinds() if faults == "all" else FaultPlan()
    if faults not in (None, "all"):
        plan = load_faults(faults)
    transport = open_transport(to)
    try:
        codecs = CODECS[transport.container]
        if codec is not None and codec not in codecs:
            raise UsageError(f"there is no codec {codec} for {to.partition(':')[0]}; choose {' or '.join(codecs)}")
        log_line("rendering a sweep of a few seconds, which is then played forwards and backwards")
        with ProgressBar(quiet=as_json) as progress:
            scanner = FaultScanner(plan, seed=seed, rate_hz=rate, screen_hw_px=screen_hw_px, progress=progress.step)
        with stop_on_signal() as stop:
            what = f"{len(plan.faults)} faults in {plan.end_s:g} s" if plan.faults else "without faults"
            log_line(f"playing {what} — Ctrl-C ends it")
            served = play(scanner, transport, stop, log, seconds=seconds, codec=codec, once=once, report=log_line)
            interrupted = stop.is_set()
    finally:
        transport.close()
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(served)))
    else:
        typer.echo(
            f"{served.frames} frames in {served.seconds:.1f} s, {served.megabytes:.1f} MB, {served.skipped} skipped, "
            f"{served.cpu_ms_per_frame:.1f} ms of processor time per frame"
        )
        if served.missed:
            typer.echo(f"faults of which no frame was sent: {', '.join(plan.faults[i].kind for i in served.missed)}")
    raise typer.Exit(130 if interrupted else 0)


@phantom_app.command()
def render(
    out: Annotated[Path, typer.Argument(help="Video file to write, .mkv; the truth goes beside it.")],
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="Length.")] = 10.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same clip.")] = 1,
    lossless: Annotated[bool, typer.Option("--lossless", help="FFV1 instead of a compact codec.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Render a clip of the simulated scanner, with the truth about every frame."""
    from usassist.app.commands.progress import ProgressBar
    from usassist.phantom import render_clip

    with ProgressBar(quiet=as_json) as progress:
        render_clip(out, seconds=seconds, seed=seed, lossless=lossless, progress=progress.step)
    files = {"clip": str(out), "truth": str(out.with_suffix(".truth.jsonl"))}
    if as_json:
        typer.echo(json.dumps(files))
    else:
        for path in files.values():
            typer.echo(f"wrote {path}")


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{3,4})x(\d{3,4})", text)
    if match is None or int(match[1]) > int(match[2]):
        raise UsageError(f"--size {text} is not understood; write the height first, as in 720x1280")
    return int(match[1]), int(match[2])
