"""The commands ``usassist session …``: inspect, verify, repair, export and trim recorded sessions."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from usassist.app.commands.options import JsonOption
from usassist.app.commands.replay_session import write_table
from usassist.app.commands.session_corrections import corrections_app
from usassist.errors import UsageError

__all__ = ["session_app"]

session_app = typer.Typer(help="Recorded sessions.", no_args_is_help=True)
session_app.add_typer(corrections_app, name="corrections")

SessionArgument = Annotated[Path, typer.Argument(help="Folder of a recorded session.")]
OutOption = Annotated[Path | None, typer.Option(help="New folder (default: beside the session).")]


@session_app.command("list")
def list_recordings(
    folder: Annotated[Path, typer.Argument(help="Folder that holds recordings.")] = Path("out"),
    as_json: JsonOption = False,
) -> None:
    """List the recordings of a folder: when, how long, frames, engine, whether complete, size."""
    from usassist.app.commands.session_report import print_list
    from usassist.session.listing import list_sessions

    found = list_sessions(folder)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(item) for item in found], indent=2))
    else:
        print_list(folder, found)


@session_app.command()
def info(session: SessionArgument, as_json: JsonOption = False) -> None:
    """Show what was recorded, when, with what, and what is missing."""
    from usassist.app.commands.session_report import print_info
    from usassist.session import open_session
    from usassist.session.info import describe

    document = describe(open_session(session))
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        print_info(document)


@session_app.command()
def verify(
    session: SessionArgument,
    text: Annotated[
        str,
        typer.Option(
            help="Search for text that the scanner burnt in: sample (at most 200 frames), all, read (all, and with "
            "the text reader of the extra ocr), none."
        ),
    ] = "sample",
    as_json: JsonOption = False,
) -> None:
    """Check everything: checksums, lines, messages, frames, unreported gaps, and that it holds no identity.

    What cannot be shown is named. Exit code 1 if there is a problem, or something that may be identity.
    """
    from usassist.app.commands.session_report import print_verdict
    from usassist.session.verify import verify_session

    if text not in ("sample", "all", "read", "none"):
        raise UsageError(f"--text is {text}; give sample, all, read or none")
    reader = None
    if text == "read":
        from usassist.dicom.deidentify import TextReader

        reader = TextReader()
    verdict = verify_session(
        session, look_for_text=text != "none", every_frame=text == "all", reader=reader, look_for_identity=True
    )
    fine = not verdict.problems and not verdict.holds_identity
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(verdict) | {"ok": fine}, indent=2))
    else:
        print_verdict(session, verdict)
    raise typer.Exit(0 if fine else 1)


@session_app.command()
def repair(
    session: SessionArgument,
    out: OutOption = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the session; the original is kept as SESSION.before.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Repair a session that was cut off or damaged, into a new folder, and list what was lost."""
    from usassist.session.repair import repair_session
    from usassist.session.verify import verify_session

    if in_place and out is not None:
        raise UsageError("--in-place and --out exclude each other; choose one")
    session = session.resolve()
    target = out or session.with_name(f"{session.name}-repaired")
    before = session.with_name(f"{session.name}.before")
    if in_place and before.exists():
        raise UsageError(f"{before} already exists; move it away, or use --out")
    if not verify_session(session, look_for_text=False).problems:
        _print({"repaired": None, "lost": []}, ["nothing to repair"], as_json=as_json)
        return
    lost = repair_session(session, target)
    if in_place:
        session.rename(before)
        target.rename(session)
        target = session
    left = verify_session(target, look_for_text=False).problems
    lines = [*(f"lost: {line}" for line in lost), f"repaired session: {target}"]
    if in_place:
        lines.append(f"original: {before}")
    _print({"repaired": str(target), "lost": lost, "problems": left}, [*lines, *left], as_json=as_json)
    raise typer.Exit(1 if left else 0)


@session_app.command()
def export(
    session: SessionArgument,
    csv: Annotated[
        Path | None, typer.Option(help="Results as a table: one row per nodule; - = standard output.")
    ] = None,
    coco: Annotated[Path | None, typer.Option(help="Results as COCO: boxes, outlines and scores, .json.")] = None,
    parquet: Annotated[Path | None, typer.Option(help="The table of --csv as Parquet (needs pyarrow).")] = None,
    video: Annotated[Path | None, typer.Option(help="Compact copy of the frames, .mkv or .mp4, lossy (AV1).")] = None,
    frames: Annotated[Path | None, typer.Option(help="New folder with every frame as PNG.")] = None,
    yolo: Annotated[
        Path | None, typer.Option(help="New folder for YOLO segmentation: images, labels, data.yaml.")
    ] = None,
    nrrd: Annotated[
        Path | None, typer.Option(help="Label map with a plane for each frame: .seg.nrrd (3D Slicer) or .nrrd.")
    ] = None,
    nifti: Annotated[Path | None, typer.Option(help="The label map as NIfTI, .nii or .nii.gz (needs nibabel).")] = None,
    with_images: Annotated[
        bool, typer.Option("--with-images", help="Beside a label map, the frames as a volume of their own.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write results as tables, COCO, YOLO or label maps, and frames as video or PNG files; all of it or nothing."""
    from usassist.session import open_session
    from usassist.session.export import ExportTargets, export_session

    if csv == Path("-"):
        if as_json or with_images or any((coco, parquet, video, frames, yolo, nrrd, nifti)):
            raise UsageError("with --csv - the table alone is written; leave out the other options")
        write_table(session, csv)
        return
    targets = ExportTargets(
        csv=csv,
        coco=coco,
        parquet=parquet,
        video=video,
        frames=frames,
        yolo=yolo,
        nrrd=nrrd,
        nifti=nifti,
        with_images=with_images,
    )
    opened = open_session(session)
    problems = list(opened.problems)
    written = export_session(opened, targets, problems)
    lines = [*problems, *(f"{count} in {name}" for name, count in written.items())]
    _print({"written": written, "problems": problems}, lines, as_json=as_json)


@session_app.command()
def trim(
    session: SessionArgument,
    begin: Annotated[str | None, typer.Option("--from", help="First frame: its number, or seconds like 4.5s.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Last frame: its number, or seconds like 7s.")] = None,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Copy a range of frames into a new session; frames and messages are copied bit for bit."""
    from usassist.session.trim import trim_session

    if begin is None and end is None:
        raise UsageError("no range given; give --from or --to")
    session = session.resolve()
    target = out or session.with_name(f"{session.name}-{begin or 'begin'}-{end or 'end'}")
    counts = trim_session(session, begin, end, target)
    line = f"frames {counts['first_frame_id']} to {counts['last_frame_id']} in {target}"
    _print(counts | {"folder": str(target)}, [line], as_json=as_json)


def _print(document: dict[str, Any], lines: list[str], *, as_json: bool) -> None:
    for line in [json.dumps(document, indent=2)] if as_json else lines:
        typer.echo(line)
