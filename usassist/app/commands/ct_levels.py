"""The command ``usassist ct levels``: the vertebral levels of a CT volume."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import JsonOption

if TYPE_CHECKING:
    from usassist.modalities.ct.spine import SpineLevels

__all__ = ["levels"]


def levels(
    path: Annotated[Path, typer.Argument(metavar="INPUT", help="Folder, DICOM file, zip, or NIfTI file.")],
    series: Annotated[
        str | None, typer.Option(metavar="N", help="Number or id of the series, as usassist ct info lists them.")
    ] = None,
    picture: Annotated[
        Path | None, typer.Option(metavar="FILE", help="PNG of the spine with the levels; it must not exist yet.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Find the vertebrae T7 to S1 in a CT of the trunk, with a confidence and the reason for it."""
    import cv2

    from usassist.common.private_files import write_atomic
    from usassist.errors import UsageError
    from usassist.modalities.ct.spine import draw_levels, find_levels
    from usassist.modalities.ct.suitable import refuse_abdomen
    from usassist.sources.volumes import read_volume

    if picture is not None and picture.exists():
        raise UsageError(f"{picture} exists; name a new file")
    study = read_volume(path, session_id="levels", series=series)
    refuse_abdomen(study.facts, study.volume)
    found = find_levels(study.volume)
    if picture is not None:
        write_atomic(picture, cv2.imencode(".png", draw_levels(study.volume, found))[1].tobytes(), replace=False)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
    else:
        _print(found)


def _print(found: SpineLevels) -> None:
    from rich.console import Console

    from usassist.app.commands.tables import number_table

    table = number_table("Vertebral levels", "level", "plane", "planes", "z mm", "confidence")
    notes = []
    for item in reversed(found.vertebrae):
        planes = "" if item.planes is None else f"{item.planes[0]}–{item.planes[1]}"
        plane = "" if item.plane is None else str(item.plane)
        confidence = f"{item.confidence:.2f}" if item.name else ""
        table.add_row(item.name or "?", plane, planes, f"{item.centre_lps_mm[2]:.0f}", confidence)
        if item.reason:
            notes.append(f"{item.name}: {item.reason}.")
    if found.vertebrae:
        Console().print(table)
    for note in notes:
        typer.echo(note)
    typer.echo(f"{'Named' if found.is_named else 'Not named'}: {found.reason}.")
