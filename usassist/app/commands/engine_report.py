"""What ``usassist engine bench`` shows to a person, and which back ends it calls right."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table

from usassist.app.commands.reasons import group_reasons
from usassist.engine import EngineSpec
from usassist.engine.base import Engine
from usassist.engine.comparison import compare
from usassist.engine.parity import open_reference
from usassist.engine.timing import Judge, TimingReport, Variant
from usassist.modalities.findings_decoder import decoder_for

__all__ = ["print_left_out", "print_report", "same_as_reference"]


def same_as_reference(spec: EngineSpec, threads: int) -> Judge:
    """A judge that compares with the reference as ``usassist engine verify`` does."""
    decode = decoder_for(spec)

    def judge(engine: Engine) -> str | None:
        with open_reference(spec, threads)[0] as reference:
            return next(iter(compare(engine, reference, decode).failures), None)

    return judge


def print_report(report: TimingReport, console: Console) -> None:
    """Show what was measured as tables; the fastest that passed the judge is named."""
    threads = f"{report.threads} threads" if report.threads else "all threads"
    table = Table(
        title=f"{report.engine_id}, {threads}, {report.rounds} rounds", title_justify="left", box=box.SIMPLE_HEAD
    )
    table.add_column("times in ms", no_wrap=True)
    table.add_column("device", max_width=12)
    for column in ("ratio", "p50", "p95", "p99", "per s", "open", "warm-up", "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for item in report.variants:
        table.add_row(*_cells(item))
    console.print(table)
    if report.fastest is None:
        console.print(f"none {report.judged_by}")
    else:
        console.print(f"fastest that {report.judged_by}: {' '.join(report.fastest)}")
    console.print(
        f"ratio: median against {' '.join(report.reference)} in the same round, less is faster; "
        "times hold for this machine at this moment\n"
        "warm-up: inferences until one takes at most 1.25 times the median of the later half of the first 20, and "
        "how long they took; MB: memory of the process that opening added, without that of a GPU"
    )
    for item in report.variants:
        if item.rejected is not None:
            console.print(f"{item.backend} {item.precision}: {item.rejected}", style="red", markup=False)
    print_left_out([(gone.backend, gone.precision, gone.reason) for gone in report.left_out], "left out", console)


def print_left_out(items: list[tuple[str, str, str]], title: str, console: Console) -> None:
    """Show back ends and precisions that did not run, each reason once; nothing when there are none."""
    if not items:
        return
    table = Table(title, "why", box=box.SIMPLE_HEAD)
    table.columns[0].max_width = 34
    for who, why in group_reasons(items):
        table.add_row(who, why)
    console.print(table)


def _cells(item: Variant) -> list[str]:
    times = (f"{time_ms:.1f}" for time_ms in (item.p50_ms, item.p95_ms, item.p99_ms))
    return [
        f"{item.backend} {item.precision}",
        item.device,
        f"{item.ratio:.2f}",
        *times,
        f"{item.per_s:.0f}",
        f"{item.cold_open_ms:.0f}",
        f"{item.warm_up_count} in {item.warm_up_ms:.0f}",
        "?" if item.growth_mb is None else f"{item.growth_mb:.0f}",
    ]
