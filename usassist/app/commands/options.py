"""What several commands ask for and say in the same way."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from usassist.config import Config, PanelConfig, load_config, put_in_force

__all__ = [
    "BackendOption",
    "BusOption",
    "CalibrationOption",
    "ConfigOption",
    "CountOption",
    "DeinterlaceOption",
    "EngineOption",
    "JsonOption",
    "PointOption",
    "PrecisionOption",
    "ThreadsOption",
    "WindowOption",
    "complain",
    "panel_config",
    "read_settings",
    "resolve_demo",
    "say_where",
]

EngineOption = Annotated[str | None, typer.Option(help="Engine: NAME or NAME@VERSION.")]
BackendOption = Annotated[str | None, typer.Option(help="Back end, or auto.")]
PrecisionOption = Annotated[str | None, typer.Option(help="fp32, int8 or auto: INT8 where it can run.")]
PointOption = Annotated[str | None, typer.Option(help="Operating point: sensitive, balanced or quiet; or auto.")]
BusOption = Annotated[
    str | None, typer.Option(help="Bus address: ipc, ipc:///FOLDER or tcp://HOST:PORT; see docs/bus.md.")
]
CalibrationOption = Annotated[str | None, typer.Option(help="Geometry calibration: name or file.")]
ConfigOption = Annotated[Path | None, typer.Option(help="Settings file (TOML).")]
CountOption = Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")]
DeinterlaceOption = Annotated[
    bool, typer.Option("--deinterlace", help="Of interlaced video: take the two moments in each picture apart.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
ThreadsOption = Annotated[int | None, typer.Option(min=0, help="CPU threads of the engine; 0 = all.")]
WindowOption = Annotated[bool, typer.Option("--window", help="Also show the overlay in a window.")]


def resolve_demo(clip: str, calibration: str | None) -> tuple[str, str | None]:
    """Put the bundled clip and its calibration in the place of the word ``demo``."""
    from usassist.config import resource_dir

    if clip != "demo":
        return clip, calibration
    return f"clip:{resource_dir('demo') / 'clip.mkv'}", calibration or "phantom_demo"


def complain(message: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"usassist: {' '.join(message.split())}\n")


def say_where(url: str) -> None:
    """Where the page is."""
    sys.stderr.write(f"usassist: the page is at {url} — Ctrl-C ends it\n")


def read_settings(config: Path | None) -> Config:
    """The settings, in force for this process from now on. Every command with ``--config`` reads them here, once."""
    settings = load_config(config)
    put_in_force(settings)
    return settings


def panel_config(settings: PanelConfig, host: str | None, port: int | None) -> PanelConfig:
    """The table ``panel`` with what the command line says otherwise."""
    changes: dict[str, Any] = {key: value for key, value in (("host", host), ("port", port)) if value is not None}
    return dataclasses.replace(settings, **changes)
