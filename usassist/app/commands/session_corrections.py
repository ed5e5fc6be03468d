"""The commands ``usassist session corrections …``: corrections that readers made in other programs."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import JsonOption
from usassist.errors import UsageError

__all__ = ["corrections_app"]

corrections_app = typer.Typer(help="Corrections of results, made in other programs.", no_args_is_help=True)

_SessionArgument = Annotated[Path, typer.Argument(help="Folder of a recorded session.")]
_ROLES = "radiologist, endocrinologist, sonographer, reader or researcher"


@corrections_app.command("import")
def import_files(
    session: _SessionArgument,
    files: Annotated[list[Path], typer.Argument(help="COCO files (.json) and DICOM segmentations (.dcm).")],
    role: Annotated[str, typer.Option(help=f"Who corrected: {_ROLES}.")],
    reviewed: Annotated[
        bool,
        typer.Option(
            "--reviewed", help="All frames of the files were looked at: those without a change are labels too."
        ),
    ] = False,
    unlike: Annotated[
        bool, typer.Option("--unlike", help="Import also where no outline lies on one of the results.")
    ] = False,
    polygons: Annotated[
        str | None,
        typer.Option(
            help="How polygons of COCO run: along the edges of pixels, or through their centres (default: edges)."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Import corrections beside a session, all files or none; what was recorded is not changed."""
    from usassist.session.corrections import import_corrections

    if polygons not in (None, "edges", "centres"):
        raise UsageError(f"--polygons is edges or centres, not {polygons}")
    centres = None if polygons is None else polygons == "centres"
    outcome = import_corrections(
        session, files, role=role, reviewed=reviewed, accept_unlike=unlike, through_centres=centres
    )
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(outcome), indent=2))
        return
    if outcome.known == len(files):
        typer.echo("imported before: nothing was changed")
        return
    counts = (
        f"{outcome.frames} frames corrected: {outcome.accepted} nodules accepted, {outcome.changed} changed, "
        f"{outcome.added} added, {outcome.removed} removed"
    )
    typer.echo(counts if outcome.frames else "nothing was imported")
    if outcome.untouched:
        typer.echo(f"{outcome.untouched} frames do not differ from the results, and are no labels (see --reviewed)")
    if outcome.still_holding:
        typer.echo(
            f"of {len(outcome.still_holding)} of these an earlier correction holds still; where the result is right, "
            "give --reviewed"
        )
    if outcome.known:
        typer.echo(f"{outcome.known} of the files were imported before, and are left out")


@corrections_app.command("list")
def list_imports(session: _SessionArgument, as_json: JsonOption = False) -> None:
    """List the imports of a session: when, by whom (role), from what, and which frames hold now."""
    import msgspec

    from usassist.session import open_session
    from usassist.session.corrections import current_frames, read_imports

    lines = read_imports(open_session(session).folder)
    holding = current_frames(lines)
    documents = [
        {
            "imported_utc": line.imported_utc,
            "role": line.role,
            "files": msgspec.to_builtins(line.files),
            "frames": [frame.frame_id for frame in line.frames],
            "holding": [frame.frame_id for frame in line.frames if holding[frame.frame_id] is frame],
        }
        for line in lines
    ]
    if as_json:
        typer.echo(json.dumps(documents, indent=2))
        return
    if not lines:
        typer.echo("no corrections")
    for item in documents:
        kinds = ", ".join(f"{file['kind']} {file['sha256'][:12]}" for file in item["files"])
        later = len(item["frames"]) - len(item["holding"])
        typer.echo(
            f"{item['imported_utc']}  {item['role']}  {len(item['frames'])} frames of {kinds}"
            + (f"; {later} of them were corrected again later" if later else "")
        )


@corrections_app.command("export")
def export_frames(
    session: _SessionArgument,
    out: Annotated[Path, typer.Option(help="New folder for images, masks and corrections.json.")],
    as_json: JsonOption = False,
) -> None:
    """Write the corrected frames with their masks as PNG, for `usassist eval nodule` and other programs."""
    from usassist.session import open_session
    from usassist.session.corrections import export_labels

    count = export_labels(open_session(session), out)
    typer.echo(json.dumps({"folder": str(out), "frames": count}) if as_json else f"{count} frames in {out}")
