"""The command ``usassist ct worklist``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import (
    BackendOption,
    ConfigOption,
    EngineOption,
    EnginesOption,
    PrecisionOption,
    ThreadsOption,
    print_page_address,
    read_settings,
)
from usassist.app.commands.page_options import NO_OPTIONS, PageOptions, takes_page_options
from usassist.errors import UsageError

__all__ = ["worklist"]

_SCORER = "usassist.app.worklist.study_score:score_study"


@takes_page_options
def worklist(
    folder: Annotated[
        Path,
        typer.Argument(
            help="Folder of studies: sub-folders, zip files, single files; or a folder of usassist pacs listen."
        ),
    ],
    once: Annotated[
        bool, typer.Option("--once", help="Score what is there and end; exit code 1 if not all was.")
    ] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Also serve the page of the list.")] = False,
    json: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Also write the list there; - = standard output, one line for each change."),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Score from which a study is suspicious; else as the engine decides."),
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the state; by default FOLDER/.usassist-worklist.")
    ] = None,
    engine: EngineOption = "ct_ich",
    engines: EnginesOption = None,
    backend: BackendOption = "auto",
    precision: PrecisionOption = "auto",
    threads: ThreadsOption = 0,
    quiet_s: Annotated[
        float,
        typer.Option(min=0.0, max=3600.0, help="A study is scored when nothing of it has changed for so long, s."),
    ] = 10.0,
    look_s: Annotated[float, typer.Option(min=0.05, max=600.0, help="Time between two looks at the folder, s.")] = 2.0,
    deadline_s: Annotated[
        float, typer.Option(min=1.0, max=86400.0, help="A study that takes longer is given up, s.")
    ] = 600.0,
    memory_mb: Annotated[int, typer.Option(min=500, help="Most memory for scoring a study, MB.")] = 4000,
    page_options: PageOptions = NO_OPTIONS,
    config: ConfigOption = None,
) -> None:
    """Watch a folder of head CT studies, score each once, and keep the order in which they should be read.

    Suspicious ones come first, what could not be scored follows with its reason, the others stay in their order.
    """
    from usassist.app.worklist.scoring import ScoringOptions
    from usassist.app.worklist.watch import WatchOptions

    if serve and once:
        raise UsageError("--once ends when all is scored, --serve goes on; leave one out")
    if page_options.given and not serve:
        raise UsageError(f"--{next(iter(page_options.options))} is for the page; give --serve too")
    settings = read_settings(config)
    options = WatchOptions(
        scoring=ScoringOptions(
            scorer=_SCORER,
            options={
                "engine": engine,
                "backend": backend,
                "precision": precision,
                "threads": threads,
                "engines": None if engines is None else str(engines.absolute()),
            },
            deadline_s=deadline_s,
            memory_mb=memory_mb,
        ),
        engine=_check(folder, engine, engines),
        threshold=threshold,
        look_s=look_s,
        quiet_s=quiet_s,
        once=once,
    )
    if serve:
        from usassist.app.worklist.serve import serve_worklist

        if json is not None:
            raise UsageError("with --serve the list is on the page, and in worklist.json; leave --json out")
        serve_worklist(folder, state, options, page_options.override(settings.panel), print_page_address)
        return
    raise typer.Exit(0 if _watch(folder, state, options, json) else 1)


def _watch(folder: Path, state: Path | None, options: object, json: str | None) -> bool:
    from usassist.app.worklist.state_folder import open_state
    from usassist.app.worklist.watch import WatchOptions, WorklistProcess
    from usassist.common.private_files import write_atomic
    from usassist.common.signals import stop_on_signal

    assert isinstance(options, WatchOptions)
    last = b""

    def on_list(data: bytes) -> None:
        nonlocal last
        last = data
        if json == "-" and not options.once:
            sys.stdout.buffer.write(_one_line(data))
            sys.stdout.buffer.flush()
        elif json not in (None, "-"):
            write_atomic(Path(json), data)

    with stop_on_signal() as stop, open_state(folder, state) as opened:
        process = WorklistProcess(folder, opened, options, on_list)
        process.begin()
        if json != "-":
            end = "" if options.once else " — Ctrl-C ends it"
            sys.stderr.write(f"usassist: the list is in {opened.path / 'worklist.json'}{end}\n")
        complete = process.run(stop)
        if options.once and json == "-":
            sys.stdout.buffer.write(last + b"\n")
        elif options.once:
            _print_list(last)
    if not options.once:
        return True
    return complete


def _check(folder: Path, engine: str, engines: Path | None) -> str:
    """Say what is wrong before anything is watched; returns name and version of the engine."""
    from usassist.app.worklist.units import loose_slices
    from usassist.engine import find_engine

    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; name the folder that holds the studies")
    if loose_slices(folder):
        raise UsageError(f"{folder} is itself one study; name the folder above it, in which studies are sub-folders")
    spec = find_engine(engine, engines)
    if (spec.modality, spec.task) != ("CT", "detect_segment"):
        raise UsageError(f"{spec.name} finds nothing in a CT study that could be urgent; give an engine such as ct_ich")
    return f"{spec.name}@{spec.version}"


def _print_list(data: bytes) -> None:
    """Print the list in its order, a study a line."""
    import msgspec

    for study in msgspec.json.decode(data)["studies"]:
        latest = study["versions"][-1] if study["versions"] else {}
        score = "  – " if study["score"] is None else f"{study['score']:.2f}"
        words = f"{study['place']:4d}  {study['study']}  {study['state'].replace('_', ' '):<11}  {score}"
        typer.echo(f"{words}  {latest.get('reason', '')}".rstrip())


def _one_line(data: bytes) -> bytes:
    import msgspec

    return msgspec.json.format(data, indent=-1) + b"\n"
