"""What ``usassist rerun`` shows to a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from usassist.app.rerun.fields import Verdict
from usassist.app.rerun.machine import processor_words
from usassist.app.rerun.outcome import Comparison, FieldRow, amount_words
from usassist.app.rerun.run import Rerun
from usassist.app.rerun.sheet import MAX_FRAMES, UInt8Array, write_differences
from usassist.session import RecordedSession

__all__ = ["print_rerun", "write_sheet"]

_SHOWN = 8  # of the frames that differ, by name
_COLUMNS = {
    Verdict.IDENTICAL: "identical",
    Verdict.WITHIN: "within",
    Verdict.DIFFERS: "differ",
    Verdict.NOT_BOUNDED: "no bound",
}


def write_sheet(done: Rerun, path: Path) -> Path | None:
    """Write the contact sheet where frames differ.

    Returns
    -------
    path : as it was given; None where nothing differs, so that there is nothing to show

    Raises
    ------
    SessionError
        If it cannot be written.
    """
    if done.comparison is None or not done.comparison.differences:
        return None
    differences = done.comparison.differences
    wanted = {item.frame_id for item in differences[:MAX_FRAMES]}
    title = f"{len(differences)} of {done.comparison.compared} frames differ"
    write_differences(path, differences, dict(_pictures(done.recording.session, wanted)), title)
    return path


def print_rerun(done: Rerun, sheet: Path | None) -> None:
    """Show how it went, and what came of the comparison."""
    console = Console()
    summary, comparison = done.outcome.summary, done.comparison
    console.print(
        f"{summary['frames']} frames again through {summary['engine_id']} on {summary['backend']}, "
        f"{summary['frames_per_s']} frames per second",
        highlight=False,
    )
    for line in (*done.recording.problems, *done.notes):
        console.print(f"  {line}", style="yellow", markup=False, highlight=False)
    if comparison is not None:
        _print_comparison(done, comparison, console)
    if sheet is not None:
        console.print(f"  {sheet}", highlight=False, soft_wrap=True)
    for path in done.outcome.files.values():
        console.print(f"  {path}", highlight=False, soft_wrap=True)


def _print_comparison(done: Rerun, comparison: Comparison, console: Console) -> None:
    how = []
    if comparison.exact:
        how.append(f"{comparison.exact} to the last bit")
    if comparison.tolerant:
        how.append(f"{comparison.tolerant} within the tolerances of the engine's parity")
    console.print(_table(f"{comparison.compared} frames compared: {', '.join(how) or 'none'}", comparison.fields))
    if done.same_kind:
        words = f"recorded on the same kind of processor: {processor_words(done.recording.session.manifest)}"
        console.print(f"  {words}", markup=False, highlight=False, soft_wrap=True)
    if done.not_exact:
        console.print(f"  not to the last bit: {done.not_exact}", markup=False, highlight=False, soft_wrap=True)
    if comparison.covered_frames:
        title = f"{comparison.covered_frames} frames apart, which decide nothing: the recorder covered text in them"
        console.print(_table(title, comparison.covered))
    for line in _told(done, comparison):
        console.print(f"  {line}", markup=False, highlight=False)
    for fault in comparison.faults:
        console.print(f"  {fault}", style="red", markup=False, highlight=False)
    for item in comparison.differences[:_SHOWN]:
        console.print(f"  frame {item.frame_id}: {item.words}", style="red", markup=False, highlight=False)
    if len(comparison.differences) > _SHOWN:
        console.print(f"  and {len(comparison.differences) - _SHOWN} frames more", style="red")
    console.print(f"[bold]{_verdict(comparison)}[/bold]", highlight=False)


def _verdict(comparison: Comparison) -> str:
    if not comparison.ok:
        return f"{len(comparison.differences)} frames differ" if comparison.differences else "differs"
    return "identical" if comparison.identical else "within tolerance"


def _told(done: Rerun, comparison: Comparison) -> Iterator[str]:
    if comparison.not_live:
        yield f"not live in the recording: {comparison.not_live}"
    if comparison.left_out:
        causes = ", ".join(f"{cause.replace('_', ' ')} {count}" for cause, count in comparison.left_out.items())
        yield f"left out, because the recording has no answer: {causes}"
    if done.recording.gap_words:
        yield f"not in the recording: {', '.join(done.recording.gap_words)}"
    yield from comparison.missing


def _table(title: str, fields: Mapping[str, FieldRow]) -> Table:
    table = Table(title=escape(title), title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0))
    table.add_column("field", no_wrap=True)
    for column in ("frames", *_COLUMNS.values()):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("largest", no_wrap=True)
    table.add_column("at", no_wrap=True)
    for name, row in fields.items():
        counts = [str(row.verdicts[verdict] or "–") for verdict in _COLUMNS]
        table.add_row(name, str(row.compared), *counts, *_largest(name, row))
    return table


def _largest(name: str, row: FieldRow) -> tuple[str, str]:
    """How far apart both are at most, and on which frame."""
    if row.worst_frame is None:
        return "", ""
    return "another" if row.worst is None else amount_words(name, row.worst), str(row.worst_frame)


def _pictures(session: RecordedSession, wanted: set[int]) -> Iterator[tuple[int, UInt8Array]]:
    for line, image in session.images():
        if line.frame_id in wanted and image is not None:
            yield line.frame_id, image
            wanted.discard(line.frame_id)
            if not wanted:
                return
