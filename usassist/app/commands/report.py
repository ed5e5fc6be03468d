"""The command ``usassist report``: what a recorded sweep comes to, as a page and as JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import JsonOption
from usassist.errors import UsageError

__all__ = ["report"]


def report(
    session: Annotated[Path, typer.Argument(help="Folder of a recorded session.")],
    out: Annotated[Path, typer.Option(help="HTML file; the JSON file lies beside it.")] = Path("report.html"),
    language: Annotated[
        str, typer.Option(help="Language of the page; with a wrong one, the known ones are named.")
    ] = "en",
    least_frames: Annotated[
        int, typer.Option(min=1, help="Nodules seen on fewer frames are counted, and not listed one by one.")
    ] = 5,
    earlier: Annotated[Path | None, typer.Option(help="JSON file of an earlier report, to judge growth.")] = None,
    same: Annotated[
        list[str] | None,
        typer.Option(metavar="N1=N2", help="N1 here is N2 of the earlier report; may be given several times."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the report of a recorded sweep: nodules with their best planes, sizes, and what was not seen.

    Research use only. It recommends nothing; a physician reads the images and decides.
    """
    from usassist.session import open_session
    from usassist.session.report import write_report
    from usassist.session.summary import parse_same, read_earlier

    if earlier is None and same:
        raise UsageError("--same compares with an earlier report; name it with --earlier")
    written = write_report(
        open_session(session),
        out,
        language=language,
        least_frames=least_frames,
        earlier=None if earlier is None else read_earlier(earlier, dict(map(parse_same, same or ()))),
        overwrite=overwrite,
    )
    document = written.document
    counts = {
        "nodules": len(document.nodules),
        "not_listed": document.not_listed.identities,
        "untracked_runs": len(document.untracked),
        "answered_s": document.unseen.answered_s,
        "length_s": document.sweep.length_s,
    }
    if as_json:
        typer.echo(json.dumps({"html": str(written.page), "json": str(written.data)} | counts, indent=2))
        return
    parts = [f"nodules: {len(document.nodules)}", f"not listed: {document.not_listed.identities}"]
    if not document.identities_known:
        parts.append(f"identities are not known of {len(document.untracked)} runs of findings")
    parts.append(f"answered: {document.unseen.answered_s:.1f} of {document.sweep.length_s:.1f} s")
    typer.echo("; ".join(parts))
    typer.echo(f"{written.page}\n{written.data}")
