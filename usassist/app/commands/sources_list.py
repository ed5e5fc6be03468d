"""The command ``usassist sources list``: the live inputs of this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from usassist.app.commands.options import JsonOption

if TYPE_CHECKING:
    from usassist.sources.inputs.devices import Inputs

__all__ = ["sources_list"]

_MODES_SHOWN = 8


def sources_list(
    as_json: JsonOption = False,
) -> None:
    """List frame grabbers with their modes, the display, and the protocols that can be read here."""
    from usassist.sources.inputs.devices import find_inputs

    inputs = find_inputs()
    if as_json:
        typer.echo(json.dumps(inputs.as_dict(), indent=2))
    else:
        _print(inputs)


def _print(inputs: Inputs) -> None:
    console = Console()
    if inputs.devices:
        table = Table("address", "card", "driver", "modes", title="Video4Linux devices", title_justify="left")
        for device in inputs.devices:
            modes = list(device.modes[:_MODES_SHOWN])
            if len(device.modes) > _MODES_SHOWN:
                modes.append(f"and {len(device.modes) - _MODES_SHOWN} more: --json shows them")
            what = device.problem or "\n".join(modes) or "none that is known here"
            table.add_row(escape(device.address), escape(device.card), escape(device.driver), escape(what))
        console.print(table)
    else:
        console.print("Video4Linux devices: none here; plug a frame grabber in, or use one of the following")
    console.print(f"screen: {'there is a display' if inputs.display else 'no display here'}")
    for scheme, there in inputs.protocols.items():
        console.print(f"{scheme}: {'can be read' if there else 'this build of PyAV cannot read it'}")
    console.print("openigtlink: a server such as PLUS, or a research scanner; see docs/plus.md")
    console.print("pipe: any program that writes NUT, MPEG-TS or Matroska; see docs/sources.md")
