"""Find the scan area of a scanner and preset, and keep it in a geometry file."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import tomlkit

from usassist.common.private_files import write_atomic
from usassist.errors import ScanAreaError, UsageError
from usassist.sources import open_source, parse_crop

__all__ = ["ScanAreaProfile", "write_scan_area_profile"]

_FRAMES = 30  # that must agree


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanAreaProfile:
    """The scan area that was written.

    Attributes
    ----------
    xyxy_px : on the screen
    screen_hw_px : size of the screen
    """

    xyxy_px: tuple[int, int, int, int]
    screen_hw_px: tuple[int, int]


def write_scan_area_profile(source: str, out: Path, *, valid_for: str, crop: str, timeout_s: float) -> ScanAreaProfile:
    """Find the scan area on a few frames, which must agree, and write a geometry file without millimetres.

    Parameters
    ----------
    source : address
    out : new file, .toml
    valid_for : which scanner, probe, preset and grabber this is
    crop : ``auto`` or ``x1,y1,x2,y2``
    timeout_s : give up after that

    Raises
    ------
    UsageError
        If `out` exists or is no TOML file, or the crop is the whole screen.
    ScanAreaError
        If no scan area is found in time, or it moves.
    """
    if out.suffix != ".toml":
        raise UsageError(f"a geometry file ends in .toml, not {out.name}; choose another name")
    if out.exists():
        raise UsageError(f"{out} is there already, and such files are never edited; choose another name")
    area = parse_crop(crop)
    if area == "none":
        raise UsageError("the whole screen is no scan area; give auto or X1,Y1,X2,Y2")
    with open_source(source, session_id="profile", count=_FRAMES, crop=area, scale="none") as opened:
        timeout = threading.Timer(timeout_s, opened.close)
        timeout.daemon = True
        timeout.start()
        found = [frame.roi_xyxy_px for frame in opened.frames()]
        timeout.cancel()
        info, signal = opened.info, opened.signal
    if len(set(found)) != 1 or (len(found) < _FRAMES and signal is not None):
        reason = signal.reason if signal is not None and signal.reason else "the scan area moved between frames"
        raise ScanAreaError(f"no scan area in {timeout_s:g} s: {reason}; look at the screen, or give it with --crop")
    document = tomlkit.document()
    for key, value in {
        "schema": 1,
        "calibration_id": out.stem,
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "measured_by": "engineer",
        "method": f"scan area {'found automatically' if area == 'auto' else 'given by hand'} on {len(found)} frames",
        "valid_for": valid_for,
        "grab_hw_px": list(info.grab_hw_px),
        "crop_xyxy_px": list(found[0]),
        "residual": "no millimetres: the spacing was not measured",
    }.items():
        document[key] = value
    write_atomic(out, tomlkit.dumps(document).encode("utf-8"))
    return ScanAreaProfile(xyxy_px=found[0], screen_hw_px=info.grab_hw_px)
