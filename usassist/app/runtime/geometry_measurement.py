"""Measure the scan area and the scale of a scanner and preset from its screen, and keep them in a geometry file."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import tomlkit

from usassist.app.runtime.calibration_file import check_new
from usassist.common.private_files import write_atomic
from usassist.errors import CalibrationError, UsageError
from usassist.records import Frame
from usassist.sources import open_source, parse_crop
from usassist.sources.inputs.address import is_live

__all__ = ["MeasuredGeometry", "draw_geometry", "measure_geometry", "write_geometry"]

_FRAMES = 30  # of a source that has so many, with a scale that must agree
_ORIGINS = {"scale_by_ruler": "the ruler on the screen", "scale_by_dicom": "the regions of the DICOM header"}
_GRID = (80, 220, 255)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredGeometry:
    """What was measured on a source.

    Attributes
    ----------
    xyxy_px : scan area on the screen
    screen_hw_px : size of the screen
    spacing_rc_mm : mm per px, row step first; median of the frames
    spacing_rel_sd : its relative standard uncertainty
    spread : largest relative difference of a frame's spacing from the median
    origin : what states the scale
    frames : number of frames that it was read on
    image : uint8 (H, W) or (H, W, 3) RGB, the last of them, cropped to the scan area
    """

    xyxy_px: tuple[int, int, int, int]
    screen_hw_px: tuple[int, int]
    spacing_rc_mm: tuple[float, float]
    spacing_rel_sd: float
    spread: float
    origin: str
    frames: int
    image: npt.NDArray[np.uint8]


def measure_geometry(source: str, *, crop: str, timeout_s: float) -> MeasuredGeometry:
    """Read scan area and scale on up to 30 frames, which must agree.

    Parameters
    ----------
    source : address of a live input, a clip, images or a DICOM file
    crop : ``auto`` or ``x1,y1,x2,y2``
    timeout_s : give up after that

    Raises
    ------
    UsageError
        If the crop is the whole screen.
    CalibrationError
        If no frame has a scale by ruler or header, or frames differ.
    """
    area = parse_crop(crop)
    if area == "none":
        raise UsageError("the whole screen is no scan area; give auto or X1,Y1,X2,Y2")
    found: list[Frame] = []
    with open_source(source, session_id="geometry", crop=area, fast=not is_live(source)) as opened:
        timeout = threading.Timer(timeout_s, opened.close)
        timeout.daemon = True
        timeout.start()
        for frame in opened.frames():
            if frame.calibration_id in _ORIGINS:
                found.append(frame)
            if len(found) == _FRAMES:
                break
        timeout.cancel()
        screen_hw_px = opened.info.grab_hw_px
    if not found:
        raise CalibrationError(
            "no scale was read from the screen or a DICOM header; the log says why: measure a known distance and write "
            "the file by hand, see calibration/README.md"
        )
    spacings = np.array([frame.spacing_rc_mm for frame in found])
    median = np.median(spacings, axis=0)
    spread = float(np.abs(spacings / median - 1.0).max())
    rel_sd = max(frame.spacing_rel_sd or 0.0 for frame in found)
    if len({frame.roi_xyxy_px for frame in found}) > 1 or spread > 3.0 * rel_sd:
        raise CalibrationError("scan area or scale change between the frames; give frames of one depth and preset")
    return MeasuredGeometry(
        xyxy_px=found[-1].roi_xyxy_px,
        screen_hw_px=screen_hw_px,
        spacing_rc_mm=(float(median[0]), float(median[1])),
        spacing_rel_sd=rel_sd,
        spread=spread,
        origin=_ORIGINS[str(found[-1].calibration_id)],
        frames=len(found),
        image=found[-1].image,
    )


def draw_geometry(measured: MeasuredGeometry, out: Path) -> None:
    """Write a picture of the scan area with lines every 10 mm, from its upper edge and its left edge."""
    image = measured.image
    drawn = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)
    height, width = image.shape[:2]
    row_mm, column_mm = measured.spacing_rc_mm
    for number in range(1, int(height * row_mm / 10.0) + 1):
        row = round(10.0 * number / row_mm)
        cv2.line(drawn, (0, row), (width - 1, row), _GRID, 1)
        cv2.putText(drawn, f"{number} cm", (3, row - 3), cv2.FONT_HERSHEY_SIMPLEX, 0.4, _GRID, 1, cv2.LINE_AA)
    for number in range(1, int(width * column_mm / 10.0) + 1):
        column = round(10.0 * number / column_mm)
        cv2.line(drawn, (column, 0), (column, height - 1), _GRID, 1)
    written, data = cv2.imencode(".png", drawn)
    if not written:
        raise UsageError(f"the picture {out.name} cannot be written; give another name with --picture")
    write_atomic(out, data.tobytes())


def write_geometry(measured: MeasuredGeometry, out: Path, *, valid_for: str) -> None:
    """Write a new geometry file.

    Raises
    ------
    UsageError
        If it exists, or its name does not end in .toml.
    """
    check_new(out, "geometry")
    document = tomlkit.document()
    for key, value in {
        "schema": 1,
        "calibration_id": out.stem,
        "measured_on": f"{datetime.now(UTC):%Y-%m-%d}",
        "measured_by": "engineer",
        "method": f"scale by {measured.origin}, on {measured.frames} frames",
        "valid_for": valid_for,
        "grab_hw_px": list(measured.screen_hw_px),
        "crop_xyxy_px": list(measured.xyxy_px),
        "spacing_rc_mm": list(measured.spacing_rc_mm),
        "spacing_rel_sd": measured.spacing_rel_sd,
        "residual": f"spacing of single frames within {measured.spread:.2%} of their median",
    }.items():
        document[key] = value
    write_atomic(out, tomlkit.dumps(document).encode("utf-8"))
