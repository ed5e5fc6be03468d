"""Options that several commands take, and what several commands do with them.

An option called ``…Setting`` is None where it is not given; the settings file decides then.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Annotated

import typer

from usassist.config import Config, OverlayConfig, has_display, load_config, put_in_force
from usassist.errors import UsageError

__all__ = [
    "BackendOption",
    "BackendSetting",
    "BusSetting",
    "CalibrationOption",
    "ConfigOption",
    "CountOption",
    "DeinterlaceOption",
    "EachFrameAloneSetting",
    "EngineArgument",
    "EngineOption",
    "EngineSetting",
    "EnginesOption",
    "FpsOption",
    "JsonOption",
    "OpenIgtLinkOption",
    "PointSetting",
    "PrecisionOption",
    "PrecisionSetting",
    "ScaleSetting",
    "SizeOption",
    "ThreadsOption",
    "ThreadsSetting",
    "WindowOption",
    "parse_size",
    "print_error",
    "print_page_address",
    "read_settings",
    "resolve_demo",
]

# Overrides of the settings file.
EngineSetting = Annotated[str | None, typer.Option(help="Engine: NAME or NAME@VERSION.")]
BackendSetting = Annotated[str | None, typer.Option(help="Back end, or auto.")]
PrecisionSetting = Annotated[str | None, typer.Option(help="fp32, int8 or auto: INT8 where it can run.")]
PointSetting = Annotated[str | None, typer.Option(help="Operating point: sensitive, balanced or quiet; or auto.")]
ThreadsSetting = Annotated[int | None, typer.Option(min=0, help="CPU threads of the engine; 0 = all.")]
BusSetting = Annotated[
    str | None, typer.Option(help="Bus address: ipc, ipc:///FOLDER or tcp://HOST:PORT; see docs/bus.md.")
]

# Options that no settings file decides.
EngineArgument = Annotated[str, typer.Argument(help="Engine: NAME or NAME@VERSION.")]
EngineOption = Annotated[str, typer.Option(help="Engine: NAME or NAME@VERSION.")]
EnginesOption = Annotated[Path | None, typer.Option(help="Folder of engines; those that ship by default.")]
BackendOption = Annotated[str, typer.Option(help="Back end, or auto.")]
PrecisionOption = Annotated[str, typer.Option(help="fp32, int8 or auto.")]
ThreadsOption = Annotated[int, typer.Option(min=0, help="CPU threads of the engine; 0 = all.")]
CalibrationOption = Annotated[str | None, typer.Option(help="Geometry calibration: name or file.")]
ConfigOption = Annotated[Path | None, typer.Option(help="Settings file (TOML).")]
CountOption = Annotated[int | None, typer.Option(min=1, help="Stop after so many frames.")]
DeinterlaceOption = Annotated[
    bool, typer.Option("--deinterlace", help="Of interlaced video: split each frame into its two fields.")
]
ScaleSetting = Annotated[
    str | None,
    typer.Option(
        help="Where millimetres come from: auto (DICOM header, calibration, ruler on the screen), profile (the "
        "calibration alone), or none."
    ),
]
EachFrameAloneSetting = Annotated[
    bool | None,
    typer.Option("--each-frame-alone/--associated", help="Answer each frame alone, or as the operating point says."),
]
FpsOption = Annotated[int, typer.Option(min=1, max=240, help="Frames per second.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
SizeOption = Annotated[str, typer.Option(help="Size of the screen, px.")]
WindowOption = Annotated[bool, typer.Option("--window", help="Also show the overlay in a window.")]
OpenIgtLinkOption = Annotated[
    int | None,
    typer.Option("--openigtlink", min=1, max=65535, help="Also send images and outlines to 3D Slicer, at this port."),
]
FullScreenOption = Annotated[bool, typer.Option("--full-screen", help="Show the overlay over the whole screen.")]


def resolve_demo(clip: str, calibration: str | None) -> tuple[str, str | None]:
    """Replace the word ``demo`` by the bundled clip and its calibration."""
    if clip != "demo":
        return clip, calibration
    from usassist.sources.address import DEMO_CALIBRATION, demo_address

    return demo_address(), calibration or DEMO_CALIBRATION


def parse_size(text: str) -> tuple[int, int]:
    """Width and height of ``1280x720``, px.

    Raises
    ------
    UsageError
        If `text` is anything else.
    """
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", text)
    if match is None:
        raise UsageError(f"{text} is no size; write WIDTHxHEIGHT such as 1280x720")
    return int(match[1]), int(match[2])


def print_error(message: str) -> None:
    """Print one line on standard error."""
    sys.stderr.write(f"usassist: {' '.join(message.split())}\n")


def print_page_address(url: str) -> None:
    """Print the address of the page on standard error."""
    sys.stderr.write(f"usassist: the page is at {url} — Ctrl-C ends it\n")


def read_settings(config: Path | None) -> Config:
    """Read the settings, once per command, and put in force what belongs to the whole process."""
    settings = load_config(config)
    put_in_force(settings)
    return settings


def override_overlay(settings: OverlayConfig, *, window: bool, full_screen: bool, instead: str) -> OverlayConfig | None:
    """The table ``overlay`` with what the command line says; None = there is no window.

    Parameters
    ----------
    settings : of the settings file
    window, full_screen : as given; the latter asks for a window too
    instead : what to use where there is no display

    Raises
    ------
    UsageError
        If a window is asked for and this machine has no display.
    """
    if not (window or full_screen):
        return None
    if not has_display():
        raise UsageError(f"there is no display for a window here; use {instead}")
    return dataclasses.replace(settings, full_screen=settings.full_screen or full_screen)
