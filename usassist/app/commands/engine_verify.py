"""The command ``usassist engine verify``."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from usassist.app.commands.options import EnginesOption, JsonOption, ThreadsOption

if TYPE_CHECKING:
    from rich.console import Console

    from usassist.engine.parity import ParityReport, ParityRow

__all__ = ["print_parity", "verify"]


def verify(
    name: Annotated[str, typer.Argument(help="Engine: NAME, NAME@VERSION, or all.")],
    backend: Annotated[str, typer.Option(help="Back end, or all.")] = "all",
    precision: Annotated[str, typer.Option(help="fp32, fp16, int8 or all.")] = "all",
    threads: ThreadsOption = 0,
    seed: Annotated[int, typer.Option(min=0, help="Of the random inputs.")] = 0,
    engines: EnginesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Compare every back end and precision with the FP32 reference, on golden and on random inputs."""
    from rich.console import Console

    from usassist.engine import PRECISIONS, find_engine, list_backends, list_engines
    from usassist.engine.parity import check_parity
    from usassist.errors import BackendUnavailableError, EngineNotFoundError
    from usassist.modalities.findings_decoder import decoder_for

    specs = list_engines(engines) if name == "all" else [find_engine(name, engines)]
    if not specs:
        raise EngineNotFoundError(f"there is no engine in {engines}; name another folder with --engines")
    reports = []
    with Console(stderr=True, quiet=as_json).status("comparing with the reference"):
        for spec in specs:
            report = check_parity(
                spec,
                list_backends() if backend == "all" else (backend,),
                PRECISIONS if precision == "all" else (precision,),
                decode=decoder_for(spec),
                threads=threads,
                seed=seed,
            )
            reports.append(report)
    if not any(report.compared for report in reports):
        reasons = dict.fromkeys(f"{row.backend} {row.precision}: {row.reason}" for row in reports[0].rows)
        raise BackendUnavailableError(f"nothing can be compared here: {' | '.join(reasons)}")
    ok = all(report.ok for report in reports if report.compared)
    if as_json:
        typer.echo(json.dumps({"ok": ok, "engines": [_document(report) for report in reports]}, indent=2))
    else:
        console = Console()
        for report in reports:
            print_parity(report, console)
    raise typer.Exit(0 if ok else 1)


def print_parity(report: ParityReport, console: Console) -> None:
    """Print the comparison as tables, every failure on its own line, and what was not compared and why."""
    from rich import box
    from rich.table import Table

    from usassist.app.commands.left_out import print_left_out
    from usassist.engine.parity import ParityState

    title = f"{report.engine_id}, against {' '.join(report.reference)}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("back end", no_wrap=True)
    table.add_column("state")
    for column in ("inputs", "findings", "Dice", "box IoU", "score"):
        table.add_column(column, justify="right", no_wrap=True)
    differences = Table(box=box.SIMPLE_HEAD)
    differences.add_column("largest mean difference", no_wrap=True)
    for column in ("output", "golden", "varied", "random", "of limit"):
        differences.add_column(column, justify="left" if column == "output" else "right")
    for row in report.compared:
        who = f"{row.backend} {row.precision}"
        state = row.state if row.state is ParityState.PASSED else f"[red]{row.state}[/red]"
        table.add_row(who, state, *_decoded_cells(row))
        for cells in _output_cells(row):
            differences.add_row(who, *cells)
            who = ""
    console.print(table)
    console.print(differences)
    if report.reference_note:
        console.print(f"the reference is not ONNX Runtime: {report.reference_note}", markup=False)
    if report.undecoded:
        console.print(f"findings were not compared: {report.undecoded}", style="yellow", markup=False)
    for row in report.compared:
        if row.comparison is not None and row.comparison.unanswered:
            names = ", ".join(row.comparison.unanswered)
            console.print(f"no finite answer of the reference, so not compared: {names}", markup=False)
            break
    for row in report.compared:
        for failure in row.failures:
            console.print(f"{row.backend} {row.precision}: {failure}", style="red", markup=False)
    left = [(row.backend, row.precision, row.reason) for row in report.rows if row.reason]
    print_left_out(left, "not tested", console)


def _decoded_cells(row: ParityRow) -> list[str]:
    comparison = row.comparison
    if comparison is None:
        return ["", "", "", "", ""]
    both = [apart for apart in (comparison.golden, comparison.others) if apart is not None]
    if not both:
        return [str(comparison.probes), "none", "", "", ""]
    apart = both[0] | both[1] if len(both) == 2 else both[0]
    alone = "".join(f" {sign}{count}" for sign, count in (("-", apart.missing), ("+", apart.extra)) if count)
    return [
        str(comparison.probes),
        f"{apart.findings}{alone}",
        "" if apart.min_dice is None else f"{apart.min_dice:.3f}",
        "" if apart.min_box_iou is None else f"{apart.min_box_iou:.3f}",
        "" if apart.max_score_diff is None else f"{apart.max_score_diff:.4f}",
    ]


def _output_cells(row: ParityRow) -> list[list[str]]:
    if row.comparison is None:
        return []
    lines: dict[str, dict[str, str]] = {}
    worst: dict[str, float] = {}
    for item in row.comparison.outputs:
        lines.setdefault(item.output, {})[item.kind] = f"{item.mean_abs:.2g}"
        if item.of_limit is not None:
            worst[item.output] = max(worst.get(item.output, 0.0), item.of_limit)
    return [
        [
            output,
            *(cells.get(kind, "") for kind in ("golden", "varied", "random")),
            f"{100 * worst[output]:.2g} %" if output in worst else "not bounded",
        ]
        for output, cells in lines.items()
    ]


def _document(report: ParityReport) -> dict[str, Any]:
    return dataclasses.asdict(report) | {"ok": report.ok}
