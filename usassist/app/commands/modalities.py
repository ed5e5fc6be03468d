"""The command ``usassist modalities list``."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import typer

from usassist.app.commands.options import JsonOption

__all__ = ["modalities_app", "modality_table"]

modalities_app = typer.Typer(help="Imaging modalities, and which of them run here.", no_args_is_help=True)


@modalities_app.callback()
def _group() -> None:
    """Keep `list` a command of its own, although it is the only one."""


@modalities_app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List modalities, how each is run, and why those that cannot run do not."""
    rows = modality_table()
    if as_json:
        typer.echo(json.dumps({"modalities": rows}, indent=2))
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Modalities", title_justify="left")
    for name in ("code", "modality", "run as", "engines", "here", "why not"):
        table.add_column(name, no_wrap=name in ("engines", "why not"))
    for row in rows:
        engines = ", ".join(row["engines"]) or "–"
        here = "yes" if row["available"] else "no"
        table.add_row(row["code"], escape(row["title"]), row["kind"], engines, here, escape(row["reason"] or ""))
    Console().print(table)


def modality_table() -> list[dict[str, Any]]:
    """The table of modalities as plain data, with the engines that are installed for each."""
    from usassist.engine import list_engines
    from usassist.modalities import list_modalities

    specs = list_engines()
    rows = []
    for modality in list_modalities().values():
        row = dataclasses.asdict(modality)
        rows.append(
            {name: row[name] for name in ("code", "title", "kind", "provider")}
            | {
                "engine_tasks": list(modality.engine_tasks),
                "engines": [f"{spec.name}@{spec.version}" for spec in specs if spec.modality == modality.code],
                "available": modality.is_available,
                "reason": modality.missing or None,
            }
        )
    return rows
