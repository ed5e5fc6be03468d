"""The command ``usassist bench faults``."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from usassist.app.commands.options import JsonOption

__all__ = ["faults"]


def faults(
    over: Annotated[str, typer.Option(help="udp, tcp, rtsp or fifo.")] = "udp",
    kinds: Annotated[str, typer.Option(help="Kinds of fault, with commas between them; all: each in turn.")] = "all",
    for_s: Annotated[float, typer.Option("--for", min=1.0, max=60.0, help="Seconds of each fault.")] = 3.0,
    normal_minutes: Annotated[
        float, typer.Option(min=0.0, help="Also watch so much simulated normal scanning, faster than real time.")
    ] = 0.0,
    as_json: JsonOption = False,
) -> None:
    """How soon a live source detects a fault of its signal, and how soon it recovers."""
    from rich.console import Console
    from rich.table import Table

    from usassist.app.bench.faults import measure_faults, one_after_the_other, watch_normal_scanning
    from usassist.errors import UsageError
    from usassist.phantom.faults import KINDS, FaultPlan

    console = Console(stderr=True, quiet=as_json)
    if over not in ("udp", "tcp", "rtsp", "fifo"):
        raise UsageError(f"there is no transport {over}; choose udp, tcp, rtsp or fifo")
    plan = FaultPlan.all_kinds(for_s=for_s, gap_s=5.0)
    if kinds != "all":
        wanted = kinds.split(",")
        unknown = sorted(set(wanted) - set(KINDS))
        if unknown:
            raise UsageError(f"there is no fault of kind {unknown[0]}; choose one of {', '.join(KINDS)}")
        plan = one_after_the_other([fault for fault in plan.faults if fault.kind in wanted], gap_s=5.0)
    with tempfile.TemporaryDirectory(prefix="usassist-faults-") as folder:
        rows = measure_faults(plan, over, Path(folder), log=console.print)
    normal = watch_normal_scanning(normal_minutes) if normal_minutes else None
    if as_json:
        document = {
            "over": over,
            "faults": [dataclasses.asdict(row) | {"noticed": row.noticed} for row in rows],
            "normal": None if normal is None else dataclasses.asdict(normal),
        }
        typer.echo(json.dumps(document, indent=2))
    else:
        table = Table(title=f"faults over {over}", title_justify="left")
        for column in ("fault", "expected", "states", "detected after", "live again after", "wrong"):
            table.add_column(column, justify="right" if "after" in column else "left")
        for row in rows:
            after = [_seconds(row.detected_s), _seconds(row.recovered_s)]
            table.add_row(row.kind, row.expected, ", ".join(row.said) or "–", *after, ", ".join(row.wrong) or "–")
        Console().print(table)
        if normal is not None:
            alarms = ", ".join(f"{state} {count}" for state, count in normal.alarms.items())
            typer.echo(f"{normal.minutes:g} minutes of normal scanning, false alarms: {alarms}")
    raise typer.Exit(0 if all(row.noticed for row in rows) else 1)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"
