"""The commands ``usassist calibrate …``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usassist.errors import UsageError

__all__ = ["calibrate_app"]

calibrate_app = typer.Typer(help="Measure what lies in calibration/.", no_args_is_help=True)


@calibrate_app.callback()
def _calibrate() -> None:
    """Keep ``geometry`` a command of its own also while it is the only one."""


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
    from usassist.app.runtime.geometry_measurement import check_new, draw_geometry, measure_geometry, write_geometry

    check_new(out)
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
