"""The command ``usassist sources profile``: keep the scan area of a scanner and preset in a geometry file."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["profile"]

_FRAMES = 30  # that must agree


def profile(
    source: Annotated[str, typer.Argument(help="Address of the source; see docs/sources.md.")],
    out: Annotated[Path, typer.Argument(help="File to write, for example logiqe_l12_thyroid.toml.")],
    valid_for: Annotated[str, typer.Option(help="Which scanner, probe, preset and grabber this is.")],
    crop: Annotated[str, typer.Option(help="Scan area: auto or X1,Y1,X2,Y2.")] = "auto",
    wait_s: Annotated[float, typer.Option("--wait", min=1.0, help="Give up after so many seconds.")] = 30.0,
) -> None:
    """Find the scan area of a scanner's screen, and write it down; millimetres have to be measured."""
    import tomlkit

    from usassist.common.private_files import write_atomic
    from usassist.errors import ScanAreaError, UsageError
    from usassist.sources import open_source, parse_crop

    if out.suffix != ".toml":
        raise UsageError(f"a geometry file ends in .toml, not {out.name}; choose another name")
    if out.exists():
        raise UsageError(f"{out} is there already, and such files are never edited; choose another name")
    area = parse_crop(crop)
    if area == "none":
        raise UsageError("the whole screen is no scan area; give auto or X1,Y1,X2,Y2")
    with open_source(source, session_id="profile", count=_FRAMES, crop=area) as opened:
        patience = threading.Timer(wait_s, opened.close)
        patience.daemon = True
        patience.start()
        found = [frame.roi_xyxy_px for frame in opened.frames()]
        patience.cancel()
        info, signal = opened.info, opened.signal
    if len(set(found)) != 1 or (len(found) < _FRAMES and signal is not None):
        reason = signal.reason if signal is not None and signal.reason else "the scan area did not stay where it was"
        raise ScanAreaError(f"no scan area in {wait_s:g} s: {reason}; look at the screen, or give it with --crop")
    document = tomlkit.document()
    for key, value in {
        "schema": 1,
        "calibration_id": out.stem,
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "measured_by": "engineer",
        "method": f"scan area {'found by itself' if area == 'auto' else 'given by hand'} on {len(found)} frames",
        "valid_for": valid_for,
        "grab_hw_px": list(info.grab_hw_px),
        "crop_xyxy_px": list(found[0]),
        "residual": "no millimetres: the spacing was not measured",
    }.items():
        document[key] = value
    write_atomic(out, tomlkit.dumps(document).encode("utf-8"))
    x1, y1, x2, y2 = found[0]
    typer.echo(
        f"scan area {x1},{y1},{x2},{y2} on a screen of {info.grab_hw_px[1]} x {info.grab_hw_px[0]} px; wrote {out}"
    )
