"""The command ``usassist sources profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["profile"]


def profile(
    source: Annotated[str, typer.Argument(help="Address of the source; see docs/sources.md.")],
    out: Annotated[Path, typer.Argument(help="File to write, for example logiqe_l12_thyroid.toml.")],
    valid_for: Annotated[str, typer.Option(help="Which scanner, probe, preset and grabber this is.")],
    crop: Annotated[str, typer.Option(help="Scan area: auto or X1,Y1,X2,Y2.")] = "auto",
    wait_s: Annotated[float, typer.Option("--wait", min=1.0, help="Give up after so many seconds.")] = 30.0,
) -> None:
    """Find the scan area of a scanner's screen, and write it down; millimetres have to be measured."""
    from usassist.app.runtime.scan_area_profile import write_scan_area_profile

    found = write_scan_area_profile(source, out, valid_for=valid_for, crop=crop, timeout_s=wait_s)
    x1, y1, x2, y2 = found.xyxy_px
    height, width = found.screen_hw_px
    typer.echo(f"scan area {x1},{y1},{x2},{y2} on a screen of {width} x {height} px; wrote {out}")
