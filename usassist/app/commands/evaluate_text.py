"""The command ``usassist eval text``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from usassist.app.commands.options import JsonOption

__all__ = ["text"]


def text(
    session: Annotated[Path, typer.Argument(help="Folder of a recorded session.")],
    every: Annotated[int, typer.Option(min=1, help="Look at every nth frame.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Look for text and caliper marks in recorded frames. Exit code 1 where some are suspected."""
    from usassist.frames.burnt_text import count_suspected_text
    from usassist.sources import open_source

    def frames() -> Iterator[npt.NDArray[np.uint8]]:
        size: tuple[int, ...] | None = None
        for number, frame in enumerate(source.frames()):
            size = size or frame.image.shape
            if number % every == 0 and frame.image.shape == size:
                yield frame.image

    with open_source(f"session:{session}", session_id="check", fast=True) as source:
        suspected, checked = count_suspected_text(frames())
    if as_json:
        typer.echo(json.dumps({"suspected": suspected, "checked": checked}))
    else:
        typer.echo(f"{suspected} of {checked} frames may hold text or marks; look at them before you pass them on")
    raise typer.Exit(1 if suspected else 0)
