"""The command ``usassist doctor``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from usassist.app.commands.options import JsonOption

if TYPE_CHECKING:
    from usassist.app.runtime.self_check import Check

__all__ = ["doctor"]


def doctor(as_json: JsonOption = False) -> None:
    """Check whether everything that usassist needs is here, and print what to do where it is not."""
    from usassist.app.runtime.self_check import run_self_check

    checks = run_self_check()
    if as_json:
        typer.echo(json.dumps({"ok": all(item.ok for item in checks), "checks": [item.as_dict() for item in checks]}))
    else:
        _print_checks(checks)
    raise typer.Exit(0 if all(item.ok for item in checks if item.needed) else 1)


def _print_checks(checks: Sequence[Check]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("", "what", "found", title="usassist doctor", title_justify="left")
    for item in checks:
        mark = "[green]ok[/]" if item.ok else "[red]no[/]" if item.needed else "[yellow]--[/]"
        table.add_row(mark, escape(item.what), escape(item.detail))
    Console().print(table)
