"""The commands ``usassist engine cache …``."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer

from usassist.app.commands.options import JsonOption

if TYPE_CHECKING:
    from usassist.engine.cache import Row

__all__ = ["cache_app"]

cache_app = typer.Typer(help="What was built from engines on this machine.", no_args_is_help=True)


@cache_app.command("list")
def cache_list(as_json: JsonOption = False) -> None:
    """List what was built on this machine, the one used last first."""
    from rich.console import Console
    from rich.table import Table

    from usassist.engine.cache import open_cache

    cache = open_cache()
    rows = [_describe(row) for row in cache.rows()]
    if as_json:
        typer.echo(json.dumps({"folder": str(cache.folder), "entries": rows}, indent=2))
        return
    if not rows:
        typer.echo(f"nothing in {cache.folder}")
        return
    table = Table("engine", "what", "precision", "runtime", "GPU", "MB", "built (UTC)", "last used (UTC)")
    for row in rows:
        engine = (row["engine"] or "–").partition("+")[0]
        texts = (row[key] or "–" for key in ("kind", "precision", "runtime", "gpu"))
        times = ((row[key] or "–")[:16].replace("T", " ") for key in ("created", "used"))
        table.add_row(engine, *texts, f"{row['size_bytes'] / 1e6:.1f}", *times)
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    typer.echo(f"{sum(row['size_bytes'] for row in rows) / 1e6:.1f} MB in {cache.folder}")


@cache_app.command("clear")
def cache_clear(as_json: JsonOption = False) -> None:
    """Remove everything that was built on this machine; it is built again when it is needed."""
    from usassist.engine.cache import open_cache

    cache = open_cache()
    count, size_bytes = cache.clear()
    if as_json:
        typer.echo(json.dumps({"folder": str(cache.folder), "removed": count, "size_bytes": size_bytes}))
    else:
        typer.echo(f"removed {count} files, {size_bytes / 1e6:.1f} MB, from {cache.folder}")


def _describe(row: Row) -> dict[str, Any]:
    """One row of the list; ``None`` where the entry does not record it."""
    key, facts = row.header.get("key", {}), row.header.get("facts", {})
    runtime = key.get("runtime", {})
    return {
        "path": str(row.path),
        "kind": facts.get("kind"),
        "engine": facts.get("engine"),
        "precision": facts.get("precision"),
        "runtime": " ".join(str(runtime[name]) for name in ("runtime", "version") if name in runtime) or None,
        "gpu": runtime.get("gpu"),
        "key": runtime,
        "size_bytes": row.size_bytes,
        "build_s": facts.get("build_s"),
        "created": row.header.get("created"),
        "used": datetime.fromtimestamp(row.used_s, UTC).isoformat(timespec="seconds"),
    }
