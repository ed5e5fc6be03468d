"""The command ``usassist snapshot``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import JsonOption

__all__ = ["snapshot"]


def snapshot(
    session: Annotated[Path, typer.Argument(help="Folder of a recorded session.")],
    frame: Annotated[str, typer.Argument(help="Number of the frame, or seconds from the first like 4.5s.")],
    out: Annotated[Path | None, typer.Option(help="New PNG file (default: SESSION-frame-NUMBER.png, here).")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one recorded frame with its own overlay as PNG, with frame, session and engine below it and in the file."""
    from usassist.errors import UsageError
    from usassist.session import open_session
    from usassist.session.snapshot import find_moment, write_snapshot

    if out is not None and out.suffix.lower() != ".png":
        raise UsageError(f"{out} is no .png; name a file that ends with .png")
    moment = find_moment(open_session(session), frame)
    path = out or Path(f"{moment.frame.session_id}-frame-{moment.frame.frame_id:06d}.png")
    texts = write_snapshot(moment, path)
    typer.echo(json.dumps(texts | {"file": str(path)}, indent=2) if as_json else str(path))
