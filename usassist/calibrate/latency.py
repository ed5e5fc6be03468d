"""Latency files: how long a picture takes from a screen into a captured frame.

A file is TOML and is never edited; a new measurement is a new file. Its keys::

    schema = 1
    calibration_id = "cart_hdmi_magewell_20261201"
    measured_on = "2026-12-01"
    measured_by = "engineer"            # a role, never a name
    method = "how it was measured"
    valid_for = "which output, grabber, mode and machine"
    frames = 1180                       # that were read
    unread = 3                          # captured while the code changed, or covered
    code_rate_hz = 60.0                 # of the pictures that were shown
    frame_rate_hz = 59.9                # of the captured frames
    stamp = "driver"                    # origin of the capture times, or "arrival"
    latency_p50_ms = 43.2
    latency_p95_ms = 51.0
    latency_max_ms = 66.7
    uncertainty_ms = 7.0                # standard uncertainty of the median
    residual = "the remaining error, in words and numbers"
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from usassist.errors import CalibrationError

__all__ = ["LatencyFile", "load_latency"]

_TEXTS = ("calibration_id", "measured_on", "measured_by", "method", "valid_for", "stamp", "residual")
_COUNTS = ("schema", "frames", "unread")
_NUMBERS = (
    "code_rate_hz",
    "frame_rate_hz",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_max_ms",
    "uncertainty_ms",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyFile:
    """The figures of one latency file; see the module."""

    calibration_id: str
    valid_for: str
    frames: int
    unread: int
    code_rate_hz: float
    frame_rate_hz: float
    stamp: str
    latency_p50_ms: float
    latency_p95_ms: float
    latency_max_ms: float
    uncertainty_ms: float


def load_latency(path: Path) -> LatencyFile:
    """Read a latency file.

    Raises
    ------
    CalibrationError
        If it cannot be read, or a key is missing, unknown, of the wrong type or out of range.
    """
    try:
        document: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise CalibrationError(f"latency calibration {path.name} cannot be read: {error}; fix the file") from error
    kinds: dict[str, tuple[type, ...]] = {
        **dict.fromkeys(_TEXTS, (str,)),
        **dict.fromkeys(_COUNTS, (int,)),
        **dict.fromkeys(_NUMBERS, (int, float)),
    }
    unknown, missing = sorted(document.keys() - kinds.keys()), sorted(kinds.keys() - document.keys())
    if unknown or missing:
        raise CalibrationError(f"latency calibration {path.name}: unknown keys {unknown}, missing keys {missing}")
    for key, value in document.items():
        if not isinstance(value, kinds[key]) or isinstance(value, bool):
            raise CalibrationError(f"latency calibration {path.name}: {key} is of the wrong type, got {value!r}")
    if document["schema"] != 1:
        raise CalibrationError(
            f"latency calibration {path.name} has schema {document['schema']}, this usassist reads 1; update usassist"
        )
    p50_ms, p95_ms, max_ms = (document[f"latency_{name}_ms"] for name in ("p50", "p95", "max"))
    if not p50_ms <= p95_ms <= max_ms or document["uncertainty_ms"] <= 0:
        raise CalibrationError(f"latency calibration {path.name}: figures contradict each other; measure it again")
    return LatencyFile(**{key: document[key] for key in LatencyFile.__slots__})
