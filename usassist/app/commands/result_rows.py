"""Rows that the tables of replay and live session have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from usassist.records import ResultState

__all__ = ["add_result_rows", "format_latency"]

_STATE_TEXTS = {
    ResultState.FINDING: "finding",
    ResultState.NO_FINDING: "no finding",
    ResultState.NO_RESULT: "no result",
    ResultState.STALE: "stale (came too late)",
}


def add_result_rows(table: Table, summary: Mapping[str, Any], *, without_causes: str = "") -> None:
    """Frames, results by state, and the causes of those without an answer.

    Parameters
    ----------
    summary : of a stream
    without_causes : shown where every frame was answered; empty = no row then
    """
    table.add_row("frames", str(summary["frames"]))
    for state, count in summary["results_by_state"].items():
        table.add_row(f"  {_STATE_TEXTS[ResultState(state)]}", str(count))
    counts = summary["no_answer_by_cause"].items()
    causes = ", ".join(f"{cause.replace('_', ' ')} {count}" for cause, count in counts if count) or without_causes
    if causes:
        table.add_row("  why not answered", causes)


def format_latency(latency: Mapping[str, Any]) -> str:
    """The percentiles of a summary in one line."""
    parts = (f"{name} {latency[f'{name}_ms']}" for name in ("p50", "p95", "p99", "max"))
    return f"{'  '.join(parts)} ms"
