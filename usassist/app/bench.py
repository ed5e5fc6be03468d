"""What ``usassist engine bench`` shows to a person."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from usassist.engine.bench import BenchReport, Variant

__all__ = ["print_report"]


def print_report(report: BenchReport, console: Console) -> None:
    """Show what was measured as tables; the fastest that answered its golden input is named."""
    threads = f"{report.threads} threads" if report.threads else "all threads"
    table = Table(title=f"{report.engine_id}, {threads}, {report.rounds} rounds", title_justify="left")
    table.add_column("times in ms", no_wrap=True)
    for column in ("ratio", "p50", "p95", "p99", "per s", "open", "first", "MB"):
        table.add_column(column, justify="right", no_wrap=True)
    for item in report.variants:
        table.add_row(*_cells(item))
    console.print(table)
    if report.fastest is None:
        console.print("none answered its golden input as it must")
    else:
        console.print(f"fastest that answered its golden input: {' '.join(report.fastest)}")
    console.print(
        f"ratio: median against {' '.join(report.reference)} in the same round, less is faster; "
        "times hold for this machine at this moment; MB: memory that opening added"
    )
    for item in report.variants:
        if item.golden_error is not None:
            console.print(f"{item.backend} {item.precision}: {item.golden_error}", style="red", markup=False)
    if report.left_out:
        left = Table("left out", "why", title_justify="left")
        for gone in report.left_out:
            left.add_row(f"{gone.backend} {gone.precision}", gone.reason)
        console.print(left)


def _cells(item: Variant) -> list[str]:
    times = (f"{time_ms:.1f}" for time_ms in (item.p50_ms, item.p95_ms, item.p99_ms))
    return [
        f"{item.backend} {item.precision}",
        f"{item.ratio:.2f}",
        *times,
        f"{item.per_s:.0f}",
        f"{item.cold_open_ms:.0f}",
        f"{item.first_ms:.0f}",
        "?" if item.growth_mb is None else f"{item.growth_mb:.0f}",
    ]
