"""The command ``usassist replay`` for a folder that holds a recorded session."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from usassist.app.commands.options import override_overlay, print_error, read_settings
from usassist.app.commands.page_options import PageOptions
from usassist.errors import UsageError

__all__ = ["is_session", "refuse", "replay_folder", "write_table"]


def is_session(argument: str) -> bool:
    """True for a folder that holds a recorded session."""
    try:
        return (Path(argument) / "session.toml").is_file()
    except (OSError, ValueError):  # not a valid path
        return False


def refuse(why: str, options: Mapping[str, Any]) -> None:
    """Refuse options that have no meaning here.

    Parameters
    ----------
    why : they have none
    options : name → value, None where it was not given

    Raises
    ------
    UsageError
        If one was given.
    """
    given = [f"--{name}" for name, value in options.items() if value is not None]
    if given:
        raise UsageError(f"{why}; leave out {', '.join(given)}")


def replay_folder(
    folder: Path,
    *,
    out: Path | None,
    csv: Path | None,
    save: Path | None,
    overlay_video: bool,
    window: bool,
    full_screen: bool,
    page: bool,
    page_options: PageOptions,
    openigtlink: int | None,
    bus: str | None,
    fast: bool,
    speed: float | None,
    from_s: float | None,
    to_s: float | None,
    repeat: bool,
    config: Path | None,
    as_json: bool,
) -> int:
    """Send a recorded session as it was recorded; gives the exit code.

    Parameters
    ----------
    folder : of the session
    out : the video file, or a folder for it; None = ``out/SESSION-replay``
    csv : table of results, as ``usassist session export --csv`` writes it; the recording is sent only if there is a
        viewer as well
    save : file of the overlay video; without a viewer it is written as fast as can be
    overlay_video, window, page, bus, fast, speed, repeat : see ``SessionReplayOptions``
    full_screen : of the window, which it asks for
    page_options : of the page
    openigtlink : port at which OpenIGTLink clients connect; None = there are none
    from_s, to_s : part that is sent, s from the first frame
    config : settings file; only the tables ``bus``, ``panel``, ``overlay`` and ``openigtlink`` are used
    as_json : print one document and nothing else

    Raises
    ------
    UsageError
        If the options do not go together.
    """
    from usassist.app.runtime.replay_session import replay_session
    from usassist.common.signals import stop_on_signal
    from usassist.session.replay.messages import Span
    from usassist.session.replay.sender import SessionReplayOptions

    settings = read_settings(config)
    instead = "--overlay-video, or --page in a browser"
    shown = override_overlay(settings.overlay, window=window, full_screen=full_screen, instead=instead)
    viewers = window or full_screen or page or bus is not None or openigtlink is not None
    if save is not None and (overlay_video or save.suffix not in (".mp4", ".mkv")):
        raise UsageError("--save names a new .mp4 or .mkv; leave out --overlay-video, which names another")
    if csv is not None:
        if as_json or viewers or save is not None or overlay_video:
            raise UsageError("the table of a recorded session is written alone; leave out the other options")
        write_table(folder, csv)
        return 0
    if out is not None and not overlay_video:
        raise UsageError("a recorded session is not recorded again; leave out --out, or give --overlay-video with it")
    if not page:
        refuse("there is no page without --page", page_options.options)
    options = SessionReplayOptions(
        folder=folder,
        bus=bus or settings.bus.address,
        fast=fast or (save is not None and not viewers and speed is None),
        speed=1.0 if speed is None else speed,
        span=Span(from_s=from_s or 0.0, to_s=to_s),
        repeat=repeat,
        overlay_video=save or (_video_path(folder, out) if overlay_video else None),
        page=page_options.override(settings.panel) if page else None,
        window=shown,
        openigtlink=None if openigtlink is None else dataclasses.replace(settings.openigtlink, port=openigtlink),
    )
    with stop_on_signal() as stop:
        sent = replay_session(options, stop, on_ready=None if as_json else _print_ready)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(sent), indent=2))
    else:
        without_result = 0 if sent.interrupted else sent.frames - sent.results
        missing = f", {without_result} of them without a result" if without_result > 0 else ""
        rounds = f", {sent.rounds} times to the end" if repeat else ""
        typer.echo(f"{sent.frames} frames sent as they were recorded{missing}{rounds}")
        for line in (*sent.problems, *([] if sent.video is None else [sent.video])):
            typer.echo(f"  {line}")
    return 130 if sent.interrupted else 0


def write_table(folder: Path, csv: Path) -> None:
    """Write the results of a recorded session as a table.

    Parameters
    ----------
    folder : of the session
    csv : a new file, or ``-`` for standard output

    Raises
    ------
    SessionError
        If the session cannot be read, or the file exists or cannot be written.
    """
    from usassist.session import open_session
    from usassist.session.export import export_csv, print_csv

    session = open_session(folder)
    rows = print_csv(session, sys.stdout) if csv == Path("-") else export_csv(session, csv)
    for problem in session.problems:
        print_error(problem)
    if csv != Path("-"):
        typer.echo(f"{rows} rows in {csv}")


def _video_path(folder: Path, out: Path | None) -> Path:
    if out is None:
        return Path("out") / f"{folder.resolve().name}-replay" / "overlay.mkv"
    return out if out.suffix == ".mkv" else out / "overlay.mkv"


def _print_ready(url: str) -> None:
    where = f"the page is at {url}" if url else "sending the recording"
    typer.echo(f"usassist: {where} — Ctrl-C ends it", err=True)
