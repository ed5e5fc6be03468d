"""The table that ``usassist replay`` prints at the end."""

from __future__ import annotations

from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from usassist.app.commands.result_rows import add_result_rows, format_latency
from usassist.app.runtime.clip_session import ReplayOutcome
from usassist.bus import AssociationBody, PointBody

__all__ = ["print_replay"]


def print_replay(outcome: ReplayOutcome) -> None:
    """Print the summary of a replay, and the files that it has written."""
    summary = outcome.summary
    table = Table(title=f"{summary['engine_id']} on {summary['backend']}", title_justify="left", show_header=False)
    add_result_rows(table, summary)
    for change in summary["backend_changes"]:
        table.add_row(
            f"from frame {change['frame_id']}",
            f"{change['after']} instead of {change['before']}: {change['reason']}",
        )
    if len(summary["answers_by_backend"]) > 1:
        answered = ", ".join(f"{name} {count}" for name, count in summary["answers_by_backend"].items())
        table.add_row("answered by", answered)
    table.add_row("nodules outlined", str(summary["nodules"]))
    table.add_row("operating point", _describe_point(summary["point"]))
    if summary["association"] is not None:
        table.add_row("findings associated", AssociationBody(**summary["association"]).words)
    if summary["decode_errors"]:
        table.add_row("could not be decoded", str(summary["decode_errors"]))
    latency = summary["latency_capture_to_published"]
    text = "none" if latency is None else format_latency(latency)
    table.add_row("capture to published result" if summary["realtime"] else "capture to result, not live", text)
    table.add_row("frames per second", str(summary["frames_per_s"]))
    table.add_row("recorded", _describe_recording(summary["recorded"]))
    console = Console()
    console.print(table)
    for path in outcome.files.values():
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def _describe_point(point: dict[str, Any] | None) -> str:
    if point is None:
        return "the engine's own; scores are not calibrated"
    return msgspec.convert(point, PointBody).words


def _describe_recording(counts: dict[str, Any]) -> str:
    if "error" in counts:
        return "stopped early"
    lost = sum(counts["gaps"].values())
    frames = f"{counts['frames']} frames, " if "frames" in counts else ""
    return f"{frames}{counts['results']} results, {lost} messages lost"
