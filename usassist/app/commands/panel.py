"""The command ``usassist panel``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import (
    BusSetting,
    ConfigOption,
    print_page_address,
    read_settings,
)
from usassist.app.commands.page_options import NO_OPTIONS, PageOptions, takes_page_options
from usassist.errors import UsageError

__all__ = ["panel"]


@takes_page_options
def panel(
    bus: BusSetting = None,
    worklist: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Show the worklist of this folder instead: of studies, of state, or worklist.json."
        ),
    ] = None,
    page_options: PageOptions = NO_OPTIONS,
    config: ConfigOption = None,
) -> None:
    """Show the page in the browser for a stream that is running or will run, or for a worklist of studies."""
    from usassist.app.runtime.cards import read_card
    from usassist.frames.burnt_text import find_text_boxes
    from usassist.modalities import stream_titles
    from usassist.sinks.panel import Choices, run_panel

    settings = read_settings(config)
    if worklist is not None:
        from usassist.sinks.panel.worklist import run_worklist_page

        if bus is not None:
            raise UsageError("--bus is for a stream, --worklist for studies; leave one out")
        run_worklist_page(worklist, page_options.override(settings.panel), on_ready=print_page_address)
        return
    run_panel(
        bus or settings.bus.address or "ipc",
        page_options.override(settings.panel),
        modality=stream_titles(),
        choices=Choices(),  # recording and operating points, which the stream names itself
        find_text=find_text_boxes,
        read_card=read_card,
        on_ready=print_page_address,
    )
