"""The command ``usassist engine list``."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import typer

from usassist.app.commands.options import JsonOption

if TYPE_CHECKING:
    from usassist.engine import EngineSpec

__all__ = ["engine_list", "list_document", "print_list"]


def engine_list(as_json: JsonOption = False) -> None:
    """List engines, and the back ends that can or cannot run here."""
    document = list_document()
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        print_list(document)


def list_document() -> dict[str, Any]:
    """Engines and back ends, with the speeds that were measured here."""
    from usassist.app.runtime.describe_speed import describe_processor
    from usassist.engine import list_backends, list_engines, why_not
    from usassist.engine.speed import load_speeds

    return {
        "processor": describe_processor(),
        "engines": [
            {
                "engine_id": spec.engine_id,
                "modality": spec.modality,
                "task": spec.task,
                "precisions": list(spec.precisions),
                "labels": [label.name for label in spec.labels],
                "auto": _first_choice(spec),
                "speeds": None if (speeds := load_speeds(spec)) is None else dataclasses.asdict(speeds),
                "licence": spec.licence,
                "intended_use": spec.intended_use,
            }
            for spec in list_engines()
        ],
        "backends": [
            {"name": name, "available": reason is None, "reason": reason}
            for name in list_backends()
            for reason in (why_not(name),)
        ],
    }


def print_list(document: dict[str, Any]) -> None:
    """Print :func:`list_document` as tables."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    engines = Table(title="Engines", title_justify="left")
    engines.add_column("engine", no_wrap=True)
    for name in ("for", "precisions", "labels", "auto takes here"):
        engines.add_column(name)
    for item in document["engines"]:
        lists = [", ".join(item[key]) for key in ("precisions", "labels")]
        name, _, _ = item["engine_id"].partition("+")
        purpose = f"{item['modality']}, {item['task'].replace('_', ' ')}"
        engines.add_row(name, purpose, *lists, item["auto"] or "nothing")
    console.print(engines)
    for item in document["engines"]:
        name, _, _ = item["engine_id"].partition("+")
        console.print(f"{name} on the processor: {_format_speeds(item['speeds'])}", highlight=False, markup=False)
    console.print(f"processor: {document['processor']}", highlight=False, markup=False)
    backends = Table("back end", "here", "why not", title="Back ends", title_justify="left")
    for item in document["backends"]:
        note = "computes nothing; every result says so" if item["name"] == "null" else item["reason"] or ""
        backends.add_row(item["name"], "yes" if item["available"] else "no", escape(note))
    console.print(backends)


def _first_choice(spec: EngineSpec) -> str | None:
    """Back end and precision that `auto` starts with here; None when nothing can run the engine."""
    from usassist.engine import candidates
    from usassist.engine.opening import is_ready
    from usassist.engine.speed import by_speed, load_speeds

    speeds = load_speeds(spec)
    rejected = [row.pair for row in speeds.rows if row.rejected] if speeds is not None else []
    pairs = (pair for pair in by_speed(spec, candidates(spec)) if pair not in rejected)
    return next((" ".join(pair) for pair in pairs if is_ready(spec, *pair)), None)


def _format_speeds(speeds: dict[str, Any] | None) -> str:
    from usassist.app.runtime.describe_speed import describe_speeds
    from usassist.engine.speed import Speed, Speeds

    if speeds is None:
        return "in the order of the table; usassist doctor measures which is the fastest here"
    return describe_speeds(Speeds(**speeds | {"rows": tuple(Speed(**row) for row in speeds["rows"])}))
