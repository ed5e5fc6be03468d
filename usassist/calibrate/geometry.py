"""Geometry files: the position of the image on a scanner's screen, and the pixel spacing in millimetres.

A file is TOML and is never edited; a new measurement is a new file. Its keys::

    schema = 1
    calibration_id = "phantom_l12_40mm_20261121"
    measured_on = "2026-11-21"          # date
    measured_by = "engineer"            # a role, never a name
    method = "how it was measured"
    valid_for = "which scanner, probe, preset and grabber"
    grab_hw_px = [720, 1280]            # size of the screen it was measured on
    crop_xyxy_px = [320, 40, 960, 680]  # scan area on that screen; leave out to find it automatically
    spacing_rc_mm = [0.0625, 0.0625]    # mm per px, row step first; leave both out for a scan area alone
    spacing_rel_sd = 0.002              # relative standard uncertainty of the spacing
    residual = "the remaining error, in words and numbers"
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usassist.config import resource_dir
from usassist.errors import CalibrationError

__all__ = ["Geometry", "load_geometry"]

_KEYS = {
    "schema": int,
    "calibration_id": str,
    "measured_on": str,
    "measured_by": str,
    "method": str,
    "valid_for": str,
    "grab_hw_px": list,
    "crop_xyxy_px": list,
    "spacing_rc_mm": list,
    "spacing_rel_sd": float,
    "residual": str,
}
_OPTIONAL = {"crop_xyxy_px", "grab_hw_px", "spacing_rc_mm", "spacing_rel_sd"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """The contents of one geometry file.

    Attributes
    ----------
    calibration_id : name of the measurement
    crop_xyxy_px : scan area on the grabbed screen, px; None = find it automatically
    grab_hw_px : size of the screen that it was measured on, px; None = any
    spacing_rc_mm : mm per px, row step first; None = only the scan area is known
    spacing_rel_sd : relative standard uncertainty of the spacing; None exactly when the spacing is
    """

    calibration_id: str
    crop_xyxy_px: tuple[int, int, int, int] | None
    grab_hw_px: tuple[int, int] | None
    spacing_rc_mm: tuple[float, float] | None
    spacing_rel_sd: float | None

    def __post_init__(self) -> None:
        """Check ranges."""
        if (self.spacing_rc_mm is None) != (self.spacing_rel_sd is None):
            raise CalibrationError(
                f"calibration {self.calibration_id}: spacing_rc_mm and spacing_rel_sd go together; give both or neither"
            )
        if self.spacing_rc_mm is None and (self.crop_xyxy_px is None or self.grab_hw_px is None):
            raise CalibrationError(
                f"calibration {self.calibration_id}: without a spacing it needs crop_xyxy_px and grab_hw_px; add them"
            )
        if self.spacing_rc_mm is not None and (min(self.spacing_rc_mm) <= 0 or (self.spacing_rel_sd or 0.0) < 0):
            raise CalibrationError(
                f"calibration {self.calibration_id}: spacing must be positive, got {self.spacing_rc_mm} mm "
                f"with relative sd {self.spacing_rel_sd}; measure it again"
            )
        if self.crop_xyxy_px is not None:
            x1, y1, x2, y2 = self.crop_xyxy_px
            height, width = self.grab_hw_px or (y2, x2)
            if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
                raise CalibrationError(
                    f"calibration {self.calibration_id}: crop {self.crop_xyxy_px} does not lie on a screen of "
                    f"{width} x {height} px; correct crop_xyxy_px in a new file"
                )


def load_geometry(name_or_path: str) -> Geometry:
    """Read a geometry file.

    Parameters
    ----------
    name_or_path : a path, or the name (without ``.toml``) of a file in ``calibration/geometry/``

    Raises
    ------
    CalibrationError
        If there is no such file, or a key is missing, unknown or of the wrong type.
    """
    path = Path(name_or_path)
    folder = resource_dir("calibration") / "geometry"
    if path.suffix != ".toml":
        path = folder / f"{name_or_path}.toml"
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml"))) or "none"
        raise CalibrationError(f"no geometry calibration {name_or_path}; known: {known}; or give a path") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CalibrationError(f"geometry calibration {path.name} cannot be read: {error}; fix the file") from error
    return _geometry_from(document, path.name)


def _geometry_from(document: dict[str, Any], file_name: str) -> Geometry:
    unknown = sorted(document.keys() - _KEYS.keys())
    missing = sorted(_KEYS.keys() - _OPTIONAL - document.keys())
    if unknown or missing:
        raise CalibrationError(f"geometry calibration {file_name}: unknown keys {unknown}, missing keys {missing}")
    for key, value in document.items():
        kind = _KEYS[key]
        if not isinstance(value, kind) and not (kind is float and isinstance(value, int)):
            raise CalibrationError(f"geometry calibration {file_name}: {key} must be {kind.__name__}, got {value!r}")
    if document["schema"] != 1:
        raise CalibrationError(
            f"geometry calibration {file_name} has schema {document['schema']}, this usassist reads 1; update usassist"
        )
    crop, grab, spacing = (document.get(key) for key in ("crop_xyxy_px", "grab_hw_px", "spacing_rc_mm"))
    for key, value, length in (("crop_xyxy_px", crop, 4), ("grab_hw_px", grab, 2), ("spacing_rc_mm", spacing, 2)):
        if value is not None and (len(value) != length or not all(isinstance(item, int | float) for item in value)):
            raise CalibrationError(f"geometry calibration {file_name}: {key} must be {length} numbers, got {value}")
    return Geometry(
        calibration_id=document["calibration_id"],
        crop_xyxy_px=None if crop is None else (int(crop[0]), int(crop[1]), int(crop[2]), int(crop[3])),
        grab_hw_px=None if grab is None else (int(grab[0]), int(grab[1])),
        spacing_rc_mm=None if spacing is None else (float(spacing[0]), float(spacing[1])),
        spacing_rel_sd=None if document.get("spacing_rel_sd") is None else float(document["spacing_rel_sd"]),
    )
