"""The command ``usassist engine conformance``."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["conformance"]


def conformance(
    backend: Annotated[str, typer.Argument(help="Back end: a name of `usassist engine list`.")],
    engine: Annotated[str, typer.Option(help="Engine whose golden input it must answer.")] = "thyroid_nodule",
    engines: Annotated[Path | None, typer.Option(help="Folder of engines [default: those that ship].")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Check whether a back end keeps the contract of `docs/engines.md`; for those who write one."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from usassist.engine import find_engine, get_backend, why_not
    from usassist.engine.conformance import check_backend
    from usassist.modalities.findings_decoder import decoder_for

    spec, found = find_engine(engine, engines), get_backend(backend)
    with Console(stderr=True, quiet=as_json).status("checking"):
        results = check_backend(found, engine=spec, decode=decoder_for(spec))
    counts = {state: sum(item.state == state for item in results) for state in ("passed", "failed", "skipped")}
    if as_json:
        document = {"backend": backend, "engine_id": spec.engine_id, "checks": [dataclasses.asdict(x) for x in results]}
        typer.echo(json.dumps(document | counts, indent=2))
    else:
        table = Table("check", "state", "why", box=box.SIMPLE_HEAD)
        for item in results:
            table.add_row(item.check, item.state, item.detail, style="red" if item.state == "failed" else None)
        Console().print(table, markup=False)
        typer.echo(", ".join(f"{count} {state}" for state, count in counts.items()))
    if counts["failed"] or why_not(backend) is not None:
        raise typer.Exit(1)
