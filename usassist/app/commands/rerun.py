"""The command ``usassist rerun``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import ConfigOption, EnginesOption, JsonOption, ThreadsSetting, read_settings

__all__ = ["rerun"]


def rerun(
    session: Annotated[Path, typer.Argument(help="Folder of a recorded session.")],
    engine: Annotated[str | None, typer.Option(help="Engine: NAME or NAME@VERSION; as recorded by default.")] = None,
    backend: Annotated[str | None, typer.Option(help="Back end, or auto; as recorded by default, else auto.")] = None,
    precision: Annotated[str | None, typer.Option(help="fp32, fp16, int8 or auto; as recorded by default.")] = None,
    point: Annotated[str | None, typer.Option(help="Operating point; as recorded by default.")] = None,
    threads: ThreadsSetting = None,
    engines: EnginesOption = None,
    out: Annotated[Path | None, typer.Option(help="Session folder, new or empty; a new one in out by default.")] = None,
    diff: Annotated[bool, typer.Option("--diff", help="Compare every result with the recorded one.")] = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Contact sheet of the frames that differ; differences.png in OUT by default.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send the frames of a recorded session through the pipeline again, and compare the results."""
    from usassist.app.commands.progress import ProgressBar
    from usassist.app.commands.rerun_report import print_rerun, write_sheet
    from usassist.app.rerun.plan import Overrides
    from usassist.app.rerun.run import rerun_session
    from usassist.app.runtime.open_stream import new_session_id
    from usassist.errors import UsageError

    if sheet is not None and not diff:
        raise UsageError("--sheet shows the frames that differ; give --diff with it")
    if sheet is not None and sheet.suffix.lower() != ".png":
        raise UsageError(f"the contact sheet is a PNG file, but the name is {sheet.name}; let it end in .png")
    settings = read_settings(config)
    overrides = Overrides(
        engine=engine,
        backend=backend,
        precision=precision,
        point=point,
        threads=settings.stream.threads if threads is None else threads,
        engines=engines,
    )
    folder = out if out is not None else Path("out") / new_session_id()
    with ProgressBar(quiet=as_json) as progress:
        done = rerun_session(session, folder, overrides, progress=progress, compare=diff, record=settings.record)
    sheet_path = write_sheet(done, sheet or folder / "differences.png")
    if as_json:
        typer.echo(json.dumps(done.as_dict() | {"sheet": None if sheet_path is None else str(sheet_path)}, indent=2))
    else:
        print_rerun(done, sheet_path)
    if done.outcome.error is not None:
        typer.echo(f"usassist: {done.outcome.error}", err=True)
    raise typer.Exit(done.exit_code)
