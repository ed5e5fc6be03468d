"""The commands ``usassist engine build`` and ``usassist engine cache``."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usassist.app.commands.options import ConfigOption, JsonOption, read_settings

if TYPE_CHECKING:
    from rich.console import Console

    from usassist.engine import EngineSpec
    from usassist.engine.building import BuildJob, BuildState
    from usassist.engine.cache import Row

__all__ = ["build", "cache_app"]

cache_app = typer.Typer(help="What was built from engines on this machine.", no_args_is_help=True)

_LOOK_S = 0.1


def build(
    name: Annotated[str, typer.Argument(help="Engine: NAME or NAME@VERSION.")],
    backend: Annotated[str, typer.Option(help="Back end; auto = the first that builds plans and can here.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, int8, or auto: the first that the back end can.")
    ] = "auto",
    engines: Annotated[Path | None, typer.Option(help="Folder of engines [default: those that ship].")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build what a back end needs to run an engine on this machine, so that no stream has to wait for it."""
    from rich.console import Console

    from usassist.engine import PlanBackend, find_engine, get_backend
    from usassist.engine.building import BuildJob, BuildState
    from usassist.errors import EngineError

    read_settings(config)
    spec = find_engine(name, engines)
    backend, precision = _choose(spec, backend, precision)
    console = Console(stderr=True, quiet=as_json)
    started_s = time.monotonic()
    with BuildJob(spec, backend, precision, niceness=0) as job:
        try:
            done = _watch(job, console)
        except KeyboardInterrupt:  # the child has a process group of its own, and is ended by the end of this block
            done = BuildState(state="failed", reason="stopped; nothing half-built stays behind", exit_code=130)
    if done.state == "failed":
        error = EngineError(done.reason)
        error.exit_code = done.exit_code
        raise error
    build_s = time.monotonic() - started_s
    if as_json:
        facts = {"engine": spec.engine_id, "backend": backend, "precision": precision, "built": done.built}
        typer.echo(json.dumps({**facts, "build_s": round(build_s, 3), "path": done.path}, indent=2))
    elif not isinstance(get_backend(backend), PlanBackend):
        typer.echo(f"{backend} needs no plan; it reads {done.path}")
    elif done.built:
        typer.echo(f"built in {build_s:.1f} s: {done.path}")
    else:
        typer.echo(f"already there: {done.path}")


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


def _choose(spec: EngineSpec, backend: str, precision: str) -> tuple[str, str]:
    """The first back end and precision that can build here; with ``auto`` only those that build plans are asked.

    Raises
    ------
    BackendUnavailableError
        If none can; the message says why each cannot.
    """
    from usassist.engine import PlanBackend, candidates, get_backend, why_not
    from usassist.errors import BackendUnavailableError

    reasons: dict[str, None] = {}
    for name, item in candidates(spec, backend, precision):
        if backend == "auto" and not isinstance(get_backend(name), PlanBackend):
            continue
        reason = why_not(name, spec, item, build=True)
        if reason is None:
            return name, item
        reasons[reason] = None
    if backend == "auto":
        raise BackendUnavailableError(
            f"no back end that needs a plan can build one here: {' | '.join(reasons) or 'none runs ' + precision}"
        )
    raise BackendUnavailableError(" | ".join(reasons))


def _watch(job: BuildJob, console: Console) -> BuildState:
    """Show how a build goes until it has ended."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{job.backend} {job.precision}", total=1.0)
        while (state := job.state).state == "building":
            stage = f"{job.backend} {job.precision}: {state.stage}"
            bar.update(task, description=stage, completed=state.share)
            time.sleep(_LOOK_S)
    return state


def _describe(row: Row) -> dict[str, Any]:
    """One entry as it is listed: facts, and ``None`` where it says nothing."""
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
