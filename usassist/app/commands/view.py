"""The command ``usassist view``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import BusSetting, ConfigOption, FullScreenOption
from usassist.app.commands.page_options import NO_OPTIONS, PageOptions, takes_page_options
from usassist.app.commands.replay_session import is_session, replay_folder
from usassist.config import has_display
from usassist.errors import UsageError

__all__ = ["view"]


@takes_page_options
def view(
    session: Annotated[Path, typer.Argument(help="Folder of a recorded session; usassist session list shows them.")],
    window: Annotated[
        bool | None,
        typer.Option("--window/--page", help="Where to show it (default: in a window, if it can)."),
    ] = None,
    full_screen: FullScreenOption = False,
    once: Annotated[bool, typer.Option("--once", help="End at its end, instead of beginning again.")] = False,
    speed: Annotated[float | None, typer.Option(help="2 is twice as fast as it was.")] = None,
    from_s: Annotated[float | None, typer.Option("--from", help="Begin there, s.")] = None,
    to_s: Annotated[float | None, typer.Option("--to", help="End there, s.")] = None,
    page_options: PageOptions = NO_OPTIONS,
    bus: BusSetting = None,
    config: ConfigOption = None,
) -> None:
    """Look at a recorded session, over and over: in a window, or on the page where there is no display."""
    if not is_session(str(session)):
        what = "holds no recorded session" if session.is_dir() else "is no folder"
        raise UsageError(
            f"{session} {what}; usassist session list FOLDER shows what there is, usassist replay plays clips"
        )
    shows_window = full_screen or (has_display() and not page_options.given if window is None else window)
    code = replay_folder(
        session,
        out=None,
        csv=None,
        save=None,
        overlay_video=False,
        window=shows_window,
        full_screen=full_screen,
        page=not shows_window,
        page_options=page_options,
        openigtlink=None,
        bus=bus,
        fast=False,
        speed=speed,
        from_s=from_s,
        to_s=to_s,
        repeat=not once,
        config=config,
        as_json=False,
    )
    raise typer.Exit(code)
