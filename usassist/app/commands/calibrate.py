"""The commands ``usassist calibrate …``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.evaluate_calibrate import calibrate as calibrate_score
from usassist.errors import UsageError

__all__ = ["calibrate_app"]

calibrate_app = typer.Typer(help="Measure what lies in calibration/.", no_args_is_help=True)


calibrate_app.command("score")(calibrate_score)  # the same as ``usassist eval calibrate``


@calibrate_app.command()
def geometry(
    source: Annotated[str, typer.Argument(help="Live input, clip, picture or DICOM file; see docs/sources.md.")],
    out: Annotated[Path, typer.Argument(help="New file, for example logiqe_l12_thyroid_40mm.toml.")],
    valid_for: Annotated[str, typer.Option(help="Which scanner, probe, preset, depth and grabber this is.")],
    picture: Annotated[
        Path | None, typer.Option(help="Picture of the scan area with lines every 10 mm (default: beside OUT, .png).")
    ] = None,
    crop: Annotated[str, typer.Option(help="Scan area: auto or X1,Y1,X2,Y2.")] = "auto",
    wait_s: Annotated[float, typer.Option("--wait", min=1.0, help="Give up after so many seconds.")] = 30.0,
    yes: Annotated[bool, typer.Option("--yes", help="Write the file without asking.")] = False,
) -> None:
    """Read scan area and scale from a scanner's screen, show them, and write a geometry file."""
    from usassist.app.runtime.calibration_file import check_new
    from usassist.app.runtime.geometry_measurement import draw_geometry, measure_geometry, write_geometry

    check_new(out, "geometry")
    shown = picture or out.with_suffix(".png")
    if shown.exists():
        raise UsageError(f"{shown} is there already; choose another name with --picture")
    measured = measure_geometry(source, crop=crop, timeout_s=wait_s)
    draw_geometry(measured, shown)
    row_mm, column_mm = measured.spacing_rc_mm
    x1, y1, x2, y2 = measured.xyxy_px
    typer.echo(
        f"scan area {x1},{y1},{x2},{y2}; {row_mm:.5f} x {column_mm:.5f} mm per px (rows x columns), "
        f"{measured.spacing_rel_sd:.2%}, by {measured.origin}, on {measured.frames} frames"
    )
    typer.echo(f"lines every 10 mm in {shown}; compare them with the ruler on the screen")
    if yes or typer.confirm(f"write {out}?"):
        write_geometry(measured, out, valid_for=valid_for)
        typer.echo(f"wrote {out}")
    else:
        typer.echo("nothing was written")


@calibrate_app.command()
def latency(
    source: Annotated[str, typer.Argument(help="Live input that sees the code; see docs/sources.md.")],
    out: Annotated[Path, typer.Argument(help="New file, for example cart_hdmi_magewell.toml.")],
    valid_for: Annotated[str, typer.Option(help="Which output, grabber, mode and machine this is.")],
    window: Annotated[
        bool, typer.Option(help="Show the code in a window; without, the source delivers a stream of codes.")
    ] = True,
    rate: Annotated[float, typer.Option(min=1.0, max=240.0, help="Codes per second.")] = 60.0,
    refresh: Annotated[float, typer.Option(min=1.0, max=240.0, help="Refresh of that screen, Hz.")] = 60.0,
    size: Annotated[str, typer.Option(help="Height and width of the picture in the window, HxW.")] = "480x640",
    at: Annotated[str | None, typer.Option(help="X,Y of the screen that the window fills.")] = None,
    seconds: Annotated[float, typer.Option(min=2.0, max=600.0, help="How long.")] = 20.0,
    yes: Annotated[bool, typer.Option("--yes", help="Write the file without asking.")] = False,
) -> None:
    """Measure how long a picture takes from this machine's screen into a captured frame."""
    from usassist.app.runtime.calibration_file import check_new
    from usassist.app.runtime.latency_measurement import (
        evaluate_codes,
        read_codes,
        read_codes_of_window,
        write_latency,
    )

    check_new(out, "latency")
    size_hw_px = _pair(size, "x", "--size", "480x640")
    at_xy_px = None if at is None else _pair(at, ",", "--at", "1920,0")
    if not window and at is not None:
        raise UsageError("--at places the window; leave out --no-window")
    if window:
        seen = read_codes_of_window(source, seconds, rate_hz=rate, at_xy_px=at_xy_px, size_hw_px=size_hw_px)
    else:
        seen = read_codes(source, seconds)
    measured = evaluate_codes(seen, code_rate_hz=rate, refresh_hz=refresh if window else None)
    typer.echo(
        f"from screen to capture p50 {measured.p50_ms:.1f} ± {2 * measured.uncertainty_ms:.1f} (95 %)  "
        f"p95 {measured.p95_ms:.1f}  max {measured.max_ms:.1f} ms, on {measured.frames} frames at "
        f"{measured.frame_rate_hz:.1f} Hz, {measured.unread} unread; until decoded p50 {measured.decoded_p50_ms:.1f} ms"
    )
    if yes or typer.confirm(f"write {out}?"):
        write_latency(measured, out, valid_for=valid_for)
        typer.echo(f"wrote {out}")
    else:
        typer.echo("nothing was written")


@calibrate_app.command()
def code(
    rate: Annotated[int, typer.Option(min=1, max=240, help="Codes per second.")] = 60,
    size: Annotated[str, typer.Option(help="Height and width of the pictures, HxW.")] = "480x640",
    delay: Annotated[int, typer.Option(min=0, max=10_000, help="Each code is so old, ms: a path of known delay.")] = 0,
    count: Annotated[int | None, typer.Option(min=1, help="Number of pictures (default: until Ctrl-C).")] = None,
) -> None:
    """Write a stream of time codes to the standard output, as YUV4MPEG video: for `calibrate latency --no-window`."""
    import contextlib
    import sys

    from usassist.app.runtime.time_code_output import write_code_stream
    from usassist.common.clock import MonotonicClock

    if sys.stdout.isatty():
        raise UsageError("this writes video; give it to pipe: as a command, or redirect it into a FIFO")
    hw_px = _pair(size, "x", "--size", "480x640")

    def write(data: bytes) -> None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):  # the reader has what it wanted
        write_code_stream(write, rate_hz=rate, hw_px=hw_px, delay_ms=delay, count=count, clock=MonotonicClock())


def _pair(text: str, between: str, option: str, example: str) -> tuple[int, int]:
    first, _, second = text.partition(between)
    if not (first.isdecimal() and second.isdecimal()):
        raise UsageError(f"{option} {text} is not two numbers; write {option} {example}")
    least = (120, 140) if option == "--size" else (0, 0)
    if int(first) < least[0] or int(second) < least[1] or max(int(first), int(second)) > 16_384:
        raise UsageError(f"{option} {text} is out of range; write {option} {example}")
    return int(first), int(second)
