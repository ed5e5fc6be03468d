"""The command ``usassist deidentify``: DICOM images without identity."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from usassist.app.commands.options import JsonOption
from usassist.common.signals import interrupt_on_signal
from usassist.errors import UsageError

__all__ = ["deidentify"]


def deidentify(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="DICOM file, or folder of DICOM files.")],
    out: Annotated[Path, typer.Option(help="New folder for what could be cleaned, and the report.")],
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="Secret key, made if absent: the same key gives the same UIDs and pseudonyms (default: a key that "
            "is forgotten)."
        ),
    ] = None,
    keep_dates: Annotated[
        str, typer.Option(help="no: dates are removed; shift: moved by a secret span, the same for all of a patient.")
    ] = "no",
    crop: Annotated[
        str | None, typer.Option(metavar="X1,Y1,X2,Y2", help="Scan area of every ultrasound object, px.")
    ] = None,
    reader: Annotated[
        bool | None,
        typer.Option(
            "--reader/--no-reader",
            help="Check every frame with the text reader of the extra ocr (default: where it is installed).",
        ),
    ] = None,
    links: Annotated[
        Path | None, typer.Option(help="New private file: which input became which object. It is identity.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Remove identity from ultrasound, CT and MR images: attributes, and text in the pixels of every frame.

    What cannot be checked is not written; then the exit code is 1. Not certified: a person looks at what is passed on.
    """
    from usassist.dicom.deidentify import Deidentifier, Pseudonyms, TextReader, has_reader, read_key, summary_lines
    from usassist.dicom.deidentify import deidentify as run

    if keep_dates not in ("no", "shift"):
        raise UsageError(f"--keep-dates is {keep_dates}; give no or shift")
    for path in (key_file, links):
        if path is not None and path.resolve().is_relative_to(out.resolve()):
            raise UsageError(f"{path} is identity and must not lie in {out}; name another place")
    how = Deidentifier(
        pseudonyms=Pseudonyms(read_key(key_file)),
        reader=TextReader() if reader or (reader is None and has_reader()) else None,
        keep_dates=keep_dates == "shift",
        crop=None if crop is None else _rectangle(crop),
    )

    def progress(item: Any, total: int) -> None:
        if not as_json and sys.stderr.isatty():
            typer.echo(f"\r{item.number} of at most {total} objects", err=True, nl=False)

    with interrupt_on_signal():
        report = run(source, out, how, links=links, on_object=progress)
    if as_json:
        typer.echo(json.dumps(report.document(), indent=2))
    else:
        if sys.stderr.isatty():
            typer.echo("", err=True)
        typer.echo("\n".join([*summary_lines(report), f"report: {out / 'deidentify.json'}"]))
    raise typer.Exit(1 if report.refused or not report.objects else 0)


def _rectangle(text: str) -> tuple[int, int, int, int]:
    try:
        x1, y1, x2, y2 = (int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--crop {text} is no rectangle; give it as X1,Y1,X2,Y2 in px") from None
    return x1, y1, x2, y2
