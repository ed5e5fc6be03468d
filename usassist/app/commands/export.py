"""The commands ``usassist export …``: a recorded sweep in forms that a clinic reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usassist.app.commands.options import JsonOption
from usassist.app.commands.progress import ProgressBar

if TYPE_CHECKING:
    from usassist.session.export.dicom import ExportedSweep

__all__ = ["export_app"]

export_app = typer.Typer(help="A recorded sweep as objects for a clinic's archive.", no_args_is_help=True)


@export_app.callback()
def _group() -> None:
    """A recorded sweep as objects for a clinic's archive."""


@export_app.command()
def dicom(
    session: Annotated[Path, typer.Argument(help="Folder of a recorded session.")],
    out: Annotated[Path, typer.Option(help="New folder for the objects.")],
    study: Annotated[
        Path | None,
        typer.Option(help="File of the study that they belong to, from pacs worklist; without one they name nobody."),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(metavar="KIND,KIND", help="Of cine, report, seg, labelmap, secondary, pdf; all by default."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a recorded sweep as DICOM: cine, structured report, segmentations, frames with the results drawn in, PDF.

    Research use only. The objects are written together or not at all.
    """
    from usassist.dicom.study import read_study
    from usassist.session import open_session
    from usassist.session.export.dicom import export_dicom

    kinds = [kind.strip() for kind in only.split(",") if kind.strip()] if only else []
    with ProgressBar(quiet=as_json) as bar:
        written = export_dicom(
            open_session(session),
            out,
            study=None if study is None else read_study(study),
            only=kinds,
            on_step=lambda done, total: bar.step(done, total, "frames"),
        )
    if as_json:
        typer.echo(json.dumps(_document(out, written), indent=2))
        return
    for kind, paths in written.files.items():
        if not paths:
            looked = written.content.answered_frames
            typer.echo(f"{kind}: none, because {'nothing was outlined' if looked else 'no frame was answered'}")
        for path in paths:
            typer.echo(f"{path}  {path.stat().st_size / 1e3:.0f} kB")
    typer.echo("; ".join(_said(written)))


def _document(out: Path, written: ExportedSweep) -> dict[str, Any]:
    content = written.content
    return {
        "out": str(out),
        "names_patient": content.study.has_identity,
        "files": {kind: [path.name for path in paths] for kind, paths in written.files.items()},
        "frames": len(content.frames),
        "answered_frames": content.answered_frames,
        "frames_lost": content.frames_lost,
        "pixels_lost": content.pixels_lost,
        "nodules": [nodule.name for nodule in content.nodules],
        "untracked_runs": len(content.untracked),
        "burnt_in_text_suspected": not content.text_free,
    }


def _said(written: ExportedSweep) -> list[str]:
    content = written.content
    parts = [f"{len(content.frames)} frames, {content.answered_frames} answered"]
    if content.answered_frames:
        parts.append(f"nodules: {', '.join(nodule.name for nodule in content.nodules) or 'none'}")
    else:
        parts.append("no frame was answered, which does not mean that there is nothing")
    if content.untracked:
        parts.append(f"{len(content.untracked)} runs of findings without identity")
    if content.frames_lost or content.pixels_lost:
        parts.append(f"{content.frames_lost + content.pixels_lost} frames are missing, and none was made up for them")
    if not content.text_free:
        parts.append("text may be burnt in: look at the frames before you pass them on")
    parts.append("no patient is named" if not content.study.has_identity else "the patient of the study is named")
    return parts
