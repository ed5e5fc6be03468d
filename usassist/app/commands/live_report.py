"""The table that ``usassist live`` prints at the end."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from usassist.app.commands.result_rows import add_result_rows, format_latency
from usassist.app.runtime.live_session import LiveReport

__all__ = ["print_live"]


def print_live(report: LiveReport) -> None:
    """Print what came of a live session."""
    table = Table(title="live session", title_justify="left", show_header=False)
    if report.summary is not None:
        add_result_rows(table, report.summary, without_causes="–")
        latency = report.summary["latency_capture_to_published"]
        if latency is not None:
            table.add_row("capture to published result", format_latency(latency))
    if report.restarts:
        table.add_row("restarted", ", ".join(f"{name} {count} times" for name, count in report.restarts.items()))
    for folder in report.folders:
        table.add_row("recorded in", folder)
    if report.folders:
        table.add_row("recorded", f"{report.recorded_bytes / 2**20:.1f} MiB, {report.messages_lost} messages lost")
    if report.recording_stopped:
        table.add_row("recording stopped", report.recording_stopped)
    Console().print(table)
