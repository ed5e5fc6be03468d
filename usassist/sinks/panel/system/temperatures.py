"""Temperatures that the system tells of its parts."""

from __future__ import annotations

from pathlib import Path

import msgspec

__all__ = ["Temperature", "read_temperatures"]

_ROOT = Path("/sys/class")
_MOST = 32
_PLAUSIBLE_C = (-40.0, 150.0)


class Temperature(msgspec.Struct, frozen=True, kw_only=True):
    """One sensor: its name as the system has it, and what it reads, degrees Celsius."""

    name: str
    celsius: float


def read_temperatures(root: Path = _ROOT) -> tuple[Temperature, ...]:
    """All sensors that can be read now; none where the system tells none, as in most virtual machines.

    Parameters
    ----------
    root : of the classes ``thermal`` and ``hwmon``
    """
    found: dict[str, float] = {}
    for zone in sorted(root.glob("thermal/thermal_zone*")):
        _read(found, zone / "temp", _text(zone / "type") or zone.name)
    for sensor in sorted(root.glob("hwmon/hwmon*/temp*_input")):
        label = _text(sensor.with_name(sensor.name.replace("_input", "_label")))
        chip = _text(sensor.parent / "name") or sensor.parent.name
        _read(found, sensor, f"{chip} {label or sensor.name.removesuffix('_input')}")
    return tuple(Temperature(name=name, celsius=value) for name, value in list(found.items())[:_MOST])


def _read(found: dict[str, float], path: Path, name: str) -> None:
    try:
        celsius = int(_text(path)) / 1000.0
    except ValueError:
        return
    if _PLAUSIBLE_C[0] <= celsius <= _PLAUSIBLE_C[1]:
        found.setdefault(name, round(celsius, 1))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
