"""The table that ``usassist replay`` prints at the end."""

from __future__ import annotations

from typing import Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from usassist.app.commands.options import print_error
from usassist.app.commands.result_rows import add_result_rows, format_latency
from usassist.app.commands.tables import number_table
from usassist.app.runtime.clip_session import ReplayOutcome
from usassist.app.runtime.clips import ClipAnswer
from usassist.bus import AssociationBody, PointBody

__all__ = ["describe_answer", "print_answer", "print_clips"]


def describe_answer(answer: ClipAnswer) -> dict[str, Any]:
    """What came of a clip, ready for JSON."""
    if answer.outcome is None:
        return {"clip": answer.clip, "error": answer.error}
    return answer.outcome.summary | {"clip": answer.clip, "files": answer.outcome.files}


def print_answer(answer: ClipAnswer, *, alone: bool, quiet: bool, on_stderr: bool) -> None:
    """Print what came of a clip: a table where it is the only one, else one line; an error on standard error.

    Parameters
    ----------
    answer : of the clip
    alone : it is the only one
    quiet : print errors alone
    on_stderr : standard output is taken
    """
    if not quiet and alone and answer.outcome is not None:
        _print_replay(answer.outcome, Console(stderr=on_stderr))
    if answer.error:
        print_error(answer.error if alone else f"{answer.clip}: {answer.error}")
    elif not quiet and not alone and answer.outcome is not None:
        states = answer.outcome.summary["results_by_state"]
        said = f"{answer.clip}: {answer.outcome.summary['frames']} frames, {states['finding']} with finding"
        typer.echo(said, err=on_stderr)


def print_clips(answers: list[ClipAnswer], count: int, *, on_stderr: bool) -> None:
    """Print the table of several clips.

    Parameters
    ----------
    answers : of those that were begun
    count : of all clips
    on_stderr : standard output is taken
    """
    failed = sum(bool(answer.exit_code) for answer in answers)
    left = f", {count - len(answers)} not begun" if len(answers) < count else ""
    title = f"{len(answers) - failed} of {count} clips answered, {failed} not{left}"
    table = number_table(title, "clip", "frames", "finding", "no finding", "no result", "late", "nodules")
    for answer in answers:
        if answer.outcome is None:
            table.add_row(escape(answer.clip), *["–"] * 6)
            continue
        summary = answer.outcome.summary
        states = (summary["results_by_state"].get(name, 0) for name in ("finding", "no_finding", "no_result", "stale"))
        cut = " (cut off)" if answer.exit_code else ""
        table.add_row(escape(answer.clip + cut), str(summary["frames"]), *map(str, states), str(summary["nodules"]))
    console = Console(stderr=on_stderr)
    console.print(table)
    for answer in answers:
        for path in () if answer.outcome is None else answer.outcome.files.values():
            console.print(f"  {path}", highlight=False, soft_wrap=True)


def _print_replay(outcome: ReplayOutcome, console: Console) -> None:
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
