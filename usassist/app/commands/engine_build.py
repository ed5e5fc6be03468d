"""The command ``usassist engine build``."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Annotated

import typer

from usassist.app.commands.options import ConfigOption, EngineArgument, EnginesOption, JsonOption, read_settings

if TYPE_CHECKING:
    from rich.console import Console

    from usassist.engine import EngineSpec
    from usassist.engine.building import BuildJob, BuildState

__all__ = ["build"]

_POLL_S = 0.1


def build(
    name: EngineArgument,
    backend: Annotated[str, typer.Option(help="Back end; auto = the first that builds plans and can here.")] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, int8, or auto: the first that the back end can.")
    ] = "auto",
    engines: EnginesOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build what a back end needs to run an engine on this machine, so that no stream waits for it."""
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
        except KeyboardInterrupt:  # the child has its own process group; the end of this block stops it
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
    """Show the progress of a build until it ends."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{job.backend} {job.precision}", total=1.0)
        while (state := job.state).state == "building":
            stage = f"{job.backend} {job.precision}: {state.stage}"
            bar.update(task, description=stage, completed=state.share)
            time.sleep(_POLL_S)
    return state
